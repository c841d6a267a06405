//! SUSE Linux Enterprise Server 12 to 16.

use crate::current::{DRACUT, image_with};
use crate::golden::Guest;
use crate::modules::*;
use crate::system::*;
use wherry_sdk::testing::MemoryVolume;

fn common(root: MemoryVolume, release: &str) -> MemoryVolume {
    root.file("/etc/os-release", release)
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/usr/lib/dracut/dracut-init.sh", "")
        .file("/sbin/mkinitrd", "")
        .directory("/etc/dracut.conf.d")
        .directory("/etc/udev/rules.d")
}

fn menu(title: &str, release: &str, arguments: &str, commands: [&str; 2]) -> String {
    let [linux, initrd] = commands;
    format!(
        "set btrfs_relative_path=\"yes\"\nexport btrfs_relative_path\nif [ -f ${{config_directory}}/grubenv ]; then\n  load_env -f ${{config_directory}}/grubenv\nelif [ -s $prefix/grubenv ]; then\n  load_env\nfi\nif [ \"${{next_entry}}\" ] ; then\n   set default=\"${{next_entry}}\"\nelse\n   set default=\"${{saved_entry}}\"\nfi\nmenuentry '{title}'  --class sles --class gnu-linux --class gnu --class os $menuentry_id_option 'gnulinux-simple-1111-root' {{\n\tload_video\n\tset gfxpayload=keep\n\tinsmod gzio\n\tinsmod part_msdos\n\tinsmod ext2\n\tset root='hd0,msdos1'\n\tsearch --no-floppy --fs-uuid --set=root --hint='hd0,msdos1'  1111-root\n\techo\t'Loading Linux {release} ...'\n\t{linux}\t/boot/vmlinuz-{release} {arguments}\n\techo\t'Loading initial ramdisk ...'\n\t{initrd}\t/boot/initrd-{release}\n}}\nif [ -f  ${{config_directory}}/custom.cfg ]; then\n  source ${{config_directory}}/custom.cfg\nfi\n"
    )
}

/// On Xen, fully virtualised: wicked, names by persistent rules, a resume device by Xen's name.
pub fn sles_12() -> Guest {
    let kernel = Kernel { release: "4.12.14-122.124-default", sets: today() };
    let release = kernel.release;
    let marks = [
        DRACUT,
        &[
            ("etc/cmdline.d/95resume.conf", " resume=/dev/xvda5\n"),
            ("etc/cmdline.d/95root-dev.conf", " root=UUID=1111-root rootfstype=ext4 rootflags=rw,relatime\n"),
        ],
    ]
    .concat();
    let arguments = "root=UUID=1111-root  resume=/dev/xvda5 splash=silent quiet showopts";
    let root = common(kernel.install(MemoryVolume::new("mbr:1", ROOT), "/lib"), "NAME=\"SLES\"\nVERSION=\"12-SP5\"\nVERSION_ID=\"12.5\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 12 SP5\"\nID=\"sles\"\n")
        .file("/etc/fstab", "UUID=1111-root / ext4 acl,user_xattr 1 1\n/dev/xvda5 swap swap defaults 0 0\n")
        .file("/etc/default/grub", "GRUB_DISTRIBUTOR=\"SLES12-SP5\"\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX_DEFAULT=\" resume=/dev/xvda5 splash=silent quiet showopts\"\nGRUB_CMDLINE_LINUX=\"\"\nSUSE_BTRFS_SNAPSHOT_BOOTING=\"true\"\n")
        .file("/etc/sysconfig/bootloader", "LOADER_TYPE=\"grub2\"\nSECURE_BOOT=\"no\"\n")
        .file("/etc/sysconfig/kernel", "INITRD_MODULES=\"\"\nDOMU_INITRD_MODULES=\"xennet xenblk\"\n")
        .file("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='192.0.2.9/24'\nSTARTMODE='auto'\n")
        .file("/etc/sysconfig/network/routes", "default 192.0.2.1 - -\n")
        .file("/usr/lib/udev/rules.d/75-persistent-net-generator.rules", "")
        .file("/etc/udev/rules.d/70-persistent-net.rules", "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:16:3e:00:00:01\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n")
        .file("/boot/grub2/i386-pc/normal.mod", "")
        .file("/boot/grub2/device.map", "(hd0)\t/dev/xvda\n")
        .file("/boot/grub2/grub.cfg", menu("SLES12-SP5", release, arguments, ["linux", "initrd"]))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .symlink("/boot/vmlinuz", &format!("vmlinuz-{release}"))
        .file(&format!("/boot/initrd-{release}"), image_with(&kernel, "lib", &["xen-blkfront"], &marks))
        .symlink("/boot/initrd", &format!("initrd-{release}"));
    Guest { tree: tree(root, vec![MemoryVolume::new("mbr:5", SWAP)]), firmware: "bios" }
}

