//! Red Hat's family and SUSE: BLS entries, dracut, ifcfg, NetworkManager.

use crate::initramfs_guest::{Base, kernel};
use crate::system::*;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};

const OS: &str =
    "NAME=\"Rocky Linux\"\nID=\"rocky\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"Rocky Linux 9.4 (Blue Onyx)\"\n";
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

fn environment(kernelopts: &str) -> String {
    let text =
        format!("# GRUB Environment Block\nsaved_entry={MACHINE}-{}\nkernelopts={kernelopts}\n", kernel().0);
    format!("{text}{}", "#".repeat(1024 - text.len()))
}

fn rocky() -> MemoryTree {
    let release = &kernel().0;
    let image = old_image(Base::new(true).dracut());
    let entry = |version: &str| {
        format!(
            "title Rocky Linux ({version})\nversion {version}\nlinux /vmlinuz-{version}\ninitrd /initramfs-{version}.img $tuned_initrd\noptions $kernelopts $tuned_params\ngrub_users $grub_users\n"
        )
    };
    let boot = MemoryVolume::new("mbr:2", BOOT)
        .file(&format!("/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/initramfs-{release}.img"), &image)
        .file("/vmlinuz-0-rescue-1", vmlinuz("4.18.0-gone"))
        .file("/initramfs-0-rescue-1.img", "")
        .file(&format!("/loader/entries/{MACHINE}-{release}.conf"), entry(release))
        .file(&format!("/loader/entries/{MACHINE}-0-rescue.conf"), entry("0-rescue-1"))
        .file("/grub2/grub.cfg", "set default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n")
        .file("/grub2/grubenv", environment("root=/dev/mapper/rl-root ro resume=/dev/sda5 rd.lvm.lv=rl/root"))
        .directory("/grub2/i386-pc");
    let root_facts =
        [("fs.kind", "xfs"), ("fs.uuid", "3333"), ("lvm.vg", "rl"), ("lvm.lv", "root"), ("disk.index", "0")];
    let root = with_modules(MemoryVolume::new("lvm:rl/root", &root_facts).kind("logical-volume"))
        .file("/etc/os-release", OS)
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .file("/usr/lib/dracut/dracut-init.sh", "")
        .directory("/etc/dracut.conf.d")
        .directory("/etc/udev/rules.d")
        .file("/etc/fstab", "/dev/mapper/rl-root / xfs defaults 0 0\n/dev/sda2 /boot ext4 defaults 0 0\n/dev/sda5 none swap defaults 0 0\n")
        .file("/etc/kernel/cmdline", "root=/dev/mapper/rl-root ro resume=/dev/sda5\n")
        .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"resume=/dev/sda5 rd.lvm.lv=rl/root\"\n")
        .file("/etc/sysconfig/network-scripts/ifcfg-ens192", "TYPE=Ethernet\nDEVICE=ens192\nHWADDR=00:50:56:AA:00:01\nONBOOT=yes\n")
        .file("/etc/NetworkManager/system-connections/ens224.nmconnection", "[connection]\nid=ens224\ntype=ethernet\ninterface-name=ens224\n\n[ethernet]\nmac-address=00:50:56:AA:00:02\n")
        .file("/etc/lvm/devices/system.devices", "# LVM uses devices listed in this file.\nIDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda3 PVID=abc PART=3\n");
    tree(root, vec![boot, MemoryVolume::new("mbr:5", SWAP)])
}

#[test]
fn what_rocky_is() {
    let tree = rocky();
    let os = identify(&tree);
    let release = &kernel().0;
    assert_eq!((os.id.as_str(), os.version.as_str()), ("rocky", "9.4"));
    for (key, value) in [
        ("root.volume", "lvm:rl/root"),
        ("mount./boot", "/dev/sda2 mbr:2"),
        ("kernel.0", "4.18.0-gone no modules /boot/initramfs-0-rescue-1.img"),
        ("kernel.1", &format!("{release} /lib/modules/{release} /boot/initramfs-{release}.img")),
        (
            "entry.1",
            &format!("/boot/loader/entries/{MACHINE}-{release}.conf (default): Rocky Linux ({release})"),
        ),
        ("initramfs", "dracut"),
        ("network.0", "networkmanager ens224"),
        ("network.1", "ifcfg ens192"),
    ] {
        assert_eq!(of(&os, key), Some(value), "{key}");
    }
}

