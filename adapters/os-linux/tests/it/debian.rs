//! Debian and Ubuntu: initramfs-tools, GRUB, ifupdown, netplan.

use crate::initramfs_guest::{Base, kernel};
use crate::system::*;
use wherry_sdk::Tree;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};

const OS: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";

fn grub_cfg(release: &str) -> String {
    format!(
        "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-x' {{\n\
         \tset root='hd0,msdos1'\n\tsearch --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1 1111-root\n\
         \tlinux\t/boot/vmlinuz-{release} root=/dev/sda1 ro  quiet\n\tinitrd\t/boot/initrd.img-{release}\n}}\n\
         submenu 'Advanced options' {{\n\tmenuentry 'Debian, recovery mode' {{\n\
         \t\tlinux\t/boot/vmlinuz-{release} root=/dev/sda1 ro single resume=/dev/sdb9\n\
         \t\tinitrd\t/boot/initrd.img-{release}\n\t}}\n}}\n"
    )
}

/// A BIOS guest that was installed on other hardware, as far as the initramfs is not concerned.
fn text_files(root: MemoryVolume, release: &str) -> MemoryVolume {
    root.file("/etc/os-release", OS)
        .file("/etc/hostname", "old-server\n")
        .file("/bin/sh", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/usr/bin/vmtoolsd", "")
        .file("/etc/fstab", "# /etc/fstab\n/dev/sda1  /  ext4  errors=remount-ro 0 1\n/dev/sda5\tnone\tswap\tsw\t0 0\n/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n")
        .file("/etc/crypttab", "data /dev/sda5 none luks,initramfs\n")
        .file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"root=/dev/sda1 console=ttyS0\"\n")
        .file("/etc/initramfs-tools/initramfs.conf", "MODULES=dep\n")
        .file("/etc/initramfs-tools/modules", "# List of modules\n")
        .file("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda5\n")
        .file("/etc/network/interfaces", "auto lo\niface lo inet loopback\n\nallow-hotplug enp0s25\niface enp0s25 inet dhcp\n")
        .file(
            "/etc/udev/rules.d/70-persistent-net.rules",
            "# PCI device (e1000e)\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:1b:21:3a:4c:5d\", ATTR{type}==\"1\", NAME=\"enp0s25\"\n",
        )
        .directory("/boot/grub/i386-pc")
        .file("/boot/grub/device.map", "(hd0)\t/dev/sda\n")
        .file("/boot/grub/grub.cfg", grub_cfg(release))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
}

fn bios(image: &[u8]) -> MemoryTree {
    let release = &kernel().0;
    let root = text_files(with_modules(MemoryVolume::new("mbr:1", ROOT)), release);
    let root = root.file(&format!("/boot/initrd.img-{release}"), image);
    tree(root, vec![MemoryVolume::new("mbr:5", SWAP)])
}

/// initramfs-tools-core, with its mkinitramfs and its configuration, stays beside Debian's dracut.
#[test]
fn debian_with_dracut_keeps_the_drivers_by_dracut() {
    let release = &kernel().0;
    let root = text_files(with_modules(MemoryVolume::new("mbr:1", ROOT)), release)
        .file("/usr/sbin/mkinitramfs", "")
        .file("/usr/lib/dracut/dracut-init.sh", "")
        .file("/etc/kernel/postinst.d/dracut", "")
        .file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n")
        .file(&format!("/boot/initrd.img-{release}"), old_image(Base::new(true).dracut()));
    let tree = tree(root, vec![MemoryVolume::new("mbr:5", SWAP)]);
    assert_eq!(of(&identify(&tree), "initramfs"), Some("dracut"));
    let edits = shown(&adapt(&tree, &virtio(), &[]).1);
    assert!(edits.iter().any(|line| line == "write /etc/dracut.conf.d/wherry.conf"), "{edits:?}");
}

