//! Files replaced in archives by GNU cpio, which are then unpacked by it.

use crate::hsfs_exercise::patched;
use os_solaris::cpio;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use wherry_sdk::{Error, Patch};

const OLD: &str = "#\n#\tCaution! This file contains critical kernel state\n#\n\"/pci@0,0\" 0 \"pci\"\n";
const NEW: &str = "#path_to_inst_bootstrap_1\n";

fn run(format: &str, arguments: &[&str], folder: &std::path::Path, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("cpio");
    command.arg("--quiet").args(arguments).arg(format!("--format={format}")).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// An archive with a few files.
pub fn archive(format: &str) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    fs::write(folder.path().join("etc/name_to_major"), "rootnex 0\n").unwrap();
    fs::write(folder.path().join("etc/path_to_inst"), OLD).unwrap();
    fs::write(folder.path().join("unix"), [7; 3001]).unwrap();
    run(format, &["-o"], folder.path(), b"etc\netc/name_to_major\netc/path_to_inst\nunix\n")
}

fn replace(archive: &[u8], path: &str, content: &[u8]) -> Result<(Vec<u8>, Vec<Patch>), Error> {
    let read = |offset: u64, length: u64| {
        let at = offset as usize;
        let bytes = at.checked_add(length as usize).and_then(|end| archive.get(at..end)).map(<[u8]>::to_vec);
        bytes.ok_or_else(|| Error::corrupt(offset, "beyond the end"))
    };
    cpio::replace(&read, archive.len() as u64, path, content, 1 << 20)
}

#[test]
fn files_are_replaced_in_place() {
    let old = archive("odc");
    let (before, patches) = replace(&old, "etc/path_to_inst", NEW.as_bytes()).unwrap();
    assert_eq!(before, OLD.as_bytes());
    let new = patched(&old, &patches);
    assert_eq!(new.len(), old.len());
    assert!(replace(&new, "etc/path_to_inst", NEW.as_bytes()).unwrap().1.is_empty());
    let folder = TempDir::new().unwrap();
    run("odc", &["-id"], folder.path(), &new);
    let text = |path| fs::read_to_string(folder.path().join(path)).unwrap();
    assert_eq!(text("etc/path_to_inst").trim_end(), NEW.trim_end());
    assert_eq!(text("etc/name_to_major"), "rootnex 0\n");
    assert_eq!(fs::read(folder.path().join("unix")).unwrap(), [7; 3001]);
}

#[test]
fn what_cannot_be_is_refused() {
    let old = archive("odc");
    assert!(replace(&old, "etc/path_to_inst", &[b'x'; 500]).is_err());
    assert!(replace(&old, "etc/missing", b"").is_err());
    assert!(replace(&archive("newc"), "etc/path_to_inst", b"").is_err());
    assert!(replace(b"", "a", b"").is_err());
}

#[test]
fn damaged_archives() {
    let old = archive("odc");
    for length in 0..old.len() {
        drop(replace(&old[..length], "etc/path_to_inst", NEW.as_bytes()));
    }
    for seed in 0..600 {
        let mut bytes = old.clone();
        wherry_sdk::testing::damage(&mut bytes, 0, old.len(), seed);
        if let Ok((_, patches)) = replace(&bytes, "etc/path_to_inst", NEW.as_bytes()) {
            assert_eq!(patched(&bytes, &patches).len(), bytes.len());
        }
    }
}