#[test]
fn rocky_from_vmware() {
    let release = &kernel().0;
    let tree = rocky();
    let (adaptation, all) = adapt(&tree, &virtio(), &nics(&["52:54:00:00:00:01", "52:54:00:00:00:02"]));
    same(
        &shown(&all),
        &[
            &format!("append /boot/initramfs-{release}.img"),
            "write /etc/dracut.conf.d/wherry.conf",
            "+ add_drivers+=\" virtio_pci virtio_blk \"",
            "write /etc/fstab",
            "- /dev/sda2 /boot ext4 defaults 0 0",
            "- /dev/sda5 none swap defaults 0 0",
            "+ UUID=2222-boot /boot ext4 defaults 0 0",
            "+ PARTUUID=cafe-05 none swap defaults 0 0",
            "remove /etc/lvm/devices/system.devices",
            "- # LVM uses devices listed in this file.",
            "- IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda3 PVID=abc PART=3",
            "write /etc/default/grub",
            "- GRUB_CMDLINE_LINUX=\"resume=/dev/sda5 rd.lvm.lv=rl/root\"",
            "+ GRUB_CMDLINE_LINUX=\"resume=PARTUUID=cafe-05 rd.lvm.lv=rl/root\"",
            "write /etc/kernel/cmdline",
            "- root=/dev/mapper/rl-root ro resume=/dev/sda5",
            "+ root=/dev/mapper/rl-root ro resume=PARTUUID=cafe-05",
            "write /boot/grub2/grubenv",
            "- kernelopts=root=/dev/mapper/rl-root ro resume=/dev/sda5 rd.lvm.lv=rl/root",
            "+ kernelopts=root=/dev/mapper/rl-root ro resume=PARTUUID=cafe-05 rd.lvm.lv=rl/root",
            "write /etc/NetworkManager/system-connections/ens224.nmconnection",
            "- mac-address=00:50:56:AA:00:02",
            "+ mac-address=52:54:00:00:00:02",
            "write /etc/sysconfig/network-scripts/ifcfg-ens192",
            "- HWADDR=00:50:56:AA:00:01",
            "+ HWADDR=52:54:00:00:00:01",
            "write /etc/udev/rules.d/70-wherry-net.rules",
            "+ # Written by Wherry: keeps the names that this system's network configuration uses.",
            "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"52:54:00:00:00:01\", NAME=\"ens192\"",
            "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"52:54:00:00:00:02\", NAME=\"ens224\"",
        ],
    );
    // the rescue kernel's modules are gone, and it does not start by itself
    assert_eq!(concerns(&adaptation), ["warning linux.kernel.no-modules"]);
    assert_eq!(tree.text("/boot/grub2/grubenv").len(), 1024);
}

