//! Whole guests in memory: what they are made of, and what is asked of every adaptation.

use crate::initramfs_guest::{Base, kernel};
use os_linux::Linux;
use wherry_sdk::source::{Adaptation, OperatingSystem};
use wherry_sdk::testing::{Edit, MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, Fact, Severity, SourceOs, fact};

/// A kernel that has every driver built in.
pub const BUILT_IN: &str = "6.6.1-all";
/// What a `MODULES=dep` or `hostonly` image of a VMware guest has.
pub const OLD: &[&str] = &["vmw_pvscsi", "sd_mod", "ext4"];
/// Facts of the volumes that most guests here have.
pub const DISK: &[(&str, &str)] = &[("disk.index", "0")];
pub const ROOT: &[(&str, &str)] = &[
    ("fs.kind", "ext4"),
    ("fs.uuid", "1111-root"),
    ("disk.index", "0"),
    ("partition.number", "1"),
    ("partition.uuid", "cafe-01"),
    ("parent", "disk:0"),
];
pub const SWAP: &[(&str, &str)] =
    &[("disk.index", "0"), ("partition.number", "5"), ("partition.uuid", "cafe-05"), ("parent", "disk:0")];
pub const BOOT: &[(&str, &str)] = &[
    ("fs.kind", "ext4"),
    ("fs.uuid", "2222-boot"),
    ("disk.index", "0"),
    ("partition.number", "2"),
    ("parent", "disk:0"),
];
pub const ESP: &[(&str, &str)] = &[
    ("fs.kind", "vfat"),
    ("fs.uuid", "ABCD-0001"),
    ("disk.index", "0"),
    ("partition.number", "3"),
    ("partition.type", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    ("parent", "disk:0"),
];

/// What the header of a bzImage says of its release.
pub fn vmlinuz(release: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x20e..0x210].copy_from_slice(&0x120u16.to_le_bytes());
    let text = format!("{release} (builder@host) #1 SMP\0");
    bytes[0x320..0x320 + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

/// The volume with a kernel that needs no initramfs.
pub fn built_in(root: MemoryVolume) -> MemoryVolume {
    let folder = format!("/usr/lib/modules/{BUILT_IN}");
    let drivers = "kernel/d/virtio_pci.ko\nkernel/d/virtio_blk.ko\nkernel/d/virtio_net.ko\n";
    root.file(&format!("{folder}/modules.dep"), "")
        .file(&format!("{folder}/modules.builtin"), drivers)
        .symlink("/lib", "usr/lib")
}

/// The volume with Debian's real modules.
pub fn with_modules(root: MemoryVolume) -> MemoryVolume {
    root.folder("/usr/lib", kernel().1.join("lib")).expect("reads").symlink("/lib", "usr/lib")
}

/// A real initramfs with the drivers of a VMware guest.
pub fn old_image(base: Base) -> Vec<u8> {
    base.modules(OLD).pack()
}

/// A disk, its root and whatever else.
pub fn tree(root: MemoryVolume, others: Vec<MemoryVolume>) -> MemoryTree {
    let mut volumes = vec![MemoryVolume::new("disk:0", DISK).kind("disk"), root];
    volumes.extend(others);
    MemoryTree::new(volumes)
}

/// virtio on BIOS.
pub fn virtio() -> DeviceProfile {
    DeviceProfile {
        firmware: "bios".into(),
        disk_bus: "virtio-blk".into(),
        nic_model: "virtio-net".into(),
        architecture: "x86_64".into(),
        machine: "q35".into(),
        facts: Vec::new(),
    }
}

/// virtio on UEFI.
pub fn virtio_uefi() -> DeviceProfile {
    DeviceProfile { firmware: "uefi".into(), ..virtio() }
}

/// `nic.N.mac` for these addresses.
pub fn nics(macs: &[&str]) -> Vec<Fact> {
    macs.iter().enumerate().map(|(n, mac)| fact(format!("nic.{n}.mac"), mac)).collect()
}

pub fn identify(tree: &MemoryTree) -> OperatingSystem {
    Linux::identify(tree).expect("works").expect("a Linux")
}

/// Identifies and adapts, twice: the second time nothing is left to do.
pub fn adapt(tree: &MemoryTree, profile: &DeviceProfile, options: &[Fact]) -> (Adaptation, Vec<Edit>) {
    identify(tree);
    let first = Linux::adapt(tree, profile, options).expect("adapts");
    let edits = tree.edits();
    tree.forget();
    identify(tree);
    let second = Linux::adapt(tree, profile, options).expect("adapts again");
    assert_eq!(shown(&tree.edits()), Vec::<String>::new(), "twice is not once");
    let blocking = |a: &Adaptation| a.concerns.iter().filter(|c| c.severity == Severity::Blocking).count();
    assert_eq!(blocking(&first), blocking(&second));
    (first, edits)
}

/// Adapts a guest that nothing speaks against; its edits as [`shown`].
pub fn edits(tree: &MemoryTree, profile: &DeviceProfile, options: &[Fact]) -> Vec<String> {
    let (adaptation, edits) = adapt(tree, profile, options);
    assert_eq!(concerns(&adaptation), Vec::<String>::new());
    shown(&edits)
}

/// `blocking linux.boot.no-room` for each concern.
pub fn concerns(adaptation: &Adaptation) -> Vec<String> {
    let show = |c: &wherry_sdk::Concern| {
        assert!(!c.message.ends_with('.') && c.remedy.is_some(), "{c:?}");
        format!(
            "{} {}",
            format!("{:?}", c.severity).rsplit("::").next().unwrap_or_default().to_lowercase(),
            c.id
        )
    };
    adaptation.concerns.iter().map(show).collect()
}

/// A line for each edit, and for text the lines that go and come: `write /etc/fstab`, `- old`, `+ new`.
pub fn shown(edits: &[Edit]) -> Vec<String> {
    edits.iter().flat_map(show).collect()
}

fn show(edit: &Edit) -> Vec<String> {
    assert!(edit.reason.len() > 10 && !edit.reason.ends_with('.'), "{edit:?}");
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).ok();
    let mut lines = vec![format!("{} {}", edit.action, edit.object)];
    if edit.action != "append"
        && let (Some(old), Some(new)) = (text(&edit.before), text(&edit.after))
    {
        lines.extend(difference(&old, &new));
    }
    lines
}

/// The lines that differ, by the longest common subsequence.
fn difference(old: &str, new: &str) -> Vec<String> {
    // the filling of an environment block says nothing
    let lines = |text: &'_ str| -> Vec<String> {
        let told = |line: &&str| line.len() < 40 || line.bytes().any(|c| c != b'#');
        text.lines().filter(told).map(str::to_owned).collect()
    };
    let (a, b) = (lines(old), lines(new));
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i][j] =
                if a[i] == b[j] { table[i + 1][j + 1] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && table[i + 1][j] >= table[i][j + 1] {
            lines.push(format!("- {}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", b[j]));
            j += 1;
        }
    }
    lines
}

/// Compares lists of lines, and shows where they part.
pub fn same(found: &[String], expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    let parting = difference(&expected.join("\n"), &found.join("\n"));
    assert!(parting.is_empty() && found == expected, "{}\n\nall:\n{}", parting.join("\n"), found.join("\n"));
}

/// The value of a fact.
pub fn of<'a>(os: &'a OperatingSystem, key: &str) -> Option<&'a str> {
    wherry_sdk::find(&os.facts, key)
}
