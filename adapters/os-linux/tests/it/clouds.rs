//! Images that clouds bring: Ubuntu 24.04 on Azure, Amazon Linux 2 and 2023 on EC2.

use crate::current::{DRACUT, image_with};
use crate::debians::{MOST, TOOLS, grub_cfg, initramfs_tools};
use crate::golden::Guest;
use crate::modules::*;
use crate::system::*;
use wherry_sdk::testing::MemoryVolume;

/// netplan by driver and address, labels of file systems, `/boot` apart, settings of the image's in grub.d, a resource disk.
pub fn ubuntu_24_04() -> Guest {
    let kernel =
        Kernel { release: "6.8.0-1008-azure", sets: vec![SCSI, VIRTIO, VIRTIO_SCSI, HYPERV, NEW, NEW_CARDS] };
    let release = kernel.release;
    let facts = [ROOT, &[("fs.label", "cloudimg-rootfs")]].concat();
    let arguments = "root=PARTUUID=cafe-01 ro  console=tty1 console=ttyS0 nvme_core.io_timeout=240";
    let root = kernel
        .install(MemoryVolume::new("gpt:1", &facts), "/usr/lib")
        .file("/etc/os-release", "PRETTY_NAME=\"Ubuntu 24.04 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/etc/fstab", "LABEL=cloudimg-rootfs\t/\t ext4\tdiscard,commit=30,errors=remount-ro\t0 1\nLABEL=BOOT\t/boot\text4\tdefaults\t0 2\nLABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1\n/dev/disk/cloud/azure_resource-part1\t/mnt\tauto\tdefaults,nofail,x-systemd.after=cloud-init-network.service,_netdev,comment=cloudconfig\t0\t2\n")
        .file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX=\"\"\n")
        .file("/etc/default/grub.d/40-force-partuuid.cfg", "GRUB_FORCE_PARTUUID=cafe-01\n")
        .file("/etc/default/grub.d/50-cloudimg-settings.cfg", "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty1 console=ttyS0 nvme_core.io_timeout=240\"\nGRUB_TERMINAL=serial\n")
        .file("/etc/netplan/50-cloud-init.yaml", "network:\n  version: 2\n  ethernets:\n    eth0:\n      match:\n        macaddress: \"00:22:48:aa:bb:cc\"\n        driver: \"hv_netvsc\"\n      dhcp4: true\n      dhcp4-overrides:\n        route-metric: 100\n      dhcp6: false\n      set-name: \"eth0\"\n")
        .file("/usr/bin/cloud-init", "")
        .file("/etc/cloud/cloud.cfg.d/90-azure.cfg", "system_info:\n   package_mirrors: []\n")
        .file("/usr/sbin/waagent", "")
        .file("/usr/sbin/hv_kvp_daemon", "")
        .directory("/etc/udev/rules.d")
        .directory("/boot");
    let boot = MemoryVolume::new("gpt:16", &[BOOT, &[("fs.label", "BOOT")]].concat())
        .directory("/efi")
        .file(
            "/grub/grub.cfg",
            grub_cfg(
                "Ubuntu",
                release,
                "linux",
                "search --no-floppy --fs-uuid --set=root 2222-boot",
                arguments,
            )
            .replace("/boot/", "/"),
        )
        .file("/grub/x86_64-efi/normal.mod", "")
        .file("/grub/i386-pc/normal.mod", "")
        .file(&format!("/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/initrd.img-{release}"), image_with(&kernel, "usr/lib", MOST, TOOLS));
    let esp = MemoryVolume::new("gpt:15", &[ESP, &[("fs.label", "UEFI")]].concat())
        .file("/EFI/BOOT/BOOTX64.EFI", "shim")
        .file(
            "/EFI/ubuntu/grub.cfg",
            "search.fs_uuid 2222-boot root\nset prefix=($root)'/grub'\nconfigfile $prefix/grub.cfg\n",
        )
        .file("/EFI/ubuntu/grubx64.efi", "grub")
        .file("/EFI/ubuntu/shimx64.efi", "shim");
    Guest { tree: tree(initramfs_tools(root), vec![boot, esp]), firmware: "uefi" }
}

