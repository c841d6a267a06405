//! Debian 4 and 12, Ubuntu 10.04 to 22.04.

use crate::current::image_with;
use crate::golden::Guest;
use crate::modules::*;
use crate::system::*;
use wherry_sdk::testing::MemoryVolume;

/// What tells an image of initramfs-tools, with udev as it was called since systemd took it over.
pub const TOOLS: &[(&str, &str)] = &[
    ("conf/initramfs.conf", "MODULES=most\n"),
    ("conf/modules", ""),
    ("scripts/functions", ""),
    ("usr/lib/systemd/systemd-udevd", "udev"),
    ("init", "#!/bin/sh\n"),
];
/// The same, before.
const OLD_TOOLS: &[(&str, &str)] = &[
    ("conf/initramfs.conf", "MODULES=most\n"),
    ("conf/modules", ""),
    ("scripts/functions", ""),
    ("sbin/udevd", "udev"),
    ("init", "#!/bin/sh\n"),
];
/// What `MODULES=most` brings, and an image for any machine of dracut, as far as a kernel has it.
pub const MOST: &[&str] = &[
    "scsi_mod",
    "sd_mod",
    "virtio",
    "virtio_ring",
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "libata",
    "ahci",
    "ata_piix",
    "mptbase",
    "mptscsih",
    "scsi_transport_spi",
    "mptspi",
    "scsi_transport_sas",
    "mptsas",
    "BusLogic",
    "hv_vmbus",
    "hv_storvsc",
    "nvme-core",
    "nvme",
    "vmw_pvscsi",
    "xen-blkfront",
    "ide-core",
    "ide-disk",
    "piix",
];
const SWAP_5: &[(&str, &str)] = &[
    ("fs.kind", "swap"),
    ("fs.uuid", "5555-swap"),
    ("disk.index", "0"),
    ("partition.number", "5"),
    ("parent", "disk:0"),
];

/// The settings of initramfs-tools as the package brings them.
pub fn initramfs_tools(root: MemoryVolume) -> MemoryVolume {
    root.file("/usr/sbin/mkinitramfs", "")
        .file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\nBUSYBOX=auto\nKEYMAP=n\n")
        .file(
            "/etc/initramfs-tools/modules",
            "# List of modules that you want to include in your initramfs.\n",
        )
}

/// An entry of grub.cfg and the same once more in the submenu.
pub fn grub_cfg(title: &str, release: &str, command: &str, search: &str, arguments: &str) -> String {
    let entry = |title: &str, id: &str, extra: &str| {
        format!(
            "menuentry '{title}' --class gnu-linux --class gnu --class os $menuentry_id_option '{id}' {{\n\tload_video\n\tinsmod gzio\n\tinsmod part_msdos\n\tinsmod ext2\n\tset root='hd0,msdos1'\n\t{search}\n\techo\t'Loading Linux {release} ...'\n\t{command}\t/boot/vmlinuz-{release} {arguments}{extra}\n\techo\t'Loading initial ramdisk ...'\n\tinitrd\t/boot/initrd.img-{release}\n}}\n"
        )
    };
    format!(
        "if [ -s $prefix/grubenv ]; then\n  load_env\nfi\nset default=\"0\"\n{}submenu 'Advanced options for {title}' $menuentry_id_option 'gnulinux-advanced-1111-root' {{\n{}}}\n",
        entry(title, "gnulinux-simple-1111-root", ""),
        entry(
            &format!("{title}, with Linux {release} (recovery mode)"),
            &format!("gnulinux-{release}-recovery-1111-root"),
            " single"
        )
    )
}

