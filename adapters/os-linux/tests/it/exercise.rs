//! Drives the adapter over a guest whose every file holds the same bytes.

use os_linux::Linux;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, SourceOs, fact};

/// Files that are parsed.
const FILES: &[&str] = &[
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/default/grub",
    "/etc/default/grub.d/50-cloud.cfg",
    "/etc/kernel/cmdline",
    "/etc/initramfs-tools/conf.d/resume",
    "/etc/initramfs-tools/modules",
    "/etc/initramfs-tools/initramfs.conf",
    "/etc/network/interfaces",
    "/etc/netplan/50-cloud-init.yaml",
    "/etc/NetworkManager/system-connections/a.nmconnection",
    "/etc/sysconfig/network-scripts/ifcfg-eth0",
    "/etc/systemd/network/10-a.link",
    "/etc/systemd/network/20-a.network",
    "/etc/udev/rules.d/70-persistent-net.rules",
    "/etc/udev/rules.d/70-wherry-net.rules",
    "/etc/lvm/lvm.conf",
    "/etc/lvm/devices/system.devices",
    "/etc/mdadm/mdadm.conf",
    "/etc/multipath/bindings",
    "/boot/grub/grub.cfg",
    "/boot/grub/menu.lst",
    "/boot/grub/grubenv",
    "/boot/grub/device.map",
    "/boot/extlinux/extlinux.conf",
    "/boot/loader/entries/a.conf",
    "/boot/loader/loader.conf",
    "/boot/config-5.0",
    "/boot/grub/custom.cfg",
    "/etc/grub.d/40_custom",
    "/etc/lilo.conf",
    "/etc/elilo.conf",
    "/boot/EFI/debian/elilo.conf",
    "/etc/modprobe.conf",
    "/etc/inittab",
    "/etc/securetty",
    "/etc/X11/xorg.conf",
    "/etc/update-extlinux.conf",
    "/etc/sysconfig/bootloader",
    "/etc/sysconfig/network/ifcfg-eth-id-00:50:56:00:00:01",
    "/etc/initrd.mk",
    "/boot/vmlinuz-a",
    "/boot/EFI/Linux/a.efi",
];

/// Identifies and adapts a guest made of `bytes`, twice: whatever they are, the second time changes nothing.
pub fn exercise(bytes: &[u8]) {
    // one or the other, by what is at hand
    let tool = ["/etc/initramfs-tools/x", "/usr/lib/dracut/x"][bytes.len() % 2];
    let facts = [
        ("fs.kind", "ext4"),
        ("fs.uuid", "1111-root"),
        ("disk.index", "0"),
        ("partition.number", "1"),
        ("partition.uuid", "cafe-01"),
    ];
    let mut root = MemoryVolume::new("mbr:1", &facts).file("/etc/os-release", "ID=debian\n").file(tool, "");
    for path in FILES.iter().filter(|path| tool.starts_with("/etc/i") || !path.contains("initramfs-tools")) {
        root = root.file(path, bytes);
    }
    root = root
        .file("/boot/vmlinuz-5.0", "")
        .file("/boot/initrd.img-5.0", "")
        .file("/lib/modules/5.0/modules.dep", "virtio_pci.ko:\nvirtio_blk.ko: virtio_pci.ko\n");
    let others = [("disk.index", "0"), ("partition.number", "5"), ("partition.uuid", "cafe-05")];
    check(&MemoryTree::new(vec![root, MemoryVolume::new("mbr:5", &others)]), bytes.len() / 2);
}

/// Cards by `turn`: none, one and two in known slots, the last without an address.
fn check(tree: &MemoryTree, turn: usize) {
    let mut facts = vec![fact("serial-console", "ttyS0")];
    let slots = (0..turn % 3).map(|n| fact(format!("nic.{n}.slot"), format!("0000:00:0{}.0", 8 + n)));
    facts.extend(slots);
    let profile = DeviceProfile {
        firmware: "bios".into(),
        disk_bus: "virtio-blk".into(),
        nic_model: "virtio-net".into(),
        architecture: "x86_64".into(),
        machine: "q35".into(),
        facts,
    };
    let options = [fact("nic.0.mac", "52:54:00:00:00:01")];
    let os = Linux::identify(tree).expect("works").expect("a Linux");
    assert!(os.facts.len() < 4096);
    let first = Linux::adapt(tree, &profile, &options).expect("adapts");
    assert!(first.concerns.len() < 8192 && first.notes.len() < 256);
    for edit in tree.edits() {
        let (before, after) = (edit.before.unwrap_or_default(), edit.after.unwrap_or_default());
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        let grown = lines(&after).saturating_sub(lines(&before));
        assert!(grown <= 64, "{} {} grew by {grown} lines", edit.action, edit.object);
        let environment = edit.object.ends_with("grubenv");
        assert!(!environment || after.len() == 1024, "{} has {} bytes", edit.object, after.len());
    }
    tree.forget();
    Linux::identify(tree).expect("works");
    Linux::adapt(tree, &profile, &options).expect("adapts again");
    let left: Vec<_> = tree.edits().into_iter().map(|edit| (edit.object, edit.before, edit.after)).collect();
    let text =
        |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let left: Vec<_> = left.iter().map(|(object, a, b)| (object, text(a), text(b))).collect();
    assert!(left.is_empty(), "twice is not once: {left:#?}");
}