/// On Azure: cloud-init, waagent and its rules, a console, a wait for the root; a disk by path in multipath's configuration.
pub fn sles_15() -> Guest {
    let kernel = Kernel { release: "5.14.21-150500.55.52-default", sets: today() };
    let release = kernel.release;
    let arguments = "root=UUID=1111-root  console=ttyS0 net.ifnames=0 dis_ucode_ldr earlyprintk=ttyS0 multipath=off rootdelay=300 scsi_mod.use_blk_mq=1 USE_BY_UUID_DEVICE_NAMES=1";
    let root = common(kernel.install(MemoryVolume::new("mbr:1", ROOT), "/lib"), "NAME=\"SLES\"\nVERSION=\"15-SP5\"\nVERSION_ID=\"15.5\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 15 SP5\"\nID=\"sles\"\n")
        .file("/etc/fstab", "UUID=1111-root / xfs defaults 0 0\n/dev/disk/cloud/azure_resource-part1 /mnt auto defaults,nofail,x-systemd.requires=cloud-init.service,_netdev,comment=cloudconfig 0 2\n")
        .file("/etc/default/grub", format!("GRUB_DISTRIBUTOR=SLES\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX_DEFAULT=\"{}\"\nGRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"serial --speed=115200 --unit=0\"\n", &arguments["root=UUID=1111-root  ".len()..]))
        .file("/etc/dracut.conf.d/07-azure.conf", "add_drivers+=\" hv_vmbus hv_netvsc hv_storvsc \"\n")
        .file("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\nCLOUD_NETCONFIG_MANAGE='yes'\n")
        .file("/usr/bin/cloud-init", "")
        .file("/usr/sbin/waagent", "")
        .file("/etc/udev/rules.d/66-azure-storage.rules", "ACTION==\"add|change\", SUBSYSTEM==\"block\", ENV{ID_VENDOR}==\"Msft\", GOTO=\"azure_disk\"\n")
        .file("/usr/lib/hyper-v/bin/hv_kvp_daemon", "")
        .file("/boot/grub2/i386-pc/normal.mod", "")
        .file("/boot/grub2/grub.cfg", menu("SLES 15-SP5", release, arguments, ["linux", "initrd"]))
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd-{release}"), image_with(&kernel, "lib", &["hv_vmbus", "scsi_mod", "sd_mod", "hv_storvsc"], DRACUT));
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// On VMware, by UEFI: NetworkManager has taken wicked's place, kernels live below `/usr` with links in `/boot`.
pub fn sles_16() -> Guest {
    let kernel = Kernel { release: "6.12.0-160000.5-default", sets: today() };
    let release = kernel.release;
    let arguments = "root=UUID=1111-root  resume=/dev/disk/by-uuid/3333-swap splash=silent mitigations=auto quiet security=selinux selinux=1 enforcing=1";
    let swap = [SWAP, &[("fs.kind", "swap"), ("fs.uuid", "3333-swap")]].concat();
    let root = common(kernel.install(MemoryVolume::new("gpt:2", ROOT), "/usr/lib"), "NAME=\"SLES\"\nVERSION=\"16.0\"\nVERSION_ID=\"16.0\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 16.0\"\nID=\"sles\"\nID_LIKE=\"suse\"\n")
        .file("/etc/fstab", "UUID=1111-root / xfs defaults 0 1\nUUID=3333-swap swap swap defaults 0 0\nUUID=ABCD-0001 /boot/efi vfat utf8 0 2\n")
        .file("/etc/default/grub", "GRUB_DISTRIBUTOR=\"\"\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX_DEFAULT=\"splash=silent resume=/dev/disk/by-uuid/3333-swap mitigations=auto quiet security=selinux selinux=1 enforcing=1\"\n")
        .file("/etc/NetworkManager/system-connections/ens192.nmconnection", "[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ethernet]\ncloned-mac-address=permanent\nmac-address=00:50:56:AB:CD:EF\n\n[ipv4]\naddress1=192.0.2.9/24\ngateway=192.0.2.1\nmethod=manual\n")
        .file("/usr/bin/vmtoolsd", "")
        .directory("/boot/efi")
        .file("/boot/grub2/x86_64-efi/normal.mod", "")
        .file("/boot/grub2/grub.cfg", menu("SLES 16.0", release, arguments, ["linuxefi", "initrdefi"]))
        .file(&format!("/usr/lib/modules/{release}/vmlinuz"), vmlinuz(release))
        .symlink(&format!("/boot/vmlinuz-{release}"), &format!("../usr/lib/modules/{release}/vmlinuz"))
        .file(&format!("/boot/initrd-{release}"), image_with(&kernel, "usr/lib", &["scsi_mod", "sd_mod", "vmw_pvscsi"], DRACUT));
    let esp = MemoryVolume::new("gpt:3", ESP)
        .file("/EFI/sles/shim.efi", "shim")
        .file("/EFI/sles/grub.efi", "grub")
        .file("/EFI/sles/grubx64.efi", "grub, not signed")
        .file("/EFI/sles/MokManager.efi", "mm")
        .file("/EFI/sles/grub.cfg", "search --fs-uuid --set=root 1111-root\nset prefix=(${root})/boot/grub2\nsource \"${prefix}/grub.cfg\"\n");
    Guest { tree: tree(root, vec![esp, MemoryVolume::new("gpt:4", &swap)]), firmware: "uefi" }
}