/// On VirtualBox's IDE: GRUB legacy with the magic comments of update-grub, names of IDE from before libata, 32 bits.
pub fn debian_4() -> Guest {
    let kernel =
        Kernel { release: "2.6.18-6-686", sets: vec![SCSI, OLD_ATA, LSI, BUSLOGIC, CARDS, PCNET, DM] };
    let release = kernel.release;
    let menu = format!(
        "default\t\t0\ntimeout\t\t5\ncolor cyan/blue white/blue\n### BEGIN AUTOMAGIC KERNELS LIST\n## DO NOT UNCOMMENT THEM, Just edit them to your needs\n## ## Start Default Options ##\n# kopt=root=/dev/hda1 ro\n# groot=(hd0,0)\n# alternative=true\n# defoptions=\n## ## End Default Options ##\n\ntitle\t\tDebian GNU/Linux, kernel {release}\nroot\t\t(hd0,0)\nkernel\t\t/boot/vmlinuz-{release} root=/dev/hda1 ro \ninitrd\t\t/boot/initrd.img-{release}\nsavedefault\n\ntitle\t\tDebian GNU/Linux, kernel {release} (single-user mode)\nroot\t\t(hd0,0)\nkernel\t\t/boot/vmlinuz-{release} root=/dev/hda1 ro single\ninitrd\t\t/boot/initrd.img-{release}\nsavedefault\n\n### END DEBIAN AUTOMAGIC KERNELS LIST\n"
    );
    let root = kernel
        .install(MemoryVolume::new("mbr:1", &[ROOT, &[("fs.kind", "ext3")]].concat()), "/lib")
        .file("/etc/debian_version", "4.0\n")
        .file("/etc/fstab", "# /etc/fstab: static file system information.\nproc            /proc           proc    defaults        0       0\n/dev/hda1       /               ext3    defaults,errors=remount-ro 0       1\n/dev/hda5       none            swap    sw              0       0\n/dev/hdc        /media/cdrom0   udf,iso9660 user,noauto     0       0\n")
        .file("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/hda5\n")
        .file("/etc/network/interfaces", "auto lo\niface lo inet loopback\n\nallow-hotplug eth0\niface eth0 inet static\n\taddress 192.0.2.9\n\tnetmask 255.255.255.0\n\tgateway 192.0.2.1\n")
        .file("/etc/udev/persistent-net-generator.rules", "")
        .file("/etc/udev/rules.d/z25_persistent-net.rules", "# PCI device 0x1022:0x2000 (pcnet32)\nSUBSYSTEM==\"net\", DRIVERS==\"?*\", ATTRS{address}==\"08:00:27:00:00:01\", NAME=\"eth0\"\n")
        .file("/usr/sbin/VBoxService", "")
        .file("/etc/X11/xorg.conf", "Section \"Device\"\n\tIdentifier\t\"Generic Video Card\"\n\tDriver\t\t\"vboxvideo\"\nEndSection\n")
        .file("/etc/inittab", "1:2345:respawn:/sbin/getty 38400 tty1\n")
        .file("/boot/grub/stage2", "")
        .file("/boot/grub/device.map", "(hd0)\t/dev/hda\n")
        .file("/boot/grub/menu.lst", menu)
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd.img-{release}"), image_with(&kernel, "lib", MOST, OLD_TOOLS));
    Guest { tree: tree(initramfs_tools(root), vec![MemoryVolume::new("mbr:5", SWAP_5)]), firmware: "bios" }
}

