//! Every guest on every machine: what is edited, why, and what is spoken of, as files in `tests/it/golden`.
//! `WHERRY_GOLDEN=write` writes them anew; every line of them is to be read when it comes in.

use crate::guests::{ALL, with};
use os_solaris::Solaris;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use wherry_sdk::source::Adaptation;
use wherry_sdk::testing::{Edit, MemoryTree};
use wherry_sdk::{Concern, DeviceProfile, Severity, SourceOs, fact};

/// Disks, cards and boards as targets offer them together, and where the card is.
pub const PROFILES: &[(&str, &str, &str, &str, &str)] = &[
    ("ide", "e1000", "i440fx", "nic.0.slot", "0000:00:08.0"),
    ("ide", "pcnet", "i440fx", "nic.0.slot", "0000:00:08.0"),
    ("ahci", "e1000", "q35", "nic.0.slot", "0000:00:08.0"),
    ("virtio-blk", "virtio-net", "q35", "nic.0.slot", "0000:00:08.0"),
    ("virtio-blk", "virtio-net", "i440fx", "nic.0.slot", "0000:00:08.0"),
    ("virtio-scsi", "virtio-net", "q35", "nic.0.slot", "0000:00:08.0"),
    ("nvme", "e1000e", "q35", "nic.0.slot", "0000:00:08.0"),
    ("lsi-scsi", "e1000", "vmx-13", "nic.0.path", "11.0/00.0"),
    ("lsi-sas", "vmxnet3", "vmx-13", "serial-console", "ttyS0"),
    ("pvscsi", "vmxnet3", "vmx-13", "serial-console", "ttyS0"),
    ("ide", "tulip", "generation-1", "serial-console", "ttyS0"),
    ("hyperv-scsi", "hyperv-net", "generation-2", "serial-console", "ttyS0"),
    ("ide", "rtl8139", "xenfv", "serial-console", "ttyS0"),
];

/// Where targets say that the first disk is.
const SLOTS: &[(&str, &str, &str)] = &[
    ("ahci", "q35", "1f.2 port=0"),
    ("virtio-blk", "q35", "10.0"),
    ("virtio-scsi", "q35", "04.0 target=0 lun=0"),
    ("lsi-scsi", "vmx-13", "10.0 target=0 lun=0"),
    ("pvscsi", "vmx-13", "15.0/00.0 target=0 lun=0"),
];

/// A machine's profile.
pub fn profile(disk_bus: &str, nic_model: &str, machine: &str) -> DeviceProfile {
    let firmware = if machine == "generation-2" { "uefi" } else { "bios" };
    DeviceProfile {
        firmware: firmware.into(),
        disk_bus: disk_bus.into(),
        nic_model: nic_model.into(),
        architecture: "x86_64".into(),
        machine: machine.into(),
        facts: Vec::new(),
    }
}

/// Identifies and adapts, twice: the second time nothing is left to do.
pub fn adapt(tree: &MemoryTree, profile: &DeviceProfile) -> (Adaptation, Vec<Edit>) {
    Solaris::identify(tree).unwrap().expect("a Solaris");
    let first = Solaris::adapt(tree, profile, &[]).unwrap();
    let edits = tree.edits();
    tree.forget();
    Solaris::identify(tree).unwrap().expect("a Solaris still");
    let second = Solaris::adapt(tree, profile, &[]).unwrap();
    assert_eq!(tree.edits(), [], "twice is not once");
    let blocking = |adaptation: &Adaptation| -> Vec<Concern> {
        adaptation.concerns.iter().filter(|one| one.severity == Severity::Blocking).cloned().collect()
    };
    assert_eq!(blocking(&first), blocking(&second));
    for concern in &first.concerns {
        assert!(!concern.message.ends_with('.') && concern.remedy.is_some(), "{concern:?}");
    }
    (first, edits)
}

/// One edit, with the lines that go and come.
pub fn show(edit: &Edit) -> String {
    // what is no text is not shown
    let text =
        |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap_or_default();
    let (before, after) = (text(&edit.before), text(&edit.after));
    let mut shown = format!("{} {} ({})\n", edit.action, edit.object, edit.reason);
    let there = |line: &str, other: &str| other.lines().any(|one| one == line);
    for line in before.lines().filter(|line| !there(line, &after)) {
        let _ = writeln!(shown, "  - {line}");
    }
    for line in after.lines().filter(|line| !there(line, &before)) {
        let _ = writeln!(shown, "  + {line}");
    }
    shown
}

/// What is told of an adaptation.
pub fn told(adaptation: &Adaptation) -> String {
    let mut text = String::new();
    for concern in &adaptation.concerns {
        let severity = format!("{:?}", concern.severity);
        let severity = severity.rsplit("::").next().unwrap_or_default().to_lowercase();
        let _ = writeln!(text, "{severity} {}: {}", concern.id, concern.message);
        let _ = writeln!(text, "  -> {}", concern.remedy.as_deref().unwrap_or_default());
    }
    adaptation.notes.iter().for_each(|note| text += &format!("note {note}\n"));
    text
}

fn story(make: &dyn Fn() -> MemoryTree) -> String {
    let mut text = String::new();
    for (disk, machine, slot) in SLOTS {
        let mut profile = profile(disk, "e1000", machine);
        profile.facts.push(fact("disk.0.slot", slot));
        let (adaptation, edits) = adapt(&make(), &profile);
        let _ = writeln!(text, "== {disk} e1000 {machine} {slot}");
        text += &told(&adaptation);
        edits.iter().for_each(|edit| text += &show(edit));
    }
    for (disk, card, machine, key, value) in PROFILES {
        let mut profile = profile(disk, card, machine);
        profile.facts.push(fact(*key, value));
        let tree = make();
        let (adaptation, edits) = adapt(&tree, &profile);
        let _ = writeln!(text, "== {disk} {card} {machine}");
        text += &told(&adaptation);
        edits.iter().for_each(|edit| text += &show(edit));
    }
    text
}

#[test]
fn every_guest_on_every_machine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let mut wrong = Vec::new();
    let plain = ALL.iter().map(|guest| (guest.name, story(&|| guest.tree())));
    let mirrored = ("10-1-13-mirror", story(&|| with(crate::odd::mirrored(), 2)));
    let packed = ("10-1-13-hsfs", story(&|| with(crate::archive::root(), 1)));
    let ufs = crate::ufs::image();
    let pair = (&ufs, crate::ufs::gzip(&["-c"], &ufs));
    let on_ufs = ("10-1-13-archives", story(&|| with(crate::ufs::root(pair.0, &pair.1), 1)));
    let given = ("10-1-13-aliases", story(&|| with(crate::tables::root(pair.0, &pair.1), 1)));
    for (name, text) in plain.chain([mirrored, packed, on_ufs, given]) {
        let path = folder.join(format!("{name}.txt"));
        if std::env::var("WHERRY_GOLDEN").as_deref() == Ok("write") {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("{name} is now:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
