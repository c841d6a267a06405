//! Drives the adapter over a guest whose every file holds the same bytes.

use os_solaris::Solaris;
use os_solaris::archive::Inner;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, SourceOs, fact};

/// Files within archives, one that becomes shorter and one that becomes longer.
pub const INNER: [Inner<'static>; 2] = [
    Inner { path: "etc/path_to_inst", old: None, new: "#path_to_inst_bootstrap_1\n" },
    Inner { path: "etc/driver_aliases", old: None, new: LONG },
];
const LONG: &str = match std::str::from_utf8(&[b'x'; 5000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Files that are parsed.
const FILES: &[&str] = &[
    "/etc/vfstab",
    "/etc/dumpadm.conf",
    "/etc/driver_aliases",
    "/etc/path_to_inst",
    "/etc/lvm/md.tab",
    "/etc/system",
    "/etc/nodename",
    "/etc/lutab",
    "/etc/zones/index",
    "/etc/zones/a.xml",
    "/etc/ipadm/ipadm.conf",
    "/etc/dladm/datalink.conf",
    "/etc/aggregation.conf",
    "/etc/inet/ndpd.conf",
    "/boot/grub/menu.lst",
    "/boot/solaris/bootenv.rc",
    "/boot/solaris/filestat.ramdisk",
    "/platform/i86pc/boot_archive",
];

/// Identifies and adapts a guest made of `bytes`, twice: whatever they are, the second time changes nothing.
pub fn exercise(bytes: &[u8]) {
    for probe in os_solaris::probe::PROBES {
        drop(os_solaris::probe::parse(probe.id, bytes));
    }
    let read = |offset: u64, length: u64| {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = at.checked_add(length as usize).and_then(|end| bytes.get(at..end)).map(<[u8]>::to_vec);
        part.ok_or_else(|| wherry_sdk::Error::corrupt(offset, "beyond the end"))
    };
    drop(os_solaris::filestat::find(bytes, "etc/driver_aliases"));
    drop(os_solaris::archive::replace(&read, bytes.len() as u64, &INNER));
    let facts = [("fs.kind", "ufs"), ("disk.index", "0"), ("partition.number", "0")];
    let mut root = MemoryVolume::new("vtoc:0", &facts)
        .file("/etc/release", "Oracle Solaris 10 1/13 s10x_u11wos_24a X86\n")
        .file("/etc/name_to_major", "")
        .file("/platform/i86pc/kernel/amd64/unix", "")
        .file("/etc/hostname.bge0", "a")
        .file("/etc/hostname.e1000g0", "b");
    for driver in ["pci-ide", "e1000g", "mpt"] {
        root = root.file(&format!("/kernel/drv/{driver}"), "");
    }
    for path in FILES {
        root = root.file(path, bytes);
    }
    // one or the other, so that more than the refusal is reached
    if bytes.len().is_multiple_of(2) {
        root = root
            .file("/etc/driver_aliases", "pci-ide \"pciclass,0101\"\ne1000g \"pci8086,100e\"\ne1000g \"pci8086,100f\"\nmpt \"pci1000,30\"\n")
            .file("/etc/lvm/md.tab", "");
    }
    if bytes.len().is_multiple_of(3) {
        root = root.file("/etc/vfstab", "/dev/dsk/c1t0d0s0 /dev/rdsk/c1t0d0s0 / ufs 1 no -\n");
    }
    if bytes.len().is_multiple_of(5) {
        root = root.fact("fs.edits", "it is read-only");
    }
    let machine = ["i440fx", "vmx-13"][bytes.len() / 2 % 2];
    let disk_bus = ["ide", "lsi-scsi"][bytes.len() / 2 % 2];
    let profile = DeviceProfile {
        firmware: "bios".into(),
        disk_bus: disk_bus.into(),
        nic_model: "e1000".into(),
        architecture: "x86_64".into(),
        machine: machine.into(),
        facts: vec![fact("nic.0.slot", "0000:00:08.0")],
    };
    let tree = MemoryTree::new(vec![root]);
    let os = Solaris::identify(&tree).expect("works").expect("a Solaris");
    assert!(os.facts.len() < 40_000);
    let first = Solaris::adapt(&tree, &profile, &[]).expect("adapts");
    assert!(first.concerns.len() < 8192 && first.notes.len() < 64);
    tree.forget();
    Solaris::identify(&tree).expect("works");
    Solaris::adapt(&tree, &profile, &[]).expect("adapts again");
    let left: Vec<_> = tree.edits().iter().map(shown).collect();
    assert!(left.is_empty(), "twice is not once: {left:#?}");
}

fn shown(edit: &wherry_sdk::testing::Edit) -> String {
    let text =
        |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    format!("{} {}\n{}\n->\n{}", edit.action, edit.object, text(&edit.before), text(&edit.after))
}