/// Legacy GRUB, a kernel whose only menu entry names a disk by letter, ifcfg without systemd, a rule by slot.
#[test]
fn centos_6() {
    let release = &kernel().0;
    let menu = format!(
        "default=0\ntimeout=5\ntitle CentOS (2.6.32)\n\troot (hd0,0)\n\tkernel /boot/vmlinuz-{release} ro root=/dev/sda1 rd_NO_LUKS console=tty0\n\tinitrd /boot/initramfs-{release}.img\n"
    );
    let rule = "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:50:56:aa:00:01\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n";
    let root = with_modules(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/redhat-release", "CentOS release 6.10 (Final)\n")
        .file("/boot/grub/stage2", "")
        .file("/usr/share/dracut/x", "")
        .directory("/etc/dracut.conf.d")
        .file("/etc/fstab", "/dev/sda1 / ext4 defaults 1 1\n/dev/sda5 swap swap defaults 0 0\n")
        .file("/boot/grub/grub.conf", menu)
        .symlink("/boot/grub/menu.lst", "grub.conf")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initramfs-{release}.img"), old_image(Base::new(false).dracut()))
        .file("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=six.example\n")
        .file(
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            "DEVICE=eth0\nHWADDR=00:50:56:AA:00:01\nONBOOT=yes\n",
        )
        .file("/etc/udev/rules.d/70-persistent-net.rules", rule);
    let tree = tree(root, vec![MemoryVolume::new("mbr:5", SWAP)]);
    let os = identify(&tree);
    assert_eq!(
        (os.id.as_str(), os.version.as_str(), os.hostname.as_deref()),
        ("centos", "6.10", Some("six.example"))
    );
    assert_eq!((of(&os, "boot-loader"), of(&os, "firmware")), (Some("grub-legacy"), Some("bios")));
    same(
        &edits(&tree, &virtio(), &nics(&["52:54:00:ab:00:01"])),
        &[
            &format!("append /boot/initramfs-{release}.img"),
            "write /etc/dracut.conf.d/wherry.conf",
            "+ add_drivers+=\" virtio_pci virtio_blk \"",
            "write /etc/fstab",
            "- /dev/sda1 / ext4 defaults 1 1",
            "- /dev/sda5 swap swap defaults 0 0",
            "+ UUID=1111-root / ext4 defaults 1 1",
            // no PARTUUID= before util-linux 2.22
            "+ /dev/vda5 swap swap defaults 0 0",
            "write /boot/grub/grub.conf",
            &format!("- \tkernel /boot/vmlinuz-{release} ro root=/dev/sda1 rd_NO_LUKS console=tty0"),
            &format!("+ \tkernel /boot/vmlinuz-{release} ro root=UUID=1111-root rd_NO_LUKS console=tty0"),
            "write /etc/sysconfig/network-scripts/ifcfg-eth0",
            "- HWADDR=00:50:56:AA:00:01",
            "+ HWADDR=52:54:00:AB:00:01",
            "write /etc/udev/rules.d/70-persistent-net.rules",
            &format!("- {}", rule.trim()),
            &format!("+ {}", rule.trim().replace("00:50:56:aa:00:01", "52:54:00:ab:00:01")),
        ],
    );
}

/// Names by identifier, as SUSE's installer wrote them.
#[test]
fn opensuse_by_id() {
    let part = "/dev/disk/by-id/scsi-36000c29abc-part";
    let root = built_in(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/os-release", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.5\"\nPRETTY_NAME=\"openSUSE Leap 15.5\"\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/dracut/x", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .directory("/etc/udev/rules.d")
        .file("/etc/fstab", format!("{part}1 / ext4 defaults 0 1\n{part}5 swap swap defaults 0 0\n"))
        .file("/etc/default/grub", format!("GRUB_CMDLINE_LINUX_DEFAULT=\"resume={part}5 splash=silent\"\n"))
        .directory("/boot/grub2/i386-pc")
        .file("/boot/grub2/device.map", "(hd0) /dev/disk/by-id/scsi-36000c29abc\n")
        .file("/boot/grub2/grub.cfg", format!("menuentry 'openSUSE' {{\n\tlinux /boot/vmlinuz-{BUILT_IN} root={part}1 ${{extra_cmdline}} resume={part}5 console=tty0\n\tinitrd /boot/initrd-{BUILT_IN}\n}}\n"))
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
        .file(&format!("/boot/initrd-{BUILT_IN}"), "")
        .file("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n");
    let tree = tree(root, vec![MemoryVolume::new("mbr:5", SWAP)]);
    same(
        &edits(&tree, &virtio(), &[]),
        &[
            "write /etc/fstab",
            &format!("- {part}1 / ext4 defaults 0 1"),
            &format!("- {part}5 swap swap defaults 0 0"),
            "+ UUID=1111-root / ext4 defaults 0 1",
            "+ PARTUUID=cafe-05 swap swap defaults 0 0",
            "write /boot/grub2/grub.cfg",
            &format!(
                "- \tlinux /boot/vmlinuz-{BUILT_IN} root={part}1 ${{extra_cmdline}} resume={part}5 console=tty0"
            ),
            &format!(
                "+ \tlinux /boot/vmlinuz-{BUILT_IN} root=UUID=1111-root ${{extra_cmdline}} resume=PARTUUID=cafe-05 console=tty0"
            ),
            "write /etc/default/grub",
            &format!("- GRUB_CMDLINE_LINUX_DEFAULT=\"resume={part}5 splash=silent\""),
            "+ GRUB_CMDLINE_LINUX_DEFAULT=\"resume=PARTUUID=cafe-05 splash=silent\"",
            "write /boot/grub2/device.map",
            "- (hd0) /dev/disk/by-id/scsi-36000c29abc",
            "+ (hd0) /dev/vda",
            "write /etc/udev/rules.d/70-wherry-net.rules",
            "+ # Written by Wherry: keeps the names that this system's network configuration uses.",
            "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"virtio_net\", NAME=\"eth0\"",
        ],
    );
}
