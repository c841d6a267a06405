//! What is said of each guest.

use crate::guests::{ALL, find, with};
use os_solaris::Solaris;
use wherry_sdk::source::OperatingSystem;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{SourceOs, find as fact};

fn identify(tree: &MemoryTree) -> OperatingSystem {
    Solaris::identify(tree).unwrap().expect("a Solaris")
}

#[test]
fn every_guest() {
    let found: Vec<String> = ALL
        .iter()
        .map(|guest| {
            let os = identify(&guest.tree());
            assert_eq!((os.family.as_str(), os.hostname.as_deref()), ("solaris", Some("sol")));
            format!("{} {} {} {}", guest.name, os.id, os.version, os.architecture)
        })
        .collect();
    let expected = [
        "10-1-06-ufs solaris 10 x86_64",
        "10-11-06-ufs solaris 10 x86_64",
        "10-10-08-ufs solaris 10 x86_64",
        "10-1-13-ufs solaris 10 x86_64",
        "10-1-13-zfs solaris 10 x86_64",
        "10-8-11-sun4u solaris 10 sparc",
        "10-1-13-sun4v solaris 10 sparc",
        "11-0 solaris 11 x86_64",
        "11-3 solaris 11.3 x86_64",
        "11-4 solaris 11.4 x86_64",
        "openindiana openindiana 2023.10 x86_64",
        "omnios omnios r151046 x86_64",
        "smartos smartos 20240125T000236Z x86_64",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_parts_of_a_guest() {
    let root = find("10-1-13-ufs")
        .root()
        .file("/var/sadm/patch/147148-26/README", "")
        .file("/var/sadm/patch/142910-17/README", "")
        .file("/var/sadm/patch/147148-9/README", "")
        .file("/etc/lutab", "# c\n1:be1:C:0\n1:/:/dev/dsk/c1t0d0s0:1\n2:be2:C:0\n")
        .file("/etc/lvm/md.cf", "d5 -m d15 d25 1\nd15 1 1 c1t0d0s5\nd25 1 1 c1t1d0s5\n");
    let os = identify(&with(root, 1));
    for (key, value) in [
        ("root.volume", "vtoc:0"),
        ("root.kind", "ufs"),
        ("release.update", "u11 (1/13)"),
        ("kernel.patch", "Generic_147148-26"),
        ("platform.0", "i86pc"),
        ("boot-environment.0", "be1"),
        ("boot-environment.1", "be2"),
        ("boot-archive.0", "/platform/i86pc/boot_archive unknown"),
        ("eeprom.bootpath", "/pci@0,0/pci15ad,1976@10/sd@0,0:a"),
        ("eeprom.console", "text"),
        ("boot-loader", "grub-legacy"),
        ("entry.0", "Oracle Solaris 10 1/13 s10x_u11wos_24a X86"),
        ("entry.1", "Solaris failsafe"),
        ("metadevice.0", "d5 -m d15 d25 1"),
        ("zone.0", "web installed /zones/web"),
        ("network.0", "dhcp e1000g0"),
        ("network.1", "hostname e1000g0"),
    ] {
        assert_eq!(fact(&os.facts, key), Some(value), "{key}");
    }
    let zfs = identify(&find("openindiana").tree());
    assert_eq!(fact(&zfs.facts, "boot.bootfs"), Some("rpool/ROOT/be1"));
    assert_eq!(fact(&zfs.facts, "boot-environment.1"), Some("be2"));
    assert_eq!(fact(&zfs.facts, "network.0"), Some("ipadm e1000g0"));
}

#[test]
fn slices_of_the_same_disk_are_mounted() {
    let table = "/dev/dsk/c1t0d0s0 /dev/rdsk/c1t0d0s0 / ufs 1 no -\n/dev/dsk/c1t0d0s3 /dev/rdsk/c1t0d0s3 /var ufs 1 no -\n/dev/dsk/c1t0d0s4 /dev/rdsk/c1t0d0s4 /usr ufs 1 no -\n";
    let root = find("10-1-13-ufs").root().file("/etc/vfstab", table).directory("/var").directory("/usr");
    let facts =
        [("fs.kind", "ufs"), ("disk.index", "0"), ("table.kind", "vtoc-x86"), ("partition.number", "3")];
    let var = MemoryVolume::new("vtoc:3", &facts).file("/sadm/patch/150401-49/README", "");
    let os = identify(&MemoryTree::new(vec![root, var]));
    assert_eq!(fact(&os.facts, "mount./var"), Some("/dev/dsk/c1t0d0s3 vtoc:3"));
    assert_eq!(fact(&os.facts, "mount./usr"), Some("/dev/dsk/c1t0d0s4 not found"));
    assert_eq!(fact(&os.facts, "kernel.patch"), Some("Generic_150401-49"));
}

#[test]
fn others_are_none_of_ours() {
    let linux = MemoryVolume::new("a", &[("fs.kind", "ext4")]).file("/etc/os-release", "ID=debian\n");
    assert!(Solaris::identify(&MemoryTree::new(vec![linux])).unwrap().is_none());
    // a release file alone is no system
    let data = MemoryVolume::new("a", &[("fs.kind", "ufs")]).file("/etc/release", "Solaris 10 1/13 X86\n");
    assert!(Solaris::identify(&MemoryTree::new(vec![data])).unwrap().is_none());
    assert!(
        Solaris::adapt(&MemoryTree::new(Vec::new()), &crate::golden::profile("ide", "e1000", "i440fx"), &[])
            .is_err()
    );
}
