//! What Linux' own driver reads of a disk, in the emulated kernel.

use crate::lab::{Lab, mount};
use crate::sierra;
use std::fs;
use tempfile::TempDir;
use wherry_sdk::testing::filesystem::{Files, assert_same, from_adapter, from_directory};
use wherry_sdk::testing::kernel;

/// Without what tar does not carry, and modes where the disk has none.
fn compared(mut files: Files, modes: bool) -> Files {
    for node in files.values_mut() {
        (node.id, node.links) = (0, 0);
        node.mode = if modes { node.mode } else { 0 };
    }
    files
}

fn same_as_linux(disk: &[u8], modes: bool, what: &str) {
    let folder = TempDir::new().unwrap();
    let (path, out) = (folder.path().join("disk"), folder.path().join("out"));
    fs::write(&path, disk).unwrap();
    fs::create_dir(&out).unwrap();
    kernel::unpack(&path, "isofs", &out);
    let ours = compared(from_adapter(&mut mount(disk)), modes);
    assert_same(&ours, &compared(from_directory(&out), modes), what);
}

#[test]
fn high_sierra() {
    same_as_linux(&sierra::disk().1, false, "high sierra");
}

#[test]
fn rock_ridge() {
    let lab = Lab::new(&[("/1/2/3/4/5/6/7/8/9/10/deep.txt".to_owned(), Some(b"deep".to_vec()))].into());
    std::os::unix::fs::symlink("../up", lab.root().join("1/link")).unwrap();
    same_as_linux(&lab.image("/usr/bin/genisoimage", &["-R"]), true, "rock ridge");
}
