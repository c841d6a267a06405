//! What the real driver saw in a pool is what the adapter reads.

use crate::pools::{Pool, Seen};
use fs_zfs::Driver;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::testing::filesystem::{Content, assert_same, from_adapter};
use wherry_sdk::testing::{FileBlob, MemoryBlob};
use wherry_sdk::{ErrorKind, FileSystem, find};

/// What the adapter reads, as the driver's list has it.
pub fn read(fs: &mut Driver) -> BTreeMap<String, Seen> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut all = BTreeMap::new();
    for (path, node) in from_adapter(fs) {
        let size = fs.stat(&path).unwrap().size;
        let (kind, size, content) = match &node.content {
            Content::File(bytes) => ("file", size, hex(&Sha256::digest(bytes))),
            Content::Directory => ("directory", 0, String::new()),
            Content::Link(target) => ("symbolic link", size, target.clone()),
            Content::Other => ("fifo", size, String::new()),
        };
        let (kind, content) = (kind.into(), content);
        let attributes = node.attributes.iter().map(|(name, value)| (name.clone(), hex(value))).collect();
        let (mode, owner, mtime, links) = (node.mode, node.owner, node.mtime, node.links);
        all.insert(path, Seen { kind, mode, owner, mtime, size, links, content, attributes });
    }
    all
}

/// What the driver saw, without what it alone counts: lengths and names of directories, the top itself.
pub fn expected(pool: &Pool) -> BTreeMap<String, Seen> {
    let mut all = pool.seen();
    all.remove("");
    for seen in all.values_mut().filter(|seen| seen.kind == "directory") {
        seen.size = 0;
    }
    all
}

pub fn mount(path: &Path) -> Driver {
    Driver::mount(Box::new(FileBlob::open(path).unwrap()), false).unwrap()
}

pub fn probe(path: &Path) -> Identity {
    Driver::probe(&FileBlob::open(path).unwrap()).unwrap().unwrap()
}

/// Every file of a pool that Linux' OpenZFS made with all its features, with what it mounts below.
#[test]
fn a_root_pool_of_one_device() {
    let pool = Pool::unpack("single");
    let identity = probe(&pool.devices[0]);
    let fact = |key: &str| find(&identity.facts, key).unwrap_or_default();
    assert_eq!((identity.kind.as_str(), identity.label.as_deref()), ("zfs", Some("rpool")));
    assert_eq!((fact("bootfs"), fact("boot-environments")), ("rpool/ROOT/debian", "debian\nolder"));
    assert_eq!(
        (fact("version"), fact("state"), fact("vdevs"), identity.clean),
        ("5000", "exported", "disk", true)
    );
    assert!(fact("features").contains("org.freebsd:zstd_compress"), "{identity:?}");
    assert_eq!((fact("not-verified"), fact("missing")), ("edonr\nskein", ""));
    let datasets = fact("datasets");
    for line in [
        "rpool/ROOT/debian / canmount=noauto",
        "rpool/home /home",
        "rpool/legacy legacy",
        "rpool/home/secret /home/secret canmount=noauto encrypted keyformat=passphrase",
    ] {
        assert!(datasets.lines().any(|one| one == line), "{line}: {datasets}");
    }
    assert!(fact("snapshots").lines().any(|line| line == "rpool/ROOT/debian@first"), "{}", fact("snapshots"));
    let mut fs = mount(&pool.devices[0]);
    let there = expected(&pool);
    assert!(there.len() > 350);
    assert_same(&read(&mut fs), &there, "single");
}

#[test]
fn other_datasets_and_refusals() {
    let pool = Pool::unpack("single");
    let mut fs = mount(&pool.devices[0]);
    assert_eq!(fs.stat("/.zfs/dataset/rpool/home/zstd/text").unwrap(), fs.stat("/home/zstd/text").unwrap());
    assert!(fs.entries("/.zfs/dataset/rpool/ROOT/older", 0, 9).unwrap().entries.is_empty());
    assert!(fs.entries("/.zfs/dataset/rpool/legacy", 0, 9).unwrap().entries.is_empty());
    assert!(fs.entries("/", 0, 99).unwrap().entries.iter().all(|entry| entry.name != ".zfs"));
    use ErrorKind::{InvalidInput, NotFound, Unsupported};
    let error = fs.entries("/.zfs/dataset/rpool/home/secret", 0, 9).unwrap_err();
    assert!(error.kind == Unsupported && error.message.contains("passphrase"), "{error:?}");
    let error = fs.stat("/.zfs/dataset/rpool/volume").unwrap_err();
    assert!(error.message.contains("not a file system"), "{error:?}");
    assert_eq!(fs.stat("/home/cases/README").unwrap(), fs.stat("/home/cases/ReadMe").unwrap());
    let kinds = [
        fs.stat("/nothing").map(|_| ()),
        fs.stat("/etc/hostname/x").map(|_| ()),
        fs.entries("/etc/hostname", 0, 1).map(|_| ()),
        fs.read("/etc", 0, 1).map(|_| ()),
        fs.read_link("/etc/hostname").map(|_| ()),
        fs.remove("/etc/hostname"),
    ]
    .map(|result| result.unwrap_err().kind);
    assert_eq!(kinds, [NotFound, NotFound, InvalidInput, InvalidInput, InvalidInput, Unsupported]);
    let device = Box::new(FileBlob::open(&pool.devices[0]).unwrap());
    assert_eq!(Driver::mount(device, true).map(|_| ()).unwrap_err().kind, Unsupported);
}

/// Pools and file systems before system attributes, and before types in directories, by zfs-fuse.
#[test]
fn old_pools() {
    for (name, version) in
        [("fuse1", "1"), ("fuse10", "10"), ("fuse23", "23"), ("fuse23z", "23"), ("old", "28")]
    {
        let pool = Pool::unpack(name);
        let path = if pool.devices.len() == 1 { pool.devices[0].clone() } else { pool.joined(&[]) };
        assert_eq!(find(&probe(&path).facts, "version"), Some(version), "{name}");
        let there = expected(&pool);
        assert!(there.len() > 20, "{name}");
        assert_same(&read(&mut mount(&path)), &there, name);
    }
}

#[test]
fn pages() {
    let pool = Pool::unpack("single");
    let mut fs = mount(&pool.devices[0]);
    let all = fs.entries("/many", 0, 10_000).unwrap();
    assert_eq!((all.entries.len(), all.next), (300, None));
    let (mut paged, mut next) = (Vec::new(), Some(0));
    while let Some(start) = next {
        let page = fs.entries("/many", start, 13).unwrap();
        paged.extend(page.entries);
        next = page.next;
    }
    assert_eq!(paged, all.entries);
    assert!(fs.entries("/many", u64::MAX, 5).unwrap().entries.is_empty());
    let room = fs.room().unwrap();
    assert!(room.free < room.total && room.free > 16 << 20 && room.total <= 64 << 20, "{room:?}");
}

#[test]
fn what_is_no_pool() {
    for size in [0, 4096, 8 << 20] {
        assert!(Driver::probe(&MemoryBlob::read_only(vec![0; size])).unwrap().is_none());
        assert!(Driver::mount(Box::new(MemoryBlob::read_only(vec![0; size])), false).is_err());
    }
}
