//! Drives every call on any bytes.

use fs_squashfs::Squash;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::testing::filesystem::{self, Exercise};
use wherry_sdk::{FileSystem, Kind, Meta};

/// Probes, lists and reads; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    let (kind, attributes) = (Kind::File, Vec::new());
    let like = Meta { kind, size: 0, mode: 0, uid: 0, gid: 0, mtime: 0, id: 0, links: 1, attributes };
    let about = Exercise {
        objects_most: 60,
        atomic: false,
        block_least: 4096,
        target_most: 3 * 4096,
        like,
        more: |_: &mut Squash, _| {},
    };
    filesystem::exercise(bytes, &about);
    assert!(Squash::mount(Box::new(MemoryBlob::new(bytes)), true).is_err(), "never for writing");
}
