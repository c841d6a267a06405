//! Systems of today: roots in subvolumes of btrfs, BLS, mkinitfs, mkinitcpio, make-initrd, Photon's menu.

use crate::golden::{Guest, image};
use crate::modules::*;
use crate::system::*;
use wherry_sdk::testing::MemoryVolume;

/// A release, and an initramfs with what a VMware guest needs and these files.
fn guest(release: &'static str, lib: &str, marks: &[(&str, &str)]) -> (Kernel, Vec<u8>) {
    let kernel = Kernel { release, sets: today() };
    let image = image_with(&kernel, lib, &["scsi_mod", "sd_mod", "vmw_pvscsi"], marks);
    (kernel, image)
}

/// An initramfs with these modules below `lib` and these files.
pub fn image_with(kernel: &Kernel, lib: &str, keeps: &[&str], marks: &[(&str, &str)]) -> Vec<u8> {
    let inside = kernel.inside(lib, keeps);
    let mut files: Vec<(&str, &[u8])> = marks.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    files.extend(inside.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    image(&files)
}

fn btrfs<'a>(default: &'a str, subvolumes: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("fs.kind", "btrfs"),
        ("fs.uuid", "4444-root"),
        ("fs.default-subvolume", default),
        ("fs.subvolumes", subvolumes),
        ("disk.index", "0"),
        ("partition.number", "2"),
        ("partition.uuid", "cafe-02"),
        ("parent", "disk:0"),
    ]
}

pub const DRACUT: &[(&str, &str)] =
    &[("usr/lib/dracut/dracut-dir", ""), ("usr/lib/systemd/systemd-udevd", "udev"), ("init", "#!/bin/sh\n")];

/// Everything of `volume` moved below `inside`, which becomes the root.
fn below(volume: MemoryVolume, files: &[(&str, String)], inside: &str) -> MemoryVolume {
    files.iter().fold(volume, |volume, (path, text)| volume.file(&format!("{inside}{path}"), text))
}

