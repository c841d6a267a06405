//! Guests that are made in an unusual way.

use crate::golden::{adapt, profile, show, told};
use crate::guests::{find, with};
use wherry_sdk::testing::MemoryVolume;
use wherry_sdk::{Severity, fact};

fn kvm() -> wherry_sdk::DeviceProfile {
    profile("ide", "e1000", "i440fx")
}

/// A guest with its root on a mirror of two disks.
pub fn mirrored() -> MemoryVolume {
    find("10-1-13-ufs")
        .root()
        .file("/etc/lvm/md.cf", "d0 -m d10 d20 1\nd10 1 1 c1t0d0s0\nd20 1 1 c1t1d0s0\n")
        .file("/etc/system", "rootdev:/pseudo/md@0:0,0,blk\n")
        .file("/etc/vfstab", "/dev/md/dsk/d0\t/dev/md/rdsk/d0\t/\tufs\t1\tno\t-\n")
}

#[test]
fn a_mirrored_root_is_refused_with_the_way_out() {
    let (adaptation, edits) = adapt(&with(mirrored(), 2), &kvm());
    let told = told(&adaptation);
    assert!(told.contains("blocking solaris.metadevices.root"), "{told}");
    assert!(told.contains("metadetach d0 d20; metaroot /dev/dsk/c1t0d0s0; lockfs -fa"), "{told}");
    assert!(edits.iter().all(|edit| edit.object != "/etc/vfstab"));
}

#[test]
fn metadevices_beside_the_root_are_refused() {
    let root = find("10-1-13-ufs").root();
    let table = "/dev/dsk/c1t0d0s0\t/dev/rdsk/c1t0d0s0\t/\tufs\t1\tno\t-\n/dev/md/dsk/d5\t/dev/md/rdsk/d5\t/data\tufs\t2\tyes\t-\n";
    let (adaptation, _) = adapt(&with(root.file("/etc/vfstab", table), 1), &kvm());
    assert!(told(&adaptation).contains("blocking solaris.metadevices: /dev/md/dsk/d5"));
}

#[test]
fn two_disks_keep_their_order() {
    let table = "/dev/dsk/c1t10d0s0\t/dev/rdsk/c1t10d0s0\t/data\tufs\t2\tyes\t-\n/dev/dsk/c1t0d0s0\t/dev/rdsk/c1t0d0s0\t/\tufs\t1\tno\t-\n";
    let root = || find("10-1-13-ufs").root().file("/etc/vfstab", table);
    let tree = with(root(), 2);
    let (adaptation, _) = adapt(&tree, &kvm());
    assert!(adaptation.concerns.is_empty(), "{:?}", adaptation.concerns);
    assert!(tree.text("/etc/vfstab").starts_with("/dev/dsk/c0d1s0\t/dev/rdsk/c0d1s0\t/data"));
    // with three disks, and two of them named, nobody knows which is which
    let (adaptation, _) = adapt(&with(root(), 3), &kvm());
    assert!(
        told(&adaptation).contains(
            "blocking solaris.storage.disk-unknown: /etc/vfstab or /etc/dumpadm.conf names c1t10d0"
        )
    );
}

#[test]
fn cards_change_places_without_meeting() {
    let root = find("10-1-13-ufs")
        .root()
        .file("/etc/hostname.e1000g1", "second\n")
        .file("/etc/hostname.e1000g0:1", "logical\n")
        .file("/etc/hostname.e1000g2000", "vlan\n");
    let tree = with(root, 1);
    let (_, edits) = adapt(&tree, &kvm());
    assert_eq!(tree.text("/etc/hostname.e1000g1"), "sol netmask + broadcast + up\n");
    assert_eq!(tree.text("/etc/hostname.e1000g1:1"), "logical\n");
    assert_eq!(tree.text("/etc/hostname.e1000g2"), "second\n");
    assert_eq!(tree.text("/etc/hostname.e1000g2001"), "vlan\n");
    assert!(edits.iter().any(|edit| show(edit).contains("physical=\"e1000g1\"")));
}

#[test]
fn cards_of_several_drivers_are_named() {
    let root = find("10-1-13-ufs").root().file("/etc/hostname.bge0", "second\n");
    let (adaptation, _) = adapt(&with(root, 1), &kvm());
    assert!(
        told(&adaptation).contains("bge0 is now e1000g1, e1000g0 is now e1000g2"),
        "{}",
        told(&adaptation)
    );
}

