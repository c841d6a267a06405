//! Every family of systems on every profile of devices: what is edited, why, and what is spoken of, as files in `tests/it/golden`.
//! `WHERRY_GOLDEN=write` writes them anew; every line of them was read and reasoned about when it came in.

use crate::initramfs_guest::{Base, filter, unpack};
use crate::system::*;
use crate::{current, firmware, legacy};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::DeviceProfile;
use wherry_sdk::testing::{Edit, MemoryTree};

/// Bus of the disks and model of the cards, as targets offer them together.
const PROFILES: &[(&str, &str)] = &[
    ("virtio-blk", "virtio-net"),
    ("virtio-scsi", "virtio-net"),
    ("nvme", "e1000e"),
    ("ahci", "e1000e"),
    ("ide", "e1000"),
    ("lsi-scsi", "vmxnet3"),
    ("lsi-sas", "vmxnet3"),
    ("buslogic", "pcnet"),
    ("pvscsi", "vmxnet3"),
    ("hyperv-scsi", "hyperv-net"),
    ("xen", "xen-netfront"),
];

/// A guest, and the firmware that it starts with.
pub struct Guest {
    pub tree: MemoryTree,
    pub firmware: &'static str,
}

/// An image by GNU cpio and gzip, whose `/init` can be run.
pub fn image(files: &[(&str, &[u8])]) -> Vec<u8> {
    let base = Base::empty();
    for (path, content) in files {
        base.file(path, content);
    }
    let init = base.folder.path().join("init");
    if init.exists() {
        fs::set_permissions(init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    filter(Command::new("gzip").args(["-9", "-n"]), &base.pack())
}

/// What a segment brings: the names of its files, and what they say where people write them.
fn segment(bytes: &[u8]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    unpack(&bytes[zeros..], folder.path());
    let mut lines = Vec::new();
    for (path, kind, content) in crate::initramfs_guest::listing(folder.path()) {
        let text = String::from_utf8(content).ok().filter(|_| kind == "file" && !path.contains("/modules."));
        match (kind, text) {
            ("directory", _) => {}
            (_, Some(text)) => lines.extend(
                [vec![format!("  has /{path}")], text.lines().map(|line| format!("    | {line}")).collect()]
                    .concat(),
            ),
            (kind, None) => lines.push(format!("  has {}/{path}", if kind == "link" { "link " } else { "" })),
        }
    }
    lines
}

fn shown_with_reasons(edits: &[Edit]) -> Vec<String> {
    let mut lines = Vec::new();
    for edit in edits {
        let mut own = shown(std::slice::from_ref(edit));
        let head = format!("{} ({})", own.remove(0), edit.reason);
        lines.push(head);
        lines.extend(own.into_iter().map(|line| format!("  {line}")));
        if edit.action == "append" {
            lines.extend(segment(edit.after.as_deref().unwrap()));
        }
    }
    lines
}

/// Adapts a fresh guest to each profile, twice, and compares with the golden file.
fn check(name: &str, guest: impl Fn() -> Guest) {
    let mut text = String::new();
    for (disk_bus, nic_model) in PROFILES {
        let Guest { tree, firmware } = guest();
        let profile = DeviceProfile {
            firmware: firmware.into(),
            disk_bus: (*disk_bus).into(),
            nic_model: (*nic_model).into(),
            ..virtio()
        };
        let (adaptation, edits) = adapt(&tree, &profile, &nics(&["52:54:00:00:00:01"]));
        text.push_str(&format!("== {disk_bus} {nic_model}\n"));
        for concern in &adaptation.concerns {
            let severity = format!("{:?}", concern.severity).to_lowercase();
            let severity = severity.trim_start_matches("severity::");
            text.push_str(&format!(
                "{severity} {}: {}; {}\n",
                concern.id,
                concern.message,
                concern.remedy.as_deref().unwrap()
            ));
        }
        adaptation.notes.iter().for_each(|note| text.push_str(&format!("note {note}\n")));
        shown_with_reasons(&edits).iter().for_each(|line| text.push_str(&format!("{line}\n")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    if std::env::var("WHERRY_GOLDEN").as_deref() == Ok("write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    same(&lines(&text), &golden.lines().collect::<Vec<_>>());
}

macro_rules! golden {
    ($($name:ident: $guest:path,)*) => { $(#[test] fn $name() { check(stringify!($name), $guest); })* };
}

golden! {
    rhel_4: legacy::rhel_4,
    rhel_5: legacy::rhel_5,
    rhel_6: legacy::rhel_6,
    sles_10: legacy::sles_10,
    sles_11: legacy::sles_11,
    xen_pv: legacy::xen_pv,
    lilo: legacy::lilo,
    bios_to_uefi: firmware::bios_to_uefi,
    uefi_to_bios: firmware::uefi_to_bios,
    pygrub_to_bios: firmware::pygrub_to_bios,
    opensuse_with_snapshots: current::opensuse,
    fedora_on_btrfs: current::fedora,
    ubuntu_on_btrfs: current::ubuntu,
    alpine: current::alpine,
    arch: current::arch,
    alt: current::alt,
    photon: current::photon,
}
