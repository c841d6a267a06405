//! Drives every call on any bytes.

use fs_swap::Swap;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::testing::filesystem::{self, Exercise};
use wherry_sdk::{FileSystem, Kind, Meta};

/// Probes, mounts, lists; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    let (kind, attributes) = (Kind::File, Vec::new());
    let like = Meta { kind, size: 0, mode: 0, uid: 0, gid: 0, mtime: 0, id: 0, links: 1, attributes };
    let more = |_: &mut Swap, _: &str| {};
    let about = Exercise { objects_most: 9, atomic: false, block_least: 4096, target_most: 0, like, more };
    filesystem::exercise(bytes, &about);
    let blob = MemoryBlob::read_only(bytes);
    let identity = Swap::probe(&blob).expect("reading does not fail here");
    let Ok(mut area) = Swap::mount(Box::new(blob), false) else {
        assert!(identity.is_none());
        return;
    };
    let identity = identity.expect("what is mounted has a name");
    let used = area.used(0, 1).expect("an answer");
    let whole = used[0].length == bytes.len() as u64;
    assert!(used[0].offset == 0 && (whole || used[0].length == u64::from(identity.block)));
    // Nothing is left out that anyone could miss.
    assert!(whole || (identity.clean && bytes[..1024].iter().all(|byte| *byte == 0)));
}