#[test]
fn what_stands_in_the_way() {
    let guest = find("10-1-13-ufs");
    let id = |tree, profile: &wherry_sdk::DeviceProfile| {
        let (adaptation, _) = adapt(&tree, profile);
        let blocking = adaptation.concerns.into_iter().filter(|one| one.severity == Severity::Blocking);
        blocking.map(|one| one.id).collect::<Vec<_>>()
    };
    let uefi = wherry_sdk::DeviceProfile { firmware: "uefi".into(), ..kvm() };
    assert_eq!(id(guest.tree(), &uefi), ["solaris.boot.firmware"]);
    let arm = wherry_sdk::DeviceProfile { architecture: "aarch64".into(), ..kvm() };
    assert_eq!(id(guest.tree(), &arm), ["solaris.architecture"]);
    let old = guest.root().file("/boot/grub/menu.lst", "title x\n");
    assert_eq!(id(with(old, 1), &kvm()), ["solaris.boot.no-menu"]);
    let lost = guest.root().file("/etc/vfstab", "fd - /dev/fd fd - no -\n");
    assert_eq!(id(with(lost, 1), &kvm()), ["solaris.storage.no-root"]);
    assert!(!id(find("11-4").tree(), &kvm()).contains(&"solaris.zfs.no-bootfs".to_owned()));
    let data = [("fs.kind", "zfs"), ("fs.pool", "tank"), ("disk.index", "0")];
    let pool = MemoryVolume::new("z", &data)
        .file("/etc/release", "OmniOS v11 r151046\n")
        .file("/etc/name_to_major", "");
    let pool = pool
        .file("/platform/i86pc/kernel/amd64/unix", "")
        .file("/etc/driver_aliases", "pci-ide \"pciclass,0101\"\n");
    assert_eq!(id(with(pool.file("/kernel/drv/pci-ide", ""), 1), &kvm()), ["solaris.zfs.no-bootfs"]);
    let quote =
        guest.root().file("/boot/grub/menu.lst", "title x\nkernel /m -B a=\"b\nmodule /boot_archive\n");
    assert_eq!(id(with(quote, 1), &kvm()), ["solaris.boot.menu-quote"]);
    let slice = wherry_sdk::testing::MemoryTree::new(vec![guest.root().fact("disk.index", "none")]);
    assert_eq!(id(slice, &kvm()), ["solaris.boot.disk-unknown"]);
}

#[test]
fn options_and_processors() {
    use os_solaris::Solaris;
    use wherry_sdk::SourceOs;
    let tree = find("10-1-13-ufs").tree();
    let options = [fact("nic.0.mac", "52:54:00:00:00:01"), fact("hal", "x")];
    let adaptation = Solaris::adapt(&tree, &kvm(), &options).unwrap();
    assert!(told(&adaptation).contains("blocking solaris.unknown-option: `hal`"));
    let sparc = wherry_sdk::DeviceProfile { architecture: "sparcv9".into(), ..kvm() };
    let (adaptation, edits) = adapt(&find("10-1-13-sun4v").tree(), &sparc);
    assert!(adaptation.concerns.is_empty() && edits.is_empty() && adaptation.notes.len() == 1);
}

#[test]
fn a_driver_without_its_alias_is_told_the_command() {
    let root = || {
        let old = find("10-1-13-ufs").root();
        let aliases = "pci-ide \"pciclass,0101\"\nbge \"pci14e4,1659\"\n";
        old.file("/etc/driver_aliases", aliases).file("/kernel/drv/ahci", "")
    };
    let (adaptation, _) = adapt(&with(root(), 1), &profile("ahci", "e1000", "q35"));
    let told = told(&adaptation);
    assert!(told.contains("before the move, update_drv -a -i '\"pciclass,010601\"' ahci; bootadm"), "{told}");
    assert!(
        told.contains("before the move, update_drv -a -i '\"pci8086,100e\" \"pci8086,100f\"' e1000g"),
        "{told}"
    );
    // a module that is not there cannot be given anything
    let (adaptation, _) = adapt(&with(root(), 1), &profile("virtio-blk", "virtio-net", "q35"));
    assert!(!crate::golden::told(&adaptation).contains("update_drv"));
}
