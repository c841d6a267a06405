//! Every release to every platform: what is changed, why, and what the operator is told, compared with files that were
//! reviewed line by line. `WHERRY_GOLDEN=write` writes them anew.

use crate::generations::{ALL, Boot, Generation, find, tree, volumes};
use crate::{leaving, packages, profiles};
use os_windows::Windows;
use std::fmt::Write as _;
use std::path::PathBuf;
use wherry_sdk::source::Adaptation;
use wherry_sdk::testing::{Edit, MemoryTree};
use wherry_sdk::{DeviceProfile, SourceOs};

type Platform = (&'static str, fn(&str, (u32, u32)) -> DeviceProfile);
const PLATFORMS: &[Platform] = &[
    ("kvm", profiles::kvm),
    ("virtio", profiles::virtio),
    ("hyperv", profiles::hyperv),
    ("vmware", profiles::vmware),
    ("xen", profiles::xen),
];

fn adapt(tree: &MemoryTree, profile: &DeviceProfile) -> Adaptation {
    Windows::identify(tree).unwrap().expect("a Windows");
    Windows::adapt(tree, profile, &profiles::options()).unwrap()
}

/// The operator lends a disk in the layout of virtio-win, with INF files in the shape of its own.
fn with_drivers(one: &Generation) -> MemoryTree {
    let mut volumes = volumes(one);
    volumes.push(packages::lent());
    MemoryTree::new(volumes)
}

fn story(one: &Generation, platform: &Platform, tree: &MemoryTree) -> String {
    let firmware = if one.boot == Boot::Uefi { "uefi" } else { "bios" };
    let profile = (platform.1)(firmware, one.number());
    let found = Windows::identify(tree).unwrap().expect("a Windows");
    let result = adapt(tree, &profile);
    let edits = tree.edits();
    tree.forget();
    let again = adapt(tree, &profile);
    assert_eq!(tree.edits(), [], "{} to {}: a second run changes something", one.name, platform.0);
    assert_eq!(again.concerns, result.concerns);
    let mut text = format!("{} ({}) to {}\n", found.product, found.version, platform.0);
    let _ = writeln!(text, "{} {} {}", profile.disk_bus, profile.nic_model, profile.firmware);
    for concern in &result.concerns {
        let _ = writeln!(text, "\n{:?} {}\n  {}", concern.severity, concern.id, concern.message);
        let _ = writeln!(text, "  -> {}", concern.remedy.as_deref().unwrap_or_default());
    }
    edits.iter().for_each(|edit| text += &show(edit));
    result.notes.iter().for_each(|note| text += &format!("\nnote: {note}\n"));
    text
}

pub fn show(edit: &Edit) -> String {
    let lines = |bytes: &Option<Vec<u8>>, sign: char| -> String {
        let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
        text.lines().filter(|line| !line.is_empty()).map(|line| format!("{sign} {line}\n")).collect()
    };
    let head = format!("\n{} {}\n  because {}\n", edit.action, edit.object, edit.reason);
    let texts = [".ini", ".cmd"];
    if edit.action == "write" && !texts.iter().any(|end| edit.object.ends_with(end)) {
        return head + &format!("+ {} bytes\n", edit.after.as_deref().unwrap_or_default().len());
    }
    head + &lines(&edit.before, '-') + &lines(&edit.after, '+')
}

/// Compares texts with the files of their names.
fn compare(texts: impl IntoIterator<Item = (String, String)>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let write = std::env::var("WHERRY_GOLDEN").is_ok_and(|value| value == "write");
    let mut wrong = Vec::new();
    for (name, text) in texts {
        let path = folder.join(format!("{name}.txt"));
        if write {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        if text != std::fs::read_to_string(&path).unwrap_or_default() {
            wrong.push(format!("{name} is now:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_release_to_every_platform() {
    let pairs = ALL.iter().flat_map(|one| PLATFORMS.iter().map(move |platform| (one, platform)));
    compare(pairs.map(|(one, platform)| {
        let tree = if platform.0 == "virtio" { with_drivers(one) } else { tree(one) };
        (format!("{}-{}", one.name, platform.0), story(one, platform, &tree))
    }));
}

#[test]
fn every_hypervisor_that_is_left() {
    compare(leaving::ALL.iter().map(|old| {
        // Hyper-V's have been a part of Windows since Vista.
        let one = find(if old.name == "hyperv" { "2003" } else { "2008r2" });
        (format!("from-{}", old.name), story(one, &("kvm", profiles::kvm), &leaving::tree(one, old)))
    }));
}