#[test]
fn what_bios_debian_is() {
    let tree = bios(b"");
    let os = identify(&tree);
    let release = &kernel().0;
    let seen = (os.family.as_str(), os.id.as_str(), os.version.as_str(), os.architecture.as_str());
    assert_eq!(seen, ("linux", "debian", "12", "x86_64"));
    assert_eq!(os.product, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(os.hostname.as_deref(), Some("old-server"));
    let kernel = format!("{release} /lib/modules/{release} /boot/initrd.img-{release}");
    for (key, value) in [
        ("root.volume", "mbr:1"),
        ("kernel.0", &kernel),
        ("entry.0", "/boot/grub/grub.cfg (default): Debian GNU/Linux"),
        ("entry.1", "/boot/grub/grub.cfg: Debian, recovery mode"),
        ("boot-loader", "grub2-bios"),
        ("initramfs", "initramfs-tools"),
        ("firmware", "bios"),
        ("network.0", "ifupdown enp0s25"),
        ("tools.0", "open-vm-tools"),
        ("free./", "1073741824"),
    ] {
        assert_eq!(of(&os, key), Some(value), "{key}");
    }
    assert!(of(&os, "kernel.1").is_none() && of(&os, "network.1").is_none());
    assert!(tree.edits().is_empty());
}

#[test]
fn bios_debian_from_other_hardware() {
    let release = &kernel().0;
    let image = old_image(Base::new(true).initramfs_tools());
    let tree = bios(&image);
    let (adaptation, all) = adapt(&tree, &virtio(), &[]);
    let append = format!("append /boot/initrd.img-{release}");
    same(
        &shown(&all),
        &[
            &append,
            "write /etc/initramfs-tools/modules",
            "+ virtio_pci",
            "+ virtio_blk",
            "write /etc/fstab",
            "- /dev/sda1  /  ext4  errors=remount-ro 0 1",
            "- /dev/sda5\tnone\tswap\tsw\t0 0",
            "+ UUID=1111-root  /  ext4  errors=remount-ro 0 1",
            "+ PARTUUID=cafe-05\tnone\tswap\tsw\t0 0",
            "write /etc/crypttab",
            "- data /dev/sda5 none luks,initramfs",
            "+ data PARTUUID=cafe-05 none luks,initramfs",
            "write /boot/grub/grub.cfg",
            &format!("- \tlinux\t/boot/vmlinuz-{release} root=/dev/sda1 ro  quiet"),
            &format!("+ \tlinux\t/boot/vmlinuz-{release} root=UUID=1111-root ro  quiet"),
            &format!("- \t\tlinux\t/boot/vmlinuz-{release} root=/dev/sda1 ro single resume=/dev/sdb9"),
            &format!("+ \t\tlinux\t/boot/vmlinuz-{release} root=UUID=1111-root ro single"),
            "write /etc/default/grub",
            "- GRUB_CMDLINE_LINUX=\"root=/dev/sda1 console=ttyS0\"",
            "+ GRUB_CMDLINE_LINUX=\"root=UUID=1111-root console=ttyS0\"",
            "write /etc/initramfs-tools/conf.d/resume",
            "- RESUME=/dev/sda5",
            "+ RESUME=PARTUUID=cafe-05",
            "write /boot/grub/device.map",
            "- (hd0)\t/dev/sda",
            "+ (hd0)\t/dev/vda",
            "write /etc/udev/rules.d/70-persistent-net.rules",
            "- SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:1b:21:3a:4c:5d\", ATTR{type}==\"1\", NAME=\"enp0s25\"",
            "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", DRIVERS==\"virtio_net\", ATTR{type}==\"1\", NAME=\"enp0s25\"",
        ],
    );
    assert_eq!(concerns(&adaptation), ["warning linux.boot.resume-removed"]);
    assert!(adaptation.notes.iter().any(|note| note.starts_with("open-vm-tools is installed")));
    let reason = &all[0].reason;
    assert!(
        reason.contains(release) && reason.contains("virtio_blk") && !reason.contains("sd_mod"),
        "{reason}"
    );
    let now = tree.read_all(&format!("/boot/initrd.img-{release}"), 1 << 30).expect("reads");
    assert!(now.starts_with(&image) && now.len() > image.len());
}

#[test]
fn a_complete_image_is_left_alone() {
    let image = Base::new(true).initramfs_tools().modules(&["virtio_pci", "virtio_blk", "ext4"]).pack();
    let tree = bios(&image);
    let (_, all) = adapt(&tree, &virtio(), &[]);
    let touched = shown(&all)
        .into_iter()
        .filter(|line| line.contains(" /boot/init") || line.contains("-tools"))
        .collect::<Vec<_>>();
    assert_eq!(touched, ["write /etc/initramfs-tools/conf.d/resume"]);
}

/// Names by UUID, generic image, DHCP on a name that the new hardware gives too.
#[test]
fn where_nothing_is_needed_nothing_is_done() {
    let release = &kernel().0;
    let image = Base::new(true).initramfs_tools().modules(&["virtio_pci", "virtio_blk", "ext4"]).pack();
    let root = with_modules(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/os-release", OS)
        .file("/usr/lib/systemd/systemd", "")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
        .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n")
        .file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n")
        .file("/etc/initramfs-tools/modules", "")
        .file("/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n")
        .directory("/boot/grub/i386-pc")
        .file(
            "/boot/grub/grub.cfg",
            grub_cfg(release).replace("/dev/sda1", "UUID=1111-root").replace(" resume=/dev/sdb9", ""),
        )
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd.img-{release}"), image);
    let tree = tree(root, Vec::new());
    for bus in ["virtio-blk", "virtio-scsi", "nvme", "ahci"] {
        let profile = wherry_sdk::DeviceProfile { disk_bus: bus.into(), ..virtio() };
        let all = edits(&tree, &profile, &[]);
        // the image here holds virtio-blk only
        assert_eq!(all.is_empty(), bus == "virtio-blk", "{bus}: {all:?}");
    }
}

#[test]
fn uefi_debian_without_fallback_loader() {
    let esp = MemoryVolume::new("gpt:3", ESP)
        .file("/EFI/debian/shimx64.efi", "shim")
        .file("/EFI/debian/grubx64.efi", "grub")
        .file("/EFI/debian/mmx64.efi", "mm")
        .file("/EFI/debian/grub.cfg", "search.fs_uuid 1111-root root hd0,gpt1\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n");
    let root = built_in(MemoryVolume::new("gpt:1", ROOT))
        .file("/etc/os-release", OS)
        .file("/usr/lib/systemd/systemd", "")
        .file(
            "/etc/fstab",
            "UUID=1111-root / ext4 defaults 0 1\nUUID=abcd-0001 /boot/efi vfat umask=0077 0 1\n",
        )
        .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n")
        .file(
            "/boot/grub/grub.cfg",
            format!("menuentry 'Debian' {{\n\tlinux /boot/vmlinuz-{BUILT_IN} root=UUID=1111-root ro\n}}\n"),
        )
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN));
    let tree = tree(root, vec![esp]);
    let os = identify(&tree);
    assert_eq!((of(&os, "firmware"), of(&os, "boot-loader")), (Some("uefi"), Some("grub2-efi")));
    assert_eq!(of(&os, "mount./boot/efi"), Some("UUID=abcd-0001 gpt:3"));
    let mut profile = virtio_uefi();
    profile.facts.push(wherry_sdk::fact("serial-console", "ttyS0"));
    same(
        &edits(&tree, &profile, &[]),
        &[
            "write /boot/grub/grub.cfg",
            &format!("- \tlinux /boot/vmlinuz-{BUILT_IN} root=UUID=1111-root ro"),
            &format!("+ \tlinux /boot/vmlinuz-{BUILT_IN} root=UUID=1111-root ro console=tty0 console=ttyS0"),
            "write /etc/default/grub",
            "- GRUB_CMDLINE_LINUX=\"\"",
            "+ GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0\"",
            "make-directory /boot/efi/EFI/BOOT",
            "write /boot/efi/EFI/BOOT/BOOTX64.EFI",
            "+ shim",
            "write /boot/efi/EFI/BOOT/grubx64.efi",
            "+ grub",
            "write /boot/efi/EFI/BOOT/mmx64.efi",
            "+ mm",
        ],
    );
}

