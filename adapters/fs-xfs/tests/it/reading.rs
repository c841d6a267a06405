//! What mkfs.xfs was told to put into a volume is read from it.

use crate::images::{FLAVOURS, find, make, populate};
use fs_xfs::Xfs;
use std::collections::BTreeMap;
use wherry_sdk::testing::filesystem::{Content, Files, assert_same, from_adapter, from_directory};
use wherry_sdk::testing::{FileBlob, MemoryBlob};
use wherry_sdk::{ErrorKind, FileSystem, find as fact};

/// What a protofile can tell: no times, no second names.
fn compared(files: Files) -> BTreeMap<String, (Content, u32, (u32, u32))> {
    files.into_iter().map(|(path, node)| (path, (node.content, node.mode, node.owner))).collect()
}

#[test]
fn what_mkfs_put_there() {
    for flavour in FLAVOURS {
        let image = make(flavour, 48 << 20, populate);
        let device = FileBlob::open(&image.path).unwrap();
        let identity = Xfs::probe(&device).unwrap().unwrap();
        let name = flavour.name;
        assert_eq!((identity.kind.as_str(), identity.label.as_deref()), ("xfs", Some("a label")), "{name}");
        assert_eq!(identity.uuid.as_deref(), Some("01234567-89ab-cdef-0123-456789abcdef"));
        assert!(
            identity.clean && identity.size <= 48 << 20 && identity.size > 47 << 20,
            "{name}: {identity:?}"
        );
        let features: Vec<&str> = fact(&identity.facts, "features").unwrap().split(',').collect();
        assert!(flavour.features.iter().all(|one| features.contains(one)), "{name}: {features:?}");
        let mut fs = Xfs::mount(Box::new(device), false).unwrap();
        let there = compared(from_directory(&image.beside("source")));
        assert!(there.len() > 1500);
        assert_same(&compared(from_adapter(&mut fs)), &there, name);
        let room = fs.room().unwrap();
        assert!(
            room.total == identity.size && room.free < room.total && room.free > 1 << 20,
            "{name}: {room:?}"
        );
    }
}

#[test]
fn pages_and_errors() {
    let image = make(find("default"), 24 << 20, populate);
    let mut fs = Xfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    let all = fs.entries("/many", 0, 10_000).unwrap();
    assert_eq!((all.entries.len(), all.next), (1500, None));
    let page = fs.entries("/many", 700, 5).unwrap();
    assert_eq!((page.entries.len(), page.next), (5, Some(705)));
    assert_eq!(page.entries[0], all.entries[700]);
    assert!(fs.entries("/many", u64::MAX, 5).unwrap().entries.is_empty());
    let kinds = [
        fs.stat("/nothing").map(|_| ()),
        fs.stat("/etc/fstab/x").map(|_| ()),
        fs.entries("/etc/fstab", 0, 1).map(|_| ()),
        fs.read("/etc", 0, 1).map(|_| ()),
        fs.read_link("/etc/fstab").map(|_| ()),
        fs.remove("/etc/fstab"),
    ]
    .map(|result| result.unwrap_err().kind);
    use ErrorKind::{Denied, InvalidInput, NotFound};
    assert_eq!(kinds, [NotFound, NotFound, InvalidInput, InvalidInput, InvalidInput, Denied]);
    let bytes = std::fs::read(&image.path).unwrap();
    let error = Xfs::mount(Box::new(MemoryBlob::read_only(bytes)), true).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, Denied, "{error:?}");
}

/// Case does not count where mkfs.xfs was told so.
#[test]
fn names_in_any_case() {
    let image = make(find("ci"), 24 << 20, populate);
    let mut fs = Xfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    assert_eq!(fs.stat("/ETC/FsTab").unwrap(), fs.stat("/etc/fstab").unwrap());
}

#[test]
fn what_is_no_xfs() {
    assert!(Xfs::probe(&MemoryBlob::read_only(vec![0; 4096])).unwrap().is_none());
    assert!(Xfs::probe(&MemoryBlob::read_only(vec![])).unwrap().is_none());
    assert!(Xfs::mount(Box::new(MemoryBlob::read_only(vec![0; 4096])), false).is_err());
}
