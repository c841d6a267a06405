//! What makefs was told to put into a volume is read from it, in Solaris' form too, as Linux reads it.

use crate::images::{FLAVOURS, Image, find, make, plain, populate};
use fs_ufs::Ufs;
use std::collections::BTreeMap;
use wherry_sdk::testing::filesystem::{
    Content, Files, assert_same, copy_used, from_adapter, from_directory, used,
};
use wherry_sdk::testing::{FileBlob, MemoryBlob, kernel};
use wherry_sdk::{ErrorKind, FileSystem, find as fact};

/// What is compared of an object: content, mode, owner, time.
pub type Compared = BTreeMap<String, (Content, u32, (u32, u32), i64)>;

/// Without what makefs leaves out or a tar cannot tell.
pub fn compared(files: Files) -> Compared {
    let shown = files.into_iter();
    shown.map(|(path, node)| (path, (node.content, node.mode, node.owner, node.mtime))).collect()
}

fn mounted(image: &Image) -> Ufs {
    Ufs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap()
}

#[test]
fn what_makefs_put_there() {
    for flavour in FLAVOURS {
        let image = make(flavour, populate);
        let name = flavour.name;
        let identity = Ufs::probe(&FileBlob::open(&image.path).unwrap()).unwrap().unwrap();
        assert_eq!(
            (identity.kind.as_str(), fact(&identity.facts, "flavour")),
            ("ufs", Some("sun")),
            "{name}"
        );
        assert!(identity.clean, "{name}: {identity:?}");
        let there = compared(from_directory(&image.beside("source")));
        assert!(there.len() > 400);
        assert_same(&compared(from_adapter(&mut mounted(&image))), &there, name);
    }
}

#[test]
fn the_bsds() {
    for (order, options, flavour) in [
        ("le", "version=1", "bsd"),
        ("be", "version=1,bsize=16384,fsize=2048", "bsd"),
        ("le", "version=2", "ufs2"),
        ("be", "version=2,bsize=8192,fsize=1024", "ufs2"),
    ] {
        let image = plain(order, options, 24, populate);
        let name = format!("{order} {options}");
        let identity = Ufs::probe(&FileBlob::open(&image.path).unwrap()).unwrap().unwrap();
        assert_eq!(fact(&identity.facts, "flavour"), Some(flavour), "{name}");
        let there = compared(from_directory(&image.beside("source")));
        assert_same(&compared(from_adapter(&mut mounted(&image))), &there, &name);
        let error = Ufs::mount(Box::new(FileBlob::open(&image.path).unwrap()), true).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{name}");
    }
}

/// Linux' own driver, in an emulated machine, finds the same in what the conversion made.
#[test]
fn linux_reads_the_same() {
    for (name, kind) in [("x86", "sunx86"), ("sparc", "sun")] {
        let image = make(find(name), populate);
        let folder = image.beside("linux");
        std::fs::create_dir(&folder).unwrap();
        kernel::unpack_with(&image.path, "ufs", &format!("ro,ufstype={kind}"), &folder);
        assert_same(&compared(from_adapter(&mut mounted(&image))), &compared(from_directory(&folder)), name);
    }
}

/// A copy of the used ranges, with noise everywhere else, is the same file system.
#[test]
fn a_copy_of_what_is_used() {
    for flavour in FLAVOURS {
        let image = make(flavour, populate);
        let size = std::fs::metadata(&image.path).unwrap().len();
        let mut fs = mounted(&image);
        let tree = from_adapter(&mut fs);
        let (few, all) = (used(&mut fs, size, 2).unwrap(), used(&mut fs, size, 10_000).unwrap());
        let sum = |ranges: &[wherry_sdk::Range]| ranges.iter().map(|range| range.length).sum::<u64>();
        assert_eq!(sum(&few), sum(&all), "{}", flavour.name);
        let free = fs.room().unwrap().free;
        assert!(
            sum(&all) + free <= size,
            "{}: {} of {size} are used, {free} are free",
            flavour.name,
            sum(&all)
        );
        let target = image.beside("target");
        copy_used(&image.path, &target, &all);
        let mut again = Ufs::mount(Box::new(FileBlob::open(&target).unwrap()), false).unwrap();
        assert_same(&from_adapter(&mut again), &tree, flavour.name);
    }
}

#[test]
fn states() {
    let image = make(find("x86"), populate);
    let bytes = std::fs::read(&image.path).unwrap();
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = bytes.clone();
        changes.iter().for_each(|(at, value)| bytes[8192 + at] = *value);
        let clean = Ufs::probe(&MemoryBlob::read_only(bytes.clone())).unwrap().unwrap().clean;
        (clean, Ufs::mount(Box::new(MemoryBlob::new(bytes)), true).map(|_| ()).map_err(|error| error.kind))
    };
    let dirty = (false, Err(ErrorKind::Dirty));
    assert_eq!(with(&[]), (true, Ok(())));
    assert_eq!(with(&[(209, 2)]), (true, Ok(())), "stable");
    assert_eq!(with(&[(209, 0)]), dirty, "active");
    assert_eq!(with(&[(209, 0xfd)]), dirty, "logging without a log");
    assert_eq!(with(&[(209, 0xfd), (1324, 9), (4, 1)]), (true, Ok(())), "logging, rolled");
    assert_eq!(with(&[(209, 0xfd), (1324, 9), (4, 2)]), dirty, "logging, not rolled");
    assert_eq!(with(&[(132, 1)]), dirty, "a state of another time");
}

#[test]
fn pages_and_errors() {
    let image = make(find("x86"), populate);
    let mut fs = mounted(&image);
    let all = fs.entries("/many", 0, 10_000).unwrap();
    assert_eq!((all.entries.len(), all.next), (400, None));
    let page = fs.entries("/many", 300, 5).unwrap();
    assert_eq!((page.entries.len(), page.next), (5, Some(305)));
    assert_eq!(page.entries[0], all.entries[300]);
    let kinds = [
        fs.stat("/nothing").map(|_| ()),
        fs.stat("/etc/vfstab/x").map(|_| ()),
        fs.entries("/etc/vfstab", 0, 1).map(|_| ()),
        fs.read("/etc", 0, 1).map(|_| ()),
        fs.read_link("/etc/vfstab").map(|_| ()),
        fs.remove("/etc/vfstab"),
    ]
    .map(|result| result.unwrap_err().kind);
    use ErrorKind::{Denied, InvalidInput, NotFound};
    assert_eq!(kinds, [NotFound, NotFound, InvalidInput, InvalidInput, InvalidInput, Denied]);
    assert!(Ufs::probe(&MemoryBlob::read_only(vec![0; 1 << 20])).unwrap().is_none());
    assert!(Ufs::probe(&MemoryBlob::read_only(vec![])).unwrap().is_none());
}
