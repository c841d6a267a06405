//! What Linux put into a volume is read from it.

use crate::images::{FILL, find, flavours, make, program};
use fs_btrfs::Driver;
use std::collections::BTreeMap;
use std::process::Command;
use wherry_sdk::testing::filesystem::{
    Files, Node, assert_same, attributes, copy_used, from_adapter, from_directory, used,
};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, run};
use wherry_sdk::{ErrorKind, FileSystem, find as fact};

/// Without the numbers of inodes, which are Linux' own for each subvolume, and without the time of what stands for a subvolume in a
/// snapshot of what is above it, which is always now.
pub fn compared(mut files: Files) -> BTreeMap<String, Node> {
    for path in ["/snapshot/inner", "/var/read-only/inner"] {
        files.get_mut(path).into_iter().for_each(|node| node.mtime = 0);
    }
    files.into_iter().map(|(path, node)| (path, Node { id: 0, ..node })).collect()
}

#[test]
fn what_linux_put_there() {
    for flavour in flavours() {
        let Some(image) = make(flavour, FILL) else { return };
        let name = flavour.name;
        let device = FileBlob::open(&image.path).unwrap();
        let identity = Driver::probe(&device).unwrap().unwrap();
        assert_eq!((identity.kind.as_str(), identity.label.as_deref()), ("btrfs", Some("a label")), "{name}");
        let uuid =
            run(Command::new("/sbin/blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(&image.path));
        assert_eq!(identity.uuid.as_deref(), Some(uuid.trim()));
        assert!(identity.clean && identity.size == crate::images::SIZE, "{name}: {identity:?}");
        assert_eq!(fact(&identity.facts, "default-subvolume"), Some("/@rootfs"), "{name}");
        let subvolumes = fact(&identity.facts, "subvolumes").unwrap();
        assert!(
            subvolumes.contains(" /var/read-only\n") || subvolumes.ends_with(" /var/read-only"),
            "{subvolumes}"
        );
        assert!(subvolumes.contains(" /@rootfs/inner"), "{subvolumes}");
        let mut fs = Driver::mount(Box::new(device), false).unwrap();
        let mounted = Mount::by_kernel("btrfs", &image.path, "ro,subvolid=5").unwrap();
        let mut there = compared(from_directory(&mounted.path));
        for (path, node) in &mut there {
            node.attributes = attributes(&mounted.path.join(path.trim_start_matches('/')));
        }
        assert!(there.len() > 800);
        assert_same(&compared(from_adapter(&mut fs)), &there, name);
    }
}

/// A copy of the used ranges, with noise everywhere else, is a good file system with the same files.
#[test]
fn a_copy_of_what_is_used() {
    for flavour in flavours() {
        let Some(image) = make(flavour, FILL) else { return };
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Driver::mount(Box::new(device), false).unwrap();
        let tree = from_adapter(&mut fs);
        let size = crate::images::SIZE;
        let (few, all) = (used(&mut fs, size, 2).unwrap(), used(&mut fs, size, 10_000).unwrap());
        let sum = |ranges: &[wherry_sdk::Range]| ranges.iter().map(|range| range.length).sum::<u64>();
        assert_eq!(sum(&few), sum(&all), "{}", flavour.name);
        assert!(sum(&all) < size / 2, "{} of {size} bytes are used", sum(&all));
        let target = image.beside("target");
        copy_used(&image.path, &target, &all);
        crate::images::check(&target);
        let mut again = Driver::mount(Box::new(FileBlob::open(&target).unwrap()), false).unwrap();
        assert_same(&from_adapter(&mut again), &tree, flavour.name);
        let rest = fs.used(5, 1).unwrap();
        assert_eq!(rest[0].offset, 5, "from the middle of a range");
        assert!(fs.used(size, 10).unwrap().is_empty());
    }
}

#[test]
fn pages_and_errors() {
    let Some(image) = make(find("default"), FILL) else { return };
    let mut fs = Driver::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    let all = fs.entries("/many", 0, 10_000).unwrap();
    assert_eq!((all.entries.len(), all.next), (700, None));
    let page = fs.entries("/many", 600, 5).unwrap();
    assert_eq!((page.entries.len(), page.next), (5, Some(605)));
    assert_eq!(page.entries[0], all.entries[600]);
    let kinds = [
        fs.stat("/nothing").map(|_| ()),
        fs.stat("/etc/fstab/x").map(|_| ()),
        fs.entries("/etc/fstab", 0, 1).map(|_| ()),
        fs.read("/etc", 0, 1).map(|_| ()),
        fs.read_link("/etc/fstab").map(|_| ()),
    ]
    .map(|result| result.unwrap_err().kind);
    use ErrorKind::{InvalidInput, NotFound};
    assert_eq!(kinds, [NotFound, NotFound, InvalidInput, InvalidInput, InvalidInput]);
}

/// Damaged content is told; damaged trees are read from their other copy.
#[test]
fn sums_are_compared() {
    let Some(image) =
        make(find("default"), "head -c 100000 \"$NOISE\" > file; sync; filefrag -v file > ../extents")
    else {
        return;
    };
    let extents = std::fs::read_to_string(image.beside("extents"));
    drop(extents);
    let mut bytes = std::fs::read(&image.path).unwrap();
    let content = std::fs::read(image.beside("noise")).unwrap();
    let at = bytes.windows(64).position(|window| window == &content[4096..4160]).unwrap();
    bytes[at] ^= 1;
    let mut fs = Driver::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap();
    assert!(fs.read("/file", 0, 4096).is_ok());
    let error = fs.read("/file", 0, 8192).unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("checksum"), "{error:?}");
    assert!(fs.read("/file", 8192, 4096).is_ok());
}

#[test]
fn a_damaged_block_is_read_from_its_copy() {
    let Some(image) = make(find("default"), FILL) else { return };
    let told = run(program("bin/btrfs").args(["inspect-internal", "dump-tree", "-t", "5"]).arg(&image.path));
    let root = told.lines().find_map(|line| line.strip_prefix("node ")).unwrap();
    let address = root.split(' ').next().unwrap();
    let mut map = Command::new("btrfs-map-logical");
    let places = run(map.args(["-l", address]).arg(&image.path));
    let first: u64 = places
        .lines()
        .next()
        .unwrap()
        .split(" physical ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut bytes = std::fs::read(&image.path).unwrap();
    let whole =
        from_adapter(&mut Driver::mount(Box::new(MemoryBlob::read_only(bytes.clone())), false).unwrap());
    bytes[first as usize + 300] ^= 1;
    let mut fs = Driver::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap();
    assert_same(&from_adapter(&mut fs), &whole, "one copy is damaged");
}

#[test]
fn what_is_no_btrfs() {
    assert!(Driver::probe(&MemoryBlob::read_only(vec![0; 1 << 20])).unwrap().is_none());
    assert!(Driver::probe(&MemoryBlob::read_only(vec![])).unwrap().is_none());
    assert!(Driver::mount(Box::new(MemoryBlob::read_only(vec![0; 1 << 20])), false).is_err());
}