#[test]
fn ubuntu_with_netplan() {
    let os = "ID=ubuntu\nVERSION_ID=\"24.04\"\nPRETTY_NAME=\"Ubuntu 24.04 LTS\"\n";
    let netplan = "network:\n    ethernets:\n        ens160:\n            dhcp4: true\n            match:\n                macaddress: 00:50:56:aa:bb:cc\n            set-name: ens160\n    version: 2\n";
    let root = built_in(MemoryVolume::new("gpt:1", ROOT))
        .file("/etc/os-release", os)
        .file("/usr/lib/systemd/systemd", "")
        .file("/etc/fstab", "/dev/disk/by-uuid/1111-root / ext4 defaults 0 1\n")
        .file("/etc/netplan/50-cloud-init.yaml", netplan)
        .file("/usr/bin/cloud-init", "")
        .directory("/boot/grub/i386-pc")
        .file("/boot/grub/grub.cfg", format!("menuentry 'Ubuntu' {{\n\tlinux /boot/vmlinuz-{BUILT_IN} root=UUID=1111-root ro console=tty1\n}}\n"))
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN));
    let change = |options: &[wherry_sdk::Fact]| {
        let tree = tree(root.clone(), Vec::new());
        edits(&tree, &virtio(), options)
    };
    let file = "write /etc/netplan/50-cloud-init.yaml";
    let old = "-                 macaddress: 00:50:56:aa:bb:cc";
    assert_eq!(
        change(&nics(&["52:54:00:00:00:01"])),
        [file, old, "+                 macaddress: 52:54:00:00:00:01"]
    );
    assert_eq!(change(&[]), [file, old, "+                 driver: virtio_net"]);
    assert_eq!(change(&nics(&["00:50:56:AA:BB:CC"])), Vec::<String>::new());
}