/// On KVM (Proxmox), by UEFI: ifupdown, no loader in the fallback place, a command line by UUID.
pub fn debian_12() -> Guest {
    let kernel = Kernel { release: "6.1.0-21-amd64", sets: today() };
    let release = kernel.release;
    let root = kernel
        .install(MemoryVolume::new("gpt:2", ROOT), "/usr/lib")
        .file("/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n")
        .file("/etc/debian_version", "12.5\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/etc/fstab", "# / was on /dev/sda2 during installation\nUUID=1111-root /               ext4    errors=remount-ro 0       1\n# /boot/efi was on /dev/sda1 during installation\nUUID=ABCD-0001  /boot/efi       vfat    umask=0077      0       1\nUUID=5555-swap none            swap    sw              0       0\n/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0\n")
        .file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n")
        .file("/etc/initramfs-tools/conf.d/resume", "RESUME=UUID=5555-swap\n")
        .file("/etc/network/interfaces", "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\nallow-hotplug ens18\niface ens18 inet static\n\taddress 192.0.2.9/24\n\tgateway 192.0.2.1\n\tdns-nameservers 192.0.2.53\n")
        .directory("/etc/udev/rules.d")
        .directory("/boot/efi")
        .file("/usr/sbin/qemu-ga", "")
        .file("/boot/grub/x86_64-efi/normal.mod", "")
        .file("/boot/grub/grub.cfg", grub_cfg("Debian GNU/Linux", release, "linux", "search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 --hint-efi=hd0,gpt2 --hint-baremetal=ahci0,gpt2  1111-root", "root=UUID=1111-root ro  quiet"))
        .file(&format!("/boot/config-{release}"), "CONFIG_EFI=y\nCONFIG_VIRTIO_PCI=m\n")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd.img-{release}"), image_with(&kernel, "usr/lib", MOST, TOOLS))
        .symlink("/vmlinuz", &format!("boot/vmlinuz-{release}"))
        .symlink("/initrd.img", &format!("boot/initrd.img-{release}"));
    let esp = MemoryVolume::new("gpt:1", ESP)
        .file("/EFI/debian/BOOTX64.CSV", "")
        .file("/EFI/debian/fbx64.efi", "fallback")
        .file("/EFI/debian/grub.cfg", "search.fs_uuid 1111-root root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n")
        .file("/EFI/debian/grubx64.efi", "grub")
        .file("/EFI/debian/mmx64.efi", "mm")
        .file("/EFI/debian/shimx64.efi", "shim");
    Guest {
        tree: tree(initramfs_tools(root), vec![esp, MemoryVolume::new("gpt:5", SWAP_5)]),
        firmware: "uefi",
    }
}

/// On VMware with its own tools: GRUB 1.98 with `search` by UUID, upstart, a rule for the card.
pub fn ubuntu_10_04() -> Guest {
    let kernel = Kernel {
        release: "2.6.32-38-server",
        sets: vec![SCSI, VIRTIO, ATA, LSI, BUSLOGIC, CARDS, PCNET, NEW_CARDS, DM],
    };
    let release = kernel.release;
    let menu = format!(
        "if [ -s $prefix/grubenv ]; then\n  load_env\nfi\nset default=\"0\"\nif [ ${{prev_saved_entry}} ]; then\n  set saved_entry=${{prev_saved_entry}}\n  save_env saved_entry\nfi\ninsmod ext2\nset root='(hd0,1)'\nsearch --no-floppy --fs-uuid --set 1111-root\nmenuentry 'Ubuntu, with Linux {release}' --class ubuntu --class gnu-linux --class gnu --class os {{\n\trecordfail\n\tinsmod ext2\n\tset root='(hd0,1)'\n\tsearch --no-floppy --fs-uuid --set 1111-root\n\tlinux\t/boot/vmlinuz-{release} root=UUID=1111-root ro   quiet\n\tinitrd\t/boot/initrd.img-{release}\n}}\nmenuentry 'Ubuntu, with Linux {release} (recovery mode)' --class ubuntu {{\n\trecordfail\n\tinsmod ext2\n\tset root='(hd0,1)'\n\tlinux\t/boot/vmlinuz-{release} root=UUID=1111-root ro single \n\tinitrd\t/boot/initrd.img-{release}\n}}\nmenuentry \"Memory test (memtest86+)\" {{\n\tinsmod ext2\n\tset root='(hd0,1)'\n\tlinux16\t/boot/memtest86+.bin\n}}\n"
    );
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_CODENAME=lucid\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04.4 LTS\"\n")
        .file("/etc/debian_version", "squeeze/sid\n")
        .file("/etc/fstab", "proc            /proc           proc    nodev,noexec,nosuid 0       0\n# / was on /dev/sda1 during installation\nUUID=1111-root /               ext4    errors=remount-ro 0       1\n# swap was on /dev/sda5 during installation\nUUID=5555-swap none            swap    sw              0       0\n/dev/fd0        /media/floppy0  auto    rw,user,noauto,exec,utf8 0       0\n.host:/\t/mnt/hgfs\tvmhgfs\tdefaults,ttl=5\t0\t0\n")
        .file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_HIDDEN_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n")
        .file("/etc/initramfs-tools/conf.d/resume", "RESUME=UUID=5555-swap\n")
        .file("/etc/init/tty1.conf", "start on stopped rc RUNLEVEL=[2345]\nrespawn\nexec /sbin/getty -8 38400 tty1\n")
        .file("/etc/network/interfaces", "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.9\n\tnetmask 255.255.255.0\n\tgateway 192.0.2.1\n")
        .file("/lib/udev/rules.d/75-persistent-net-generator.rules", "")
        .file("/etc/udev/rules.d/70-persistent-net.rules", "# PCI device 0x15ad:0x07b0 (vmxnet3)\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:50:56:00:00:01\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n")
        .file("/usr/sbin/vmtoolsd", "")
        .file("/usr/bin/vmware-uninstall-tools.pl", "")
        .file("/etc/vmware-tools/config", "")
        .file("/boot/grub/stage2", "")
        .file("/boot/grub/normal.mod", "")
        .file("/boot/memtest86+.bin", "a tester of memory")
        .file("/boot/grub/device.map", "(hd0)\t/dev/sda\n")
        .file("/boot/grub/grub.cfg", menu)
        .file(&format!("/boot/config-{release}"), "CONFIG_BLK_DEV_SD=y\nCONFIG_ATA_PIIX=y\nCONFIG_XEN_BLKDEV_FRONTEND=y\nCONFIG_XEN_NETDEV_FRONTEND=y\n")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd.img-{release}"), image_with(&kernel, "lib", MOST, OLD_TOOLS));
    Guest { tree: tree(initramfs_tools(root), vec![MemoryVolume::new("mbr:5", SWAP_5)]), firmware: "bios" }
}

