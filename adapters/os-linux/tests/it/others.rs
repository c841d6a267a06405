//! Alpine with extlinux, Arch with systemd-boot, a copy of a system.

use crate::initramfs_guest::{Base, kernel};
use crate::system::*;
use os_linux::Linux;
use wherry_sdk::SourceOs;
use wherry_sdk::testing::MemoryVolume;

#[test]
fn alpine_with_extlinux() {
    let release = &kernel().0;
    let image = image(&[("sbin/nlplug-findfs", ""), ("init", "#!/bin/sh\n")], OLD);
    let menu = "DEFAULT menu.c32\nLABEL virt\n  MENU DEFAULT\n  LINUX vmlinuz-virt\n  INITRD initramfs-virt\n  APPEND root=/dev/sda1 modules=sd-mod,ext4 quiet\n";
    let root = with_modules(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/alpine-release", "3.19.1\n")
        .file("/etc/fstab", "/dev/sda1 / ext4 rw 0 1\n/dev/cdrom /media/cdrom iso9660 noauto 0 0\n")
        .file("/etc/mkinitfs/mkinitfs.conf", "features=\"ata base ext4 scsi\"\n")
        .file("/etc/mkinitfs/features.d/virtio.modules", "")
        .file("/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n");
    let boot = MemoryVolume::new("mbr:2", BOOT)
        .file("/extlinux.conf", menu)
        .file("/vmlinuz-virt", vmlinuz(release))
        .file("/initramfs-virt", image)
        .symlink("/boot", ".");
    let root = root.file("/etc/fstab", "/dev/sda1 / ext4 rw 0 1\nUUID=2222-boot /boot ext4 rw 0 1\n");
    let tree = tree(root, vec![boot]);
    let os = identify(&tree);
    assert_eq!((os.id.as_str(), os.version.as_str()), ("alpine", "3.19.1"));
    assert_eq!((of(&os, "boot-loader"), of(&os, "initramfs")), (Some("extlinux"), Some("mkinitfs")));
    same(
        &edits(&tree, &virtio(), &[]),
        &[
            "append /boot/initramfs-virt",
            "write /etc/mkinitfs/mkinitfs.conf",
            "- features=\"ata base ext4 scsi\"",
            "+ features=\"ata base ext4 scsi virtio\"",
            "write /etc/fstab",
            "- /dev/sda1 / ext4 rw 0 1",
            "+ UUID=1111-root / ext4 rw 0 1",
            "write /boot/extlinux.conf",
            "-   APPEND root=/dev/sda1 modules=sd-mod,ext4 quiet",
            "+   APPEND root=UUID=1111-root modules=sd-mod,ext4 quiet",
        ],
    );
}

/// systemd-boot, its entry's files in the EFI system partition, which is `/boot`; microcode before the initramfs.
#[test]
fn arch_with_systemd_boot() {
    let release = &kernel().0;
    let image = image(&[("hooks/udev", ""), ("config", "MODULES=\"\"\nHOOKS=\"udev\"\n")], OLD);
    let esp = MemoryVolume::new("gpt:3", ESP)
        .file("/EFI/BOOT/BOOTX64.EFI", "systemd-boot")
        .file("/EFI/systemd/systemd-bootx64.efi", "systemd-boot")
        .file("/loader/loader.conf", "default arch.conf\n")
        .file("/loader/entries/arch.conf", "title Arch Linux\nlinux /vmlinuz-linux\ninitrd /intel-ucode.img\ninitrd /initramfs-linux.img\noptions root=/dev/sda1 rw\n")
        .file("/vmlinuz-linux", vmlinuz(release))
        .file("/intel-ucode.img", "")
        .file("/initramfs-linux.img", image);
    let root = with_modules(MemoryVolume::new("gpt:1", ROOT))
        .file("/etc/os-release", "ID=arch\nPRETTY_NAME=\"Arch Linux\"\n")
        .file("/usr/lib/systemd/systemd", "")
        .directory("/boot")
        .file(
            "/etc/mkinitcpio.conf",
            "# vim:set ft=sh\nMODULES=()\nHOOKS=(base udev autodetect block filesystems)\n",
        )
        .file("/etc/systemd/network/20-wired.network", "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n");
    let tree = tree(root, vec![esp]);
    let os = identify(&tree);
    assert_eq!(of(&os, "firmware"), Some("uefi"));
    assert_eq!(of(&os, "mount./boot"), Some("EFI system partition gpt:3"));
    same(
        &edits(&tree, &virtio_uefi(), &[]),
        &[
            "append /boot/initramfs-linux.img",
            "write /etc/mkinitcpio.conf",
            "- MODULES=()",
            "+ MODULES=(virtio_pci virtio_blk)",
            "write /boot/loader/entries/arch.conf",
            "- options root=/dev/sda1 rw",
            "+ options root=UUID=1111-root rw",
        ],
    );
}

/// Systems without a name, with one that nobody knows, and of another kind.
#[test]
fn what_a_linux_is() {
    let volume =
        || MemoryVolume::new("mbr:1", ROOT).file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n");
    let named = |volume| {
        Linux::identify(&tree(volume, Vec::new()))
            .unwrap()
            .map(|os| format!("{} {} {}", os.id, os.version, os.product))
    };
    assert_eq!(named(volume()), None);
    assert_eq!(named(volume().file("/etc/passwd", "")).as_deref(), Some("linux  Linux"));
    let own = volume().file("/etc/neverheard-release", "Never Heard Server 3.1\n");
    assert_eq!(named(own).as_deref(), Some("neverheard 3.1 Never Heard Server 3.1"));
    let other = volume().file("/etc/os-release", "ID=freebsd\nVERSION_ID=14.1\n").file("/etc/passwd", "");
    assert_eq!(named(other.file("/boot/kernel/kernel", "")), None);
}

/// Two subvolumes hold a system; the table of both names the second by its number.
#[test]
fn a_subvolume_by_its_number() {
    let facts = [
        ("fs.kind", "btrfs"),
        ("fs.uuid", "b"),
        ("fs.subvolumes", "300 /old\n301 /system"),
        ("disk.index", "0"),
        ("partition.number", "1"),
    ];
    let table = "UUID=b / btrfs rw,subvolid=301 0 0\nUUID=b /boot/grub btrfs subvolid=5 0 0\n";
    let system = |volume: MemoryVolume, inside: &str, version: u32| {
        volume
            .file(&format!("{inside}/etc/os-release"), format!("ID=arch\nVERSION_ID={version}\n"))
            .file(&format!("{inside}/etc/fstab"), table)
            .directory(&format!("{inside}/boot/grub"))
    };
    let volume =
        system(system(MemoryVolume::new("mbr:1", &facts), "/old", 1), "/system", 2).file("/grub.cfg", "");
    let tree = tree(volume, Vec::new());
    let os = identify(&tree);
    assert_eq!((os.version.as_str(), of(&os, "root.subvolume")), ("2", Some("/system")));
    assert_eq!(of(&os, "other-root.0"), Some("mbr:1:/old"));
    assert_eq!(of(&os, "mount./boot/grub"), Some("UUID=b mbr:1"));
    assert_eq!(tree.text("/boot/grub/grub.cfg"), "");
}

/// A rescue copy comes first, but says itself that its root is elsewhere.
#[test]
fn of_two_systems_the_one_that_calls_itself_root() {
    let other = [("fs.kind", "ext4"), ("fs.uuid", "copy"), ("disk.index", "0"), ("partition.number", "4")];
    let files = |volume: MemoryVolume| {
        volume
            .file("/etc/os-release", "ID=debian\n")
            .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
    };
    let copy = files(MemoryVolume::new("mbr:4", &other));
    let root = files(MemoryVolume::new("mbr:1", ROOT));
    let tree = wherry_sdk::testing::MemoryTree::new(vec![copy, root]);
    let os = identify(&tree);
    assert_eq!((of(&os, "root.volume"), of(&os, "other-root.0")), (Some("mbr:1"), Some("mbr:4")));
}

#[test]
fn other_systems_are_not_claimed() {
    let facts = [("fs.kind", "vfat"), ("disk.index", "0")];
    let tree = tree(MemoryVolume::new("mbr:1", &facts).file("/AUTOEXEC.BAT", ""), Vec::new());
    assert_eq!(Linux::identify(&tree), Ok(None));
    assert!(Linux::adapt(&tree, &virtio(), &[]).is_err());
}

/// An image with these files and modules.
fn image(files: &[(&str, &str)], modules: &[&str]) -> Vec<u8> {
    let base = Base::new(true);
    for (path, content) in files {
        base.file(path, content);
    }
    base.modules(modules).pack()
}
