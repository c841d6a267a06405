//! A synthetic Windows on a real NTFS volume (mkntfs and ntfs-3g), planned and migrated by the built program, and looked at
//! with ntfs-3g's and hivex's tools.

#[allow(dead_code, reason = "the adapter's own tests use all of it")]
#[path = "../../adapters/os-windows/tests/it/generations.rs"]
mod generations;

use crate::guest::tool;
use crate::{program, text};
use generations::{Generation, find, tree};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use wherry_sdk::testing::MemoryTree;
use wherry_sdk::{Kind, Tree};

const START: u64 = 1 << 20;
const SIZE: u64 = 96 << 20;

/// A volume under FUSE, until it is dropped.
struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    fn new(volume: &Path, how: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        tool("ntfs-3g", &["-o", how, volume.to_str().unwrap(), path]);
        Self { folder }
    }
    fn path(&self, inner: &str) -> PathBuf {
        self.folder.path().join(inner.trim_start_matches('/'))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        tool("umount", &[self.folder.path().to_str().unwrap()]);
    }
}

fn copy_out(tree: &MemoryTree, from: &str, to: &Path) {
    for entry in tree.entries(from).unwrap() {
        let (inner, outer) = (format!("{}/{}", from.trim_end_matches('/'), entry.name), to.join(&entry.name));
        if entry.meta.kind == Kind::Directory {
            fs::create_dir_all(&outer).unwrap();
            copy_out(tree, &inner, &outer);
        } else {
            fs::write(&outer, tree.read_all(&inner, 1 << 30).unwrap()).unwrap();
        }
    }
}

/// A disk with one NTFS partition that holds this Windows.
fn disk(one: &Generation, folder: &Path) -> PathBuf {
    let volume = folder.join("volume");
    fs::File::create(&volume).unwrap().set_len(SIZE - START - (1 << 20)).unwrap();
    tool(
        "mkntfs",
        &["-q", "-F", "-L", "System", "-p", "2048", "-H", "255", "-S", "63", volume.to_str().unwrap()],
    );
    let guest = tree(one);
    guest.mount("part:1", "/").unwrap();
    let mounted = Mounted::new(&volume, "rw");
    copy_out(&guest, "/", mounted.folder.path());
    drop(mounted);
    let disk = folder.join("disk.raw");
    let mut bytes = vec![0; START as usize];
    bytes[440..444].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
    // One partition, active, of type 7 (NTFS).
    bytes[446] = 0x80;
    bytes[450] = 7;
    bytes[454..458].copy_from_slice(&((START / 512) as u32).to_le_bytes());
    bytes[458..462].copy_from_slice(&(((SIZE - START - (1 << 20)) / 512) as u32).to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes.extend(fs::read(&volume).unwrap());
    bytes.resize(SIZE as usize, 0);
    fs::write(&disk, bytes).unwrap();
    disk
}

/// The volume of a raw disk, by itself.
fn volume(disk: &Path, folder: &Path) -> PathBuf {
    let volume = folder.join("volume.now");
    let bytes = fs::read(disk).unwrap();
    fs::write(&volume, &bytes[START as usize..(SIZE - (1 << 20)) as usize]).unwrap();
    volume
}

fn run(arguments: &[&str]) -> Output {
    let mut command = program();
    command.env("SOURCE_DATE_EPOCH", "1790000000");
    command.args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let shown = run(&[arguments, &["--output", "json"]].concat());
    assert!(shown.status.success(), "{}{}", text(&shown.stdout), text(&shown.stderr));
    serde_json::from_slice(&shown.stdout).unwrap()
}

/// The hive as hivex exports it.
fn exported(path: &Path) -> String {
    let mut command = Command::new("hivexregedit");
    let shown =
        command.args(["--export", "--prefix", r"HKLM\S", path.to_str().unwrap(), r"\"]).output().unwrap();
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    text(&shown.stdout)
}

fn migrates(name: &str, wishes: &[&str], expected: &[&str]) {
    let one = find(name);
    let folder = tempfile::tempdir().unwrap();
    let source = disk(one, folder.path());
    let before = fs::read(&source).unwrap();
    let from = format!("raw:{}", source.display());
    let to = format!("kvm:{}", folder.path().join("out").display());
    let wishes: Vec<&str> = wishes.iter().flat_map(|wish| ["--wish", wish]).collect();
    let asked = |verb: &'static str| {
        [&[verb, from.as_str(), "--to", to.as_str(), "--name", "old"][..], &wishes].concat()
    };

    let plan = &json(&asked("plan"))["plan"];
    assert_eq!(plan["source-adapter"], "os-windows");
    let edits = plan["edits"].as_array().unwrap();
    assert!(edits.iter().all(|edit| edit["reason"].as_str().is_some_and(|reason| reason.len() > 10)));
    let after: String = edits.iter().filter_map(|edit| edit["after"].as_str()).collect();
    expected.iter().for_each(|text| assert!(after.contains(text), "{name}: {text} is not in\n{after}"));
    json(&[asked("migrate"), vec!["--wish", "format=raw", "--verify"]].concat());
    assert!(fs::read(&source).unwrap() == before, "the source is never written");

    let made = folder.path().join("out/old.raw");
    let now = volume(&made, folder.path());
    let checked = Command::new("ntfsfix").arg("-n").arg(&now).output().unwrap();
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
    let mounted = Mounted::new(&now, "ro");
    let hive = exported(&mounted.path(&format!("{}/System32/config/SYSTEM", one.root)));
    assert!(hive.contains(r#""Start"=dword:00000000"#) && !hive.contains("vmmouse"), "{hive}");
    drop(mounted);

    // Once more, from what was made: there is nothing left to do.
    let again = format!("raw:{}", made.display());
    let second = format!("kvm:{}", folder.path().join("second").display());
    let plan = &json(
        &[&["plan", again.as_str(), "--to", second.as_str(), "--name", "old"][..], &wishes].concat(),
    )["plan"];
    assert_eq!(plan["edits"].as_array().unwrap().len(), 0, "{}", plan["edits"]);

    // Undo: the copy becomes the source again, bit for bit.
    let undone = run(&["sync", from.as_str(), "--to", again.as_str()]);
    assert!(undone.status.success(), "{}{}", text(&undone.stdout), text(&undone.stderr));
    assert!(fs::read(&made).unwrap() == before, "undone, and not the same");
}

#[test]
fn an_old_windows_on_ide() {
    migrates(
        "2003",
        &["disk-bus=ide", "nic-model=rtl8139"],
        &[r"CriticalDeviceDatabase\pci#ven_8086&dev_7010", "\"Tag\"=dword:00000019"],
    );
}

#[test]
fn a_new_windows_on_ahci() {
    migrates(
        "2016",
        &["disk-bus=ahci", "nic-model=e1000"],
        &[r"Services\storahci\StartOverride", "ConfigFlags"],
    );
}