/// The default subvolume is a snapshot; another snapshot and the top of the volume have no say. GRUB's parts are subvolumes.
pub fn opensuse() -> Guest {
    let (kernel, image) = guest("6.4.0-150600-default", "usr/lib", DRACUT);
    let root = "/@/.snapshots/1/snapshot";
    let list = "256 /@\n257 /@/boot/grub2/i386-pc\n258 /@/home\n259 /@/.snapshots\n260 /@/.snapshots/1/snapshot\n261 /@/.snapshots/2/snapshot";
    let release = kernel.release;
    let table = "/dev/sda2 / btrfs defaults 0 0\n/dev/sda2 /home btrfs subvol=/@/home 0 0\n/dev/sda2 /boot/grub2/i386-pc btrfs subvol=/@/boot/grub2/i386-pc 0 0\n/dev/sda2 /.snapshots btrfs subvol=/@/.snapshots 0 0\n";
    let files = [
        (
            "/etc/os-release",
            "ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\nPRETTY_NAME=\"openSUSE Leap 15.6\"\n".to_owned(),
        ),
        ("/etc/fstab", table.to_owned()),
        ("/etc/passwd", String::new()),
        ("/usr/lib/systemd/systemd", String::new()),
        ("/usr/lib/udev/rules.d/80-net-setup-link.rules", String::new()),
        ("/usr/lib/dracut/dracut-init.sh", String::new()),
        ("/etc/dracut.conf.d/x", String::new()),
        ("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n".to_owned()),
        (
            "/etc/default/grub",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"splash=silent\"\nSUSE_BTRFS_SNAPSHOT_BOOTING=\"true\"\n".to_owned(),
        ),
        (
            "/boot/grub2/grub.cfg",
            format!(
                "set btrfs_relative_path=\"yes\"\nmenuentry 'openSUSE Leap 15.6' {{\n\tlinux /boot/vmlinuz-{release} root=/dev/sda2 ${{extra_cmdline}} splash=silent\n\tinitrd /boot/initrd-{release}\n}}\n"
            ),
        ),
    ];
    let volume = MemoryVolume::new("mbr:2", &btrfs(root, list));
    let volume = below(volume, &files, root);
    let old = "/@/.snapshots/2/snapshot";
    let volume = below(volume, &files[..3], old);
    let volume = install(volume, &kernel, root)
        .file(&format!("{root}/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("{root}/boot/initrd-{release}"), image)
        .directory(&format!("{root}/boot/grub2/i386-pc"))
        .file("/@/boot/grub2/i386-pc/normal.mod", "");
    Guest { tree: tree(volume, Vec::new()), firmware: "bios" }
}

/// The kernel's modules below a subvolume.
fn install(volume: MemoryVolume, kernel: &Kernel, inside: &str) -> MemoryVolume {
    kernel.install(volume, &format!("{inside}/usr/lib")).symlink(&format!("{inside}/lib"), "usr/lib")
}

/// The root in the subvolume `root`, `/boot` a partition, BLS entries whose command line names the subvolume.
pub fn fedora() -> Guest {
    let (kernel, image) = guest("6.11.4-301.fc41.x86_64", "usr/lib", DRACUT);
    let release = kernel.release;
    let arguments = "root=UUID=4444-root ro rootflags=subvol=root rhgb quiet";
    let files = [
        ("/etc/os-release", "ID=fedora\nVERSION_ID=41\nPRETTY_NAME=\"Fedora Linux 41 (Server Edition)\"\n".to_owned()),
        ("/etc/fstab", "UUID=4444-root / btrfs subvol=root,compress=zstd:1 0 0\nUUID=2222-boot /boot ext4 defaults 1 2\nUUID=ABCD-0001 /boot/efi vfat umask=0077,shortname=winnt 0 2\nUUID=4444-root /home btrfs subvol=home,compress=zstd:1 0 0\n".to_owned()),
        ("/usr/lib/systemd/systemd", String::new()),
        ("/usr/lib/udev/rules.d/80-net-setup-link.rules", String::new()),
        ("/usr/lib/dracut/dracut-init.sh", String::new()),
        ("/etc/dracut.conf.d/x", String::new()),
        ("/etc/kernel/cmdline", format!("{arguments}\n")),
        ("/etc/NetworkManager/system-connections/ens192.nmconnection", "[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ipv4]\naddress1=192.0.2.9/24,192.0.2.1\nmethod=manual\n".to_owned()),
        ("/boot/efi/x", String::new()),
    ];
    let volume = below(MemoryVolume::new("gpt:2", &btrfs("/", "256 /home\n257 /root")), &files[..8], "/root");
    let volume = install(volume, &kernel, "/root").directory("/home").directory("/root/boot");
    let boot = MemoryVolume::new("gpt:1", BOOT)
        .directory("/efi")
        .file(&format!("/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/initramfs-{release}.img"), image)
        .file("/grub2/grub.cfg", "insmod blscfg\nblscfg\n")
        .file(&format!("/loader/entries/0123-{release}.conf"), format!("title Fedora Linux ({release})\nversion {release}\nlinux /vmlinuz-{release}\ninitrd /initramfs-{release}.img\noptions {arguments}\n"));
    let esp = MemoryVolume::new("gpt:3", ESP)
        .file("/EFI/fedora/shimx64.efi", "shim")
        .file("/EFI/fedora/grubx64.efi", "grub")
        .file("/EFI/BOOT/BOOTX64.EFI", "shim");
    Guest { tree: tree(volume, vec![boot, esp]), firmware: "uefi" }
}

/// `/boot` in the subvolume `@`, so that GRUB counts its paths from there; netplan with a static address.
pub fn ubuntu() -> Guest {
    let marks = [
        ("conf/initramfs.conf", "MODULES=dep\n"),
        ("scripts/functions", ""),
        ("conf/modules", ""),
        ("usr/lib/systemd/systemd-udevd", "udev"),
        ("init", "#!/bin/sh\n"),
    ];
    let (kernel, image) = guest("6.8.0-45-generic", "usr/lib", &marks);
    let release = kernel.release;
    let files = [
        ("/etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\nPRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\n".to_owned()),
        ("/etc/fstab", "/dev/disk/by-uuid/4444-root / btrfs defaults,subvol=@ 0 1\n/dev/disk/by-uuid/4444-root /home btrfs defaults,subvol=@home 0 2\n".to_owned()),
        ("/usr/lib/systemd/systemd", String::new()),
        ("/usr/lib/udev/rules.d/80-net-setup-link.rules", String::new()),
        ("/usr/sbin/mkinitramfs", String::new()),
        ("/etc/initramfs-tools/initramfs.conf", "MODULES=dep\n".to_owned()),
        ("/etc/initramfs-tools/modules", "# modules\n".to_owned()),
        ("/etc/netplan/50-cloud-init.yaml", "network:\n  version: 2\n  ethernets:\n    ens160:\n      addresses: [192.0.2.9/24]\n      match:\n        macaddress: 00:50:56:00:00:01\n      set-name: ens160\n".to_owned()),
        ("/boot/grub/grub.cfg", format!("menuentry 'Ubuntu' --class ubuntu {{\n\tlinux /@/boot/vmlinuz-{release} root=UUID=4444-root ro rootflags=subvol=@\n\tinitrd /@/boot/initrd.img-{release}\n}}\n")),
        ("/boot/grub/i386-pc/normal.mod", String::new()),
    ];
    let volume = below(
        MemoryVolume::new("mbr:2", &btrfs("/", "256 /@\n257 /@home\n258 /timeshift-btrfs/snapshots/a/@")),
        &files,
        "/@",
    );
    let volume = below(volume, &files[..2], "/timeshift-btrfs/snapshots/a/@");
    let volume = install(volume, &kernel, "/@")
        .file(&format!("/@/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/@/boot/initrd.img-{release}"), image)
        .directory("/@home");
    Guest { tree: tree(volume, Vec::new()), firmware: "bios" }
}

/// extlinux, busybox, kernels without a number in their names.
pub fn alpine() -> Guest {
    let (kernel, image) = guest(
        "6.6.58-0-virt",
        "lib",
        &[("sbin/nlplug-findfs", ""), ("init", "#!/bin/sh\n# Alpine Init\n"), ("etc/modules", "")],
    );
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/os-release", "ID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n")
        .file("/etc/fstab", "/dev/sda1 / ext4 rw,relatime 0 1\n")
        .file("/etc/mkinitfs/mkinitfs.conf", "features=\"base ext4 mmc\"\n")
        .file("/etc/mkinitfs/features.d/ata.modules", "")
        .file("/etc/mkinitfs/features.d/scsi.modules", "")
        .file("/etc/mkinitfs/features.d/virtio.modules", "")
        .file("/etc/mkinitfs/features.d/nvme.modules", "")
        .file("/sbin/mkinitfs", "")
        .file("/etc/update-extlinux.conf", "default_kernel_opts=\"quiet rootfstype=ext4\"\nmodules=sd-mod,usb-storage,ext4\nroot=/dev/sda1\n")
        .file("/etc/network/interfaces", "auto eth0\niface eth0 inet static\n  address 192.0.2.9/24\n")
        .file("/boot/extlinux.conf", "DEFAULT menu.c32\nTIMEOUT 10\nLABEL virt\n  MENU DEFAULT\n  LINUX vmlinuz-virt\n  INITRD initramfs-virt\n  APPEND root=/dev/sda1 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4\n")
        .file("/boot/vmlinuz-virt", vmlinuz(kernel.release))
        .file("/boot/initramfs-virt", image);
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// systemd-boot in an EFI system partition at `/boot`, two images a entry, systemd-networkd.
pub fn arch() -> Guest {
    let (kernel, image) = guest(
        "6.11.5-arch1-1",
        "usr/lib",
        &[
            ("config", "MODULES=\"\"\nHOOKS=\"udev\"\nEARLYHOOKS=\"udev\"\n"),
            ("hooks/udev", ""),
            ("init_functions", ""),
            ("usr/lib/systemd/systemd-udevd", ""),
            ("init", "#!/usr/bin/ash\n"),
        ],
    );
    let esp = MemoryVolume::new("gpt:3", ESP)
        .file("/EFI/BOOT/BOOTX64.EFI", "systemd-boot")
        .file("/EFI/systemd/systemd-bootx64.efi", "systemd-boot")
        .file("/loader/loader.conf", "default arch.conf\n")
        .file("/loader/entries/arch.conf", "title Arch Linux\nlinux /vmlinuz-linux\ninitrd /intel-ucode.img\ninitrd /initramfs-linux.img\noptions root=/dev/sda1 rw\n")
        .file("/vmlinuz-linux", vmlinuz(kernel.release))
        .file("/intel-ucode.img", "")
        .file("/initramfs-linux.img", image);
    let root = kernel
        .install(MemoryVolume::new("gpt:1", ROOT), "/usr/lib")
        .file("/etc/os-release", "ID=arch\nPRETTY_NAME=\"Arch Linux\"\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/usr/bin/mkinitcpio", "")
        .directory("/boot")
        .file("/etc/mkinitcpio.conf", "MODULES=()\nHOOKS=(base udev autodetect block filesystems)\n")
        .file(
            "/etc/systemd/network/20-wired.network",
            "[Match]\nName=ens192\n\n[Network]\nAddress=192.0.2.9/24\n",
        );
    Guest { tree: tree(root, vec![esp]), firmware: "uefi" }
}

/// make-initrd, whose udev stands elsewhere, and etcnet.
pub fn alt() -> Guest {
    let (kernel, image) = guest(
        "6.1.115-un-def-alt1",
        "lib",
        &[
            ("etc/initrd/method", "normal\n"),
            ("etc/rc.d/init.d/uevent", ""),
            ("lib/initrd/udevd", ""),
            ("init", "#!/bin/bash\n"),
        ],
    );
    let release = kernel.release;
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/os-release", "ID=altlinux\nVERSION_ID=10.4\nPRETTY_NAME=\"ALT Server 10.4\"\n")
        .file("/lib/systemd/systemd", "")
        .file("/etc/fstab", "UUID=1111-root / ext4 relatime 1 1\n")
        .file("/etc/initrd.mk", "AUTODETECT = all\n")
        .file("/boot/grub/i386-pc/normal.mod", "")
        .file("/boot/grub/grub.cfg", format!("menuentry 'ALT' {{\n\tlinux /boot/vmlinuz-{release} root=UUID=1111-root ro\n\tinitrd /boot/initrd-{release}.img\n}}\n"))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd-{release}.img"), image);
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// Photon's menu takes kernel and initramfs from files of variables.
pub fn photon() -> Guest {
    let (kernel, image) = guest("6.1.10-11.ph5", "usr/lib", DRACUT);
    let release = kernel.release;
    let menu = "set default=0\nload_env -f /boot/photon.cfg\nif [ -f  /boot/systemd.cfg ]; then\n    load_env -f /boot/systemd.cfg\nelse\n    set systemd_cmdline=net.ifnames=0\nfi\nset rootpartition=/dev/sda1\nmenuentry \"Photon\" {\n    linux /boot/$photon_linux root=$rootpartition $photon_cmdline $systemd_cmdline\n    if [ -f /boot/$photon_initrd ]; then\n        initrd /boot/$photon_initrd\n    fi\n}\n";
    let root = kernel
        .install(MemoryVolume::new("gpt:1", ROOT), "/usr/lib")
        .file("/etc/os-release", "ID=photon\nVERSION_ID=5.0\nPRETTY_NAME=\"VMware Photon OS/Linux\"\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/dracut/dracut-init.sh", "")
        .directory("/etc/dracut.conf.d")
        .file("/etc/fstab", "PARTUUID=cafe-01 / ext4 defaults,barrier,noatime 1 1\n")
        .file("/etc/systemd/network/99-dhcp-en.network", "[Match]\nName=e*\n\n[Network]\nDHCP=yes\n")
        .file("/usr/bin/vmtoolsd", "")
        .file("/boot/grub2/i386-pc/normal.mod", "")
        .file("/boot/grub2/grub.cfg", menu)
        .file(&format!("/boot/linux-{release}.cfg"), format!("# GRUB Environment Block\nphoton_cmdline=init=/lib/systemd/systemd ro loglevel=3 quiet\nphoton_linux=vmlinuz-{release}\nphoton_initrd=initrd.img-{release}\n"))
        .symlink("/boot/photon.cfg", &format!("linux-{release}.cfg"))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd.img-{release}"), image);
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}