/// On XenServer: a console that only Xen has, in GRUB's settings and as a job of upstart; disks by Xen's names.
pub fn ubuntu_14_04() -> Guest {
    let kernel = Kernel { release: "3.13.0-170-generic", sets: today() };
    let release = kernel.release;
    let marks = [OLD_TOOLS, &[("conf/conf.d/resume", "RESUME=/dev/xvda5\n")]].concat();
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/os-release", "NAME=\"Ubuntu\"\nVERSION=\"14.04.6 LTS, Trusty Tahr\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 14.04.6 LTS\"\nVERSION_ID=\"14.04\"\n")
        .file("/lib/systemd/systemd-udevd", "")
        .file("/etc/fstab", "/dev/xvda1 /               ext4    errors=remount-ro 0       1\n/dev/xvda5 none            swap    sw              0       0\n")
        .file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"console=hvc0\"\nGRUB_CMDLINE_LINUX=\"\"\n")
        .file("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/xvda5\n")
        .file("/etc/init/tty1.conf", "respawn\nexec /sbin/getty -8 38400 tty1\n")
        .file("/etc/init/hvc0.conf", "start on stopped rc RUNLEVEL=[2345]\nstop on runlevel [!2345]\nrespawn\nexec /sbin/getty -L hvc0 9600 linux\n")
        .file("/etc/network/interfaces", "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.9\n\tnetmask 255.255.255.0\n\tgateway 192.0.2.1\n")
        .file("/lib/udev/rules.d/75-persistent-net-generator.rules", "")
        .directory("/etc/udev/rules.d")
        .file("/usr/sbin/xe-daemon", "")
        .file("/boot/grub/i386-pc/normal.mod", "")
        .file("/boot/grub/grub.cfg", grub_cfg("Ubuntu", release, "linux", "search --no-floppy --fs-uuid --set=root 1111-root", "root=/dev/xvda1 ro  console=hvc0"))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd.img-{release}"), image_with(&kernel, "lib", MOST, &marks));
    Guest { tree: tree(initramfs_tools(root), vec![MemoryVolume::new("mbr:5", SWAP_5)]), firmware: "bios" }
}