/// On a Nitro instance: NVMe and ENA, the kernel's names of cards, EC2's own rules for them.
pub fn amazon_2() -> Guest {
    let kernel = Kernel {
        release: "4.14.343-261.564.amzn2.x86_64",
        sets: vec![SCSI, VIRTIO, VIRTIO_SCSI, ATA, HYPERV, NEW, CARDS, NEW_CARDS, DM],
    };
    let release = kernel.release;
    let facts = [ROOT, &[("fs.label", "/")]].concat();
    let arguments = "root=UUID=1111-root ro console=tty0 console=ttyS0,115200n8 net.ifnames=0 biosdevname=0 nvme_core.io_timeout=4294967295 rd.emergency=poweroff rd.shell=0";
    let root = kernel
        .install(MemoryVolume::new("gpt:1", &facts), "/usr/lib")
        .file("/etc/os-release", "NAME=\"Amazon Linux\"\nVERSION=\"2\"\nID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\nPRETTY_NAME=\"Amazon Linux 2\"\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/usr/lib/dracut/dracut-init.sh", "")
        .directory("/etc/dracut.conf.d")
        .file("/etc/fstab", "#\nUUID=1111-root     /           xfs    defaults,noatime  1   1\n")
        .file("/etc/default/grub", format!("GRUB_CMDLINE_LINUX_DEFAULT=\"{}\"\nGRUB_TIMEOUT=0\nGRUB_DISABLE_RECOVERY=\"true\"\nGRUB_TERMINAL=\"ec2-console\"\nGRUB_X86_USE_32BIT=\"true\"\n", &arguments["root=UUID=1111-root ro ".len()..]))
        .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\nTYPE=Ethernet\nUSERCTL=yes\nPEERDNS=yes\nDHCPV6C=yes\n")
        .file("/etc/udev/rules.d/53-ec2-network-interfaces.rules", "ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"eth*\", RUN+=\"/usr/sbin/ec2ifup $env{INTERFACE}\"\n")
        .file("/etc/udev/rules.d/70-persistent-net.rules", "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"0a:1b:2c:3d:4e:5f\", KERNEL==\"eth*\", NAME=\"eth0\"\n")
        .file("/usr/bin/cloud-init", "")
        .file("/etc/sysconfig/network-scripts/ec2net-functions", "")
        .file("/usr/bin/amazon-ssm-agent", "")
        .file("/usr/lib/systemd/system/amazon-ssm-agent.service", "")
        .file("/boot/grub2/i386-pc/normal.mod", "")
        .file("/boot/grub2/grub.cfg", format!("set default=\"${{saved_entry}}\"\nmenuentry 'Amazon Linux 2' --class amzn --class gnu-linux --class gnu --class os --unrestricted $menuentry_id_option 'gnulinux-{release}-advanced-1111-root' {{\n\tload_video\n\tset gfxpayload=keep\n\tinsmod gzio\n\tinsmod part_gpt\n\tinsmod xfs\n\tset root='hd0,gpt1'\n\tsearch --no-floppy --fs-uuid --set=root  1111-root\n\tlinux\t/boot/vmlinuz-{release} {arguments}\n\tinitrd\t/boot/initramfs-{release}.img\n}}\n"))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initramfs-{release}.img"), image_with(&kernel, "usr/lib", &["nvme-core", "nvme", "xen-blkfront"], DRACUT));
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// By UEFI on a Nitro instance: BLS, systemd-networkd with patterns of EC2's drivers, `ens5`.
pub fn amazon_2023() -> Guest {
    let kernel = Kernel {
        release: "6.1.91-99.172.amzn2023.x86_64",
        sets: vec![SCSI, VIRTIO, VIRTIO_SCSI, HYPERV, NEW, CARDS, NEW_CARDS],
    };
    let release = kernel.release;
    let facts = [ROOT, &[("fs.label", "/")]].concat();
    let arguments = "root=UUID=1111-root ro console=tty0 console=ttyS0,115200n8 nvme_core.io_timeout=4294967295 rd.emergency=poweroff rd.shell=0 selinux=1 security=selinux quiet";
    let machine = "ec2f1c7e4d5b4a6f8e9d0c1b2a394857";
    let root = kernel
        .install(MemoryVolume::new("gpt:1", &facts), "/usr/lib")
        .file("/etc/os-release", "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\nPLATFORM_ID=\"platform:al2023\"\nPRETTY_NAME=\"Amazon Linux 2023.4.20240528\"\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/usr/lib/dracut/dracut-init.sh", "")
        .directory("/etc/dracut.conf.d")
        .directory("/etc/udev/rules.d")
        .file("/etc/fstab", "#\nUUID=1111-root     /           xfs    defaults,noatime  1   1\nUUID=ABCD-0001        /boot/efi       vfat    defaults,noatime,uid=0,gid=0,umask=0077,shortname=winnt,x-systemd.automount 0 2\n")
        .file("/etc/default/grub", format!("GRUB_CMDLINE_LINUX_DEFAULT=\"{}\"\nGRUB_TIMEOUT=0\nGRUB_ENABLE_BLSCFG=\"true\"\n", &arguments["root=UUID=1111-root ro ".len()..]))
        .file("/etc/kernel/cmdline", format!("{arguments}\n"))
        .file("/usr/lib/systemd/network/80-ec2.network", "[Match]\nDriver=ena ixgbevf vif\n\n[Link]\nMTUBytes=9001\n\n[Network]\nDHCP=yes\n")
        .file("/usr/bin/cloud-init", "")
        .file("/usr/bin/setup-policy-routes", "")
        .file("/usr/bin/amazon-ssm-agent", "")
        .directory("/boot/efi")
        .file("/boot/grub2/i386-pc/normal.mod", "")
        .file("/boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n")
        .file("/boot/grub2/grubenv", format!("# GRUB Environment Block\nsaved_entry={machine}-{release}\n{}", "#".repeat(900)))
        .file(&format!("/boot/loader/entries/{machine}-{release}.conf"), format!("title Amazon Linux ({release}) 2023\nversion {release}\nlinux /boot/vmlinuz-{release}\ninitrd /boot/initramfs-{release}.img\noptions {arguments}\ngrub_users $grub_users\ngrub_arg --unrestricted\ngrub_class amzn\n"))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initramfs-{release}.img"), image_with(&kernel, "usr/lib", &["nvme-core", "nvme", "xen-blkfront"], DRACUT));
    let esp = MemoryVolume::new("gpt:128", ESP)
        .file("/EFI/BOOT/BOOTX64.EFI", "grub")
        .file("/EFI/amzn/grub.cfg", "search --fs-uuid --set=dev 1111-root\nset prefix=($dev)/boot/grub2\nconfigfile $prefix/grub.cfg\n")
        .file("/EFI/amzn/grubx64.efi", "grub");
    Guest { tree: tree(root, vec![esp]), firmware: "uefi" }
}
