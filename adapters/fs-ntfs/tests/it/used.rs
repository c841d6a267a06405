//! Used ranges against what must be copied for the files to survive.

use crate::images::{FLAVOURS, make};
use crate::tools::{check, mounted};
use crate::tree::{from_adapter, from_directory};
use fs_ntfs::Ntfs;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::FileBlob;
use wherry_sdk::testing::filesystem::{assert_same, copy_used, used};

/// A copy of the used ranges, with noise everywhere else, is a good volume with the same files and a backup of the boot
/// sector in the last sector.
#[test]
fn a_copy_of_what_is_used() {
    for flavour in FLAVOURS.iter().filter(|flavour| flavour.name != "2m") {
        let image = make(flavour);
        let mut fs = Ntfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
        let tree = from_adapter(&mut fs);
        let room = fs.room().unwrap();
        let used = used(&mut fs, flavour.size, 7).unwrap();
        let copied: u64 = used.iter().map(|range| range.length).sum();
        assert!(copied + room.free - flavour.size < 1 << 16, "{}: {copied} bytes", flavour.name);
        let target = image.beside("target");
        copy_used(&image.path, &target, &used);
        let end = used.last().map(|range| range.offset + range.length);
        assert_eq!(end, Some(flavour.size), "the backup of the boot sector is copied");
        check(&target);
        assert_same(&tree, &from_directory(&mounted(&target, "ro").path), flavour.name);
    }
}
