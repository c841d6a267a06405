//! Used ranges against what must be copied for the files to survive.

use crate::images::{FLAVOURS, make};
use crate::tools::{Mount, check};
use crate::tree::{assert_same, bytes, from_adapter, from_directory};
use fs_ntfs::Ntfs;
use std::os::unix::fs::FileExt;
use wherry_sdk::testing::FileBlob;
use wherry_sdk::{FileSystem, Range};

/// All ranges, asked for `most` at a time.
pub fn all(fs: &mut Ntfs, most: u32) -> Vec<Range> {
    let (mut ranges, mut start) = (Vec::new(), 0);
    loop {
        let page = fs.used(start, most).unwrap();
        let Some(last) = page.last() else { return ranges };
        start = last.offset + last.length;
        ranges.extend(page);
    }
}

/// A copy of the used ranges, with noise everywhere else, is a good volume with the same files and a backup of the boot
/// sector in the last sector.
#[test]
fn a_copy_of_what_is_used() {
    for flavour in FLAVOURS.iter().filter(|flavour| flavour.name != "2m") {
        let image = make(flavour);
        let mut fs = Ntfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
        let tree = from_adapter(&mut fs);
        let room = fs.room().unwrap();
        let used = all(&mut fs, 7);
        let copied: u64 = used.iter().map(|range| range.length).sum();
        assert!(copied + room.free - flavour.size < 1 << 16, "{}: {copied} bytes", flavour.name);
        let target = image.beside("target");
        std::fs::write(&target, bytes(2, flavour.size as usize)).unwrap();
        let from = std::fs::File::open(&image.path).unwrap();
        let to = std::fs::File::options().write(true).open(&target).unwrap();
        let mut at = 0;
        for range in &used {
            assert!(range.offset >= at && range.length > 0);
            at = range.offset + range.length;
            let mut bytes = vec![0; range.length as usize];
            from.read_exact_at(&mut bytes, range.offset).unwrap();
            to.write_all_at(&bytes, range.offset).unwrap();
        }
        assert_eq!(at, flavour.size, "the backup of the boot sector is copied");
        check(&target);
        assert_same(&tree, &from_directory(&Mount::new(&target, "ro").path), flavour.name);
    }
}
