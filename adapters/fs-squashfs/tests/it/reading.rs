//! Whole trees, as the kernel sees them.

use crate::images::{FEW, FILL, FLAVOURS, make};
use fs_squashfs::Squash;
use std::process::Command;
use wherry_sdk::testing::filesystem::{assert_same, attributes, from_adapter, from_directory, used};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, noise, run};
use wherry_sdk::{ErrorKind, FileSystem, find};

#[test]
fn everything_is_as_linux_sees_it() {
    for flavour in FLAVOURS {
        let image = make(flavour, FILL);
        let blob = FileBlob::open(&image.path).unwrap();
        let identity = Squash::probe(&blob).unwrap().unwrap();
        let told = run(Command::new("/usr/bin/unsquashfs").arg("-s").arg(&image.path));
        assert!(told.contains(&format!("Block size {}\n", identity.block)), "{told}");
        let packing = find(&identity.facts, "squashfs.compression").unwrap();
        assert!(told.contains(&format!("Compression {packing}\n")) && packing == flavour.packing, "{told}");
        let mut fs = Squash::mount(Box::new(blob), false).unwrap();
        let read = from_adapter(&mut fs);
        assert!(read.len() > 940, "{}", read.len());
        let Some(mounted) = Mount::by_kernel("squashfs", &image.path, "ro") else { continue };
        let mut seen = from_directory(&mounted.path);
        for (path, node) in &mut seen {
            node.attributes = attributes(&mounted.path.join(&path[1..]));
        }
        assert_same(&read, &seen, flavour.name);
        let noted = seen.values().filter(|node| !node.attributes.is_empty()).count();
        assert_eq!(noted, 7, "{}: attributes were packed", flavour.name);
    }
}

/// A page has an end of its own, whatever is asked for.
#[test]
fn no_page_is_as_large_as_one_likes() {
    let image = make(&FLAVOURS[0], "mkdir many; cd many; touch $(seq 9000)");
    let mut fs = Squash::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    let page = fs.entries("/many", 0, u32::MAX).unwrap();
    assert_eq!((page.entries.len(), page.next), (8192, Some(8192)));
    let rest = fs.entries("/many", 8192, u32::MAX).unwrap();
    assert_eq!((rest.entries.len(), rest.next), (808, None));
    assert_eq!(fs.entries("/many", 0, 0).unwrap().entries.len(), 1);
}

#[test]
fn pages_and_errors() {
    let image = make(&FLAVOURS[0], FILL);
    let size = std::fs::metadata(&image.path).unwrap().len();
    let mut fs = Squash::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    let all = fs.entries("/many", 0, 10_000).unwrap();
    assert_eq!((all.entries.len(), all.next), (900, None));
    for start in [600, 605, 20] {
        let page = fs.entries("/many", start, 5).unwrap();
        assert_eq!(page.next, Some(start + 5));
        assert_eq!(page.entries[..], all.entries[start as usize..][..5]);
    }
    assert_eq!(fs.entries("/many", 895, 5).unwrap().next, None);
    let kinds = [
        fs.stat("/nothing").map(|_| ()),
        fs.stat("/etc/fstab/x").map(|_| ()),
        fs.entries("/etc/fstab", 0, 1).map(|_| ()),
        fs.read("/etc", 0, 1).map(|_| ()),
        fs.read_link("/etc/fstab").map(|_| ()),
        fs.write("/new", &MemoryBlob::read_only(vec![]), None),
    ]
    .map(|result| result.unwrap_err().kind);
    use ErrorKind::{InvalidInput, NotFound, Unsupported};
    assert_eq!(kinds, [NotFound, NotFound, InvalidInput, InvalidInput, InvalidInput, Unsupported]);
    assert_eq!(used(&mut fs, size, 3).unwrap().len(), 1);
    assert!(fs.used(size, 10).unwrap().is_empty());
}

/// Any part of a file, in any order.
#[test]
fn parts_of_files() {
    let whole = noise(7, 3_000_000);
    for flavour in [&FLAVOURS[0], &FLAVOURS[5], &FLAVOURS[6]] {
        let image = make(flavour, "head -c 3000000 \"$NOISE\" > file");
        let mut fs = Squash::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
        for offset in [2_999_990, 0, 131_070, 1_500_000, 1_400_000, 4_000_000] {
            let read = fs.read("/file", offset, 300_000).unwrap();
            let from = (offset as usize).min(whole.len());
            assert!(read == whole[from..(from + 300_000).min(whole.len())], "{offset}");
        }
    }
}

#[test]
fn what_is_not_read_is_named() {
    let image = make(&FLAVOURS[0], FEW);
    let bytes = std::fs::read(&image.path).unwrap();
    for (at, value, word) in [(20, 2, "lzma"), (20, 9, "method 9"), (28, 3, "3.0")] {
        let mut other = bytes.clone();
        other[at] = value;
        let blob = MemoryBlob::read_only(other);
        let identity = Squash::probe(&blob).unwrap().unwrap();
        assert_eq!(identity.kind, "squashfs");
        let error = Squash::mount(Box::new(blob), false).map(|_| ()).unwrap_err();
        assert!(error.kind == ErrorKind::Unsupported && error.message.contains(word), "{error:?}");
    }
    assert!(Squash::probe(&MemoryBlob::read_only(vec![0; 1 << 20])).unwrap().is_none());
    assert!(Squash::probe(&MemoryBlob::read_only(vec![])).unwrap().is_none());
    let error = Squash::mount(Box::new(MemoryBlob::new(bytes)), true).map(|_| ()).unwrap_err();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("made anew"), "{error:?}");
}

/// Damage in a packed block is told with the file's name.
#[test]
fn damaged_content() {
    let image = make(&FLAVOURS[3], "yes text | head -c 300000 > file || true");
    let mut bytes = std::fs::read(&image.path).unwrap();
    let at = bytes.windows(6).position(|window| window == b"\xfd7zXZ\0").unwrap();
    bytes[at + 40] ^= 1;
    let mut fs = Squash::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap();
    let error = fs.read("/file", 0, 10).unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.message.starts_with("/file from 0 on"), "{error:?}");
}
