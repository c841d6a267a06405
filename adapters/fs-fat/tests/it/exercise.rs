//! Drives every call on any bytes.

use fs_fat::Fat;
use wherry_sdk::testing::filesystem::{self, Exercise};
use wherry_sdk::{Kind, Meta};

/// Probes, reads, lists and edits; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    let (kind, attributes) = (Kind::File, Vec::new());
    let like =
        Meta { kind, size: 0, mode: 0o444, uid: 0, gid: 0, mtime: 1 << 31, id: 0, links: 1, attributes };
    let about = Exercise {
        objects_most: 12,
        atomic: true,
        block_least: 512,
        target_most: 0,
        like,
        more: |_: &mut Fat, _| {},
    };
    filesystem::exercise(bytes, &about);
}
