//! A log that Linux left: what it has is told by nobody but Linux, so nothing is changed before Linux replayed it.

use crate::images::{check, find, make};
use fs_btrfs::Driver;
use std::process::Command;
use wherry_sdk::testing::filesystem::{assert_same, from_adapter, from_directory, used};
use wherry_sdk::testing::{FileBlob, Mount, run};
use wherry_sdk::{ErrorKind, FileSystem};

/// A machine that lost its power: what it had synced is in the log, on the copy.
#[test]
fn a_log_to_be_replayed() {
    let Some(image) = make(find("default"), "echo old > file; mkdir var; echo kept > var/kept") else {
        return;
    };
    let lost = image.beside("lost");
    let mounted = Mount::by_kernel("btrfs", &image.path, "rw,commit=300").unwrap();
    let before =
        from_adapter(&mut Driver::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap());
    let script = "echo new > file; head -c 200000 /dev/zero | tr '\\0' x > var/large; sync file var/large";
    run(Command::new("bash").args(["-ec", script]).current_dir(&mounted.path));
    run(Command::new("cp").arg("--sparse=always").arg(&image.path).arg(&lost));
    drop(mounted);

    let device = FileBlob::open(&lost).unwrap();
    let identity = Driver::probe(&device).unwrap().unwrap();
    assert!(
        !identity.clean && identity.facts.iter().any(|fact| fact.key == "journal"),
        "{:?}",
        identity.facts
    );
    let refused = Driver::mount(Box::new(device.clone()), true).err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Dirty);
    assert!(refused.message.contains("mount and unmount"), "no remedy: {}", refused.message);
    // Reading shows what was committed, and all counts as used: the log's blocks are in no tree of extents.
    let mut fs = Driver::mount(Box::new(device), false).unwrap();
    assert_same(&from_adapter(&mut fs), &before, "as it was before the log");
    let all = used(&mut fs, identity.size, 16).unwrap();
    assert_eq!((all.len(), all[0].length), (1, identity.size), "{all:?}");

    // The remedy: Linux replays the log, and what it had synced is there.
    let mounted = Mount::by_kernel("btrfs", &lost, "rw").unwrap();
    let there = from_directory(&mounted.path);
    drop(mounted);
    check(&lost);
    let mut fs = Driver::mount(Box::new(FileBlob::open(&lost).unwrap()), true).unwrap();
    let ours = from_adapter(&mut fs);
    assert_eq!(fs.read("/file", 0, 10).unwrap(), b"new\n");
    assert_eq!(
        ours.iter().map(|(path, node)| (path, &node.content)).collect::<Vec<_>>(),
        there.iter().map(|(path, node)| (path, &node.content)).collect::<Vec<_>>()
    );
}
