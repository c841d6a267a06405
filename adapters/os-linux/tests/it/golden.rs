//! Every family of systems on every profile of devices: what is edited, why, and what is spoken of, as files in `tests/it/golden`.
//! `WHERRY_GOLDEN=write` writes them anew; every line of them was read and reasoned about when it came in.

use crate::initramfs_guest::{Base, filter, unpack};
use crate::system::*;
use crate::{clouds, current, debians, enterprise, firmware, legacy, suse};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::source::Adaptation;
use wherry_sdk::testing::{Edit, MemoryTree};
use wherry_sdk::{Concern, DeviceProfile};

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

/// The lines of what a segment brings, with its modules in one line and without their indexes.
fn folded(lines: Vec<String>) -> Vec<String> {
    let module = |line: &String| line.starts_with("  has /") && line.contains("/modules/");
    let (modules, mut rest): (Vec<String>, Vec<String>) = lines.into_iter().partition(module);
    let files = modules.iter().filter_map(|line| line.rsplit('/').next()?.strip_suffix(".ko"));
    let names: Vec<&str> = files.collect();
    if !names.is_empty() {
        rest.insert(1, format!("  has modules {}", names.join(" ")));
    }
    rest
}

/// What is said and done for one profile: each concern, note and edit.
fn told(adaptation: &Adaptation, edits: &[Edit]) -> Vec<String> {
    let concern = |concern: &Concern| {
        let severity = format!("{:?}", concern.severity).to_lowercase();
        let severity = severity.trim_start_matches("severity::");
        let remedy = concern.remedy.as_deref().unwrap();
        format!("{severity} {}: {}; {remedy}", concern.id, concern.message)
    };
    let mut told: Vec<String> = adaptation.concerns.iter().map(concern).collect();
    told.extend(adaptation.notes.iter().map(|note| format!("note {note}")));
    told.extend(edits.iter().map(|edit| folded(shown_with_reasons(std::slice::from_ref(edit))).join("\n")));
    told
}

/// The same as [`check`], with what is alike on every bus told once.
fn check_folded(name: &str, guest: impl Fn() -> Guest) {
    let all: Vec<Vec<String>> = PROFILES
        .iter()
        .map(|profile| {
            let (adaptation, edits) = adapted(&guest(), *profile);
            told(&adaptation, &edits)
        })
        .collect();
    let common: BTreeSet<&String> =
        all[0].iter().filter(|one| all.iter().all(|other| other.contains(one))).collect();
    let first: String =
        all[0].iter().filter(|one| common.contains(one)).map(|one| format!("{one}\n")).collect();
    let mut text = format!("== every bus\n{first}");
    for ((disk_bus, nic_model), told) in PROFILES.iter().zip(&all) {
        text.push_str(&format!("== {disk_bus} {nic_model}\n"));
        told.iter().filter(|one| !common.contains(one)).for_each(|one| text.push_str(&format!("{one}\n")));
    }
    compare(name, &text);
}

/// Adapts a fresh guest to a profile, twice.
fn adapted(guest: &Guest, (disk_bus, nic_model): (&str, &str)) -> (Adaptation, Vec<Edit>) {
    let profile = DeviceProfile {
        firmware: guest.firmware.into(),
        disk_bus: disk_bus.into(),
        nic_model: nic_model.into(),
        ..virtio()
    };
    adapt(&guest.tree, &profile, &nics(&["52:54:00:00:00:01"]))
}

/// Adapts a fresh guest to each profile and compares with the golden file.
fn check(name: &str, guest: impl Fn() -> Guest) {
    let mut text = String::new();
    for (disk_bus, nic_model) in PROFILES {
        let (adaptation, edits) = adapted(&guest(), (*disk_bus, *nic_model));
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
    compare(name, &text);
}

fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.txt"));
    if std::env::var("WHERRY_GOLDEN").as_deref() == Ok("write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    same(&lines(text), &golden.lines().collect::<Vec<_>>());
}

macro_rules! golden {
    ($check:ident; $($name:ident: $guest:path,)*) => {
        $(#[test] fn $name() { $check(stringify!($name), $guest); })*
    };
}

golden! { check;
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

golden! { check_folded;
    rhel_7: enterprise::rhel_7,
    rhel_8: enterprise::rhel_8,
    rhel_9: enterprise::rhel_9,
    rhel_10: enterprise::rhel_10,
    oracle_8_with_uek: enterprise::oracle_8,
    sles_12: suse::sles_12,
    sles_15: suse::sles_15,
    sles_16: suse::sles_16,
    debian_4: debians::debian_4,
    debian_12: debians::debian_12,
    ubuntu_10_04: debians::ubuntu_10_04,
    ubuntu_14_04: debians::ubuntu_14_04,
    ubuntu_22_04: debians::ubuntu_22_04,
    ubuntu_24_04: clouds::ubuntu_24_04,
    amazon_2: clouds::amazon_2,
    amazon_2023: clouds::amazon_2023,
}