/// On Parallels, by UEFI: the installer's LVM, netplan with a static address by the interface's name alone, cloud-init.
pub fn ubuntu_22_04() -> Guest {
    let kernel = Kernel { release: "5.15.0-107-generic", sets: today() };
    let release = kernel.release;
    let facts = [
        ("fs.kind", "ext4"),
        ("fs.uuid", "3333-root"),
        ("lvm.vg", "ubuntu-vg"),
        ("lvm.lv", "ubuntu-lv"),
        ("disk.index", "0"),
    ];
    let menu = grub_cfg(
        "Ubuntu",
        release,
        "linux",
        "search --no-floppy --fs-uuid --set=root 2222-boot",
        "root=/dev/mapper/ubuntu--vg-ubuntu--lv ro ",
    )
    .replace("/boot/", "/");
    let root = kernel
        .install(MemoryVolume::new("lvm:ubuntu-vg/ubuntu-lv", &facts).kind("logical-volume"), "/usr/lib")
        .file("/etc/os-release", "PRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/etc/fstab", "# / was on /dev/ubuntu-vg/ubuntu-lv during curtin installation\n/dev/disk/by-id/dm-uuid-LVM-aBcDeF / ext4 defaults 0 1\n# /boot was on /dev/sda2 during curtin installation\n/dev/disk/by-uuid/2222-boot /boot ext4 defaults 0 1\n# /boot/efi was on /dev/sda1 during curtin installation\n/dev/disk/by-uuid/ABCD-0001 /boot/efi vfat defaults 0 1\n/swap.img\tnone\tswap\tsw\t0\t0\n")
        .file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_TIMEOUT_STYLE=hidden\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\nGRUB_CMDLINE_LINUX=\"\"\n")
        .file("/etc/netplan/00-installer-config.yaml", "# This is the network config written by 'subiquity'\nnetwork:\n  ethernets:\n    enp0s5:\n      addresses:\n      - 192.0.2.9/24\n      nameservers:\n        addresses:\n        - 192.0.2.53\n        search: []\n      routes:\n      - to: default\n        via: 192.0.2.1\n  version: 2\n")
        .file("/usr/bin/cloud-init", "")
        .file("/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg", "network: {config: disabled}\n")
        .file("/usr/bin/prltoolsd", "")
        .file("/usr/lib/systemd/system/prltoolsd.service", "")
        .file("/etc/X11/xorg.conf", "Section \"Device\"\n\tIdentifier \"Parallels Video\"\n\tDriver \"prlvideo\"\nEndSection\n")
        .file("/usr/lib/xorg/modules/drivers/modesetting_drv.so", "")
        .directory("/etc/udev/rules.d")
        .directory("/boot");
    let boot = MemoryVolume::new("gpt:2", BOOT)
        .directory("/efi")
        .file("/grub/grub.cfg", menu)
        .file("/grub/x86_64-efi/normal.mod", "")
        .file(&format!("/vmlinuz-{release}"), vmlinuz(release))
        .symlink("/vmlinuz", &format!("vmlinuz-{release}"))
        .file(&format!("/initrd.img-{release}"), image_with(&kernel, "usr/lib", MOST, TOOLS))
        .symlink("/initrd.img", &format!("initrd.img-{release}"));
    let esp = MemoryVolume::new("gpt:1", ESP)
        .file("/EFI/BOOT/BOOTX64.EFI", "shim")
        .file("/EFI/BOOT/fbx64.efi", "fallback")
        .file("/EFI/ubuntu/grub.cfg", "search.fs_uuid 2222-boot root hd0,gpt2\nset prefix=($root)'/grub'\nconfigfile $prefix/grub.cfg\n")
        .file("/EFI/ubuntu/grubx64.efi", "grub")
        .file("/EFI/ubuntu/shimx64.efi", "shim");
    Guest { tree: tree(initramfs_tools(root), vec![boot, esp]), firmware: "uefi" }
}
