//! Drives every call on any bytes.

use fs_iso9660::Iso;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::testing::filesystem::{self, Exercise};
use wherry_sdk::{FileSystem, Kind, Meta};

/// Probes, lists and reads; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    let blob = MemoryBlob::read_only(bytes);
    if let Ok(Some(identity)) = Iso::probe(&blob) {
        assert!(matches!(identity.block, 512 | 1024 | 2048));
    }
    let (kind, attributes) = (Kind::File, Vec::new());
    let like = Meta { kind, size: 0, mode: 0, uid: 0, gid: 0, mtime: 0, id: 0, links: 1, attributes };
    let about = Exercise {
        objects_most: 30,
        atomic: false,
        block_least: 512,
        target_most: 3 * 4096,
        like,
        more: |_: &mut Iso, _| {},
    };
    filesystem::exercise(bytes, &about);
    let Ok(mut iso) = Iso::mount(Box::new(blob), false) else { return };
    assert!(iso.used(0, 10).is_ok_and(|used| used.len() <= 1));
}
