//! Every public call on bytes that may be anything.

use fs_xfs::Xfs;
use wherry_sdk::testing::filesystem::{self, Exercise};
use wherry_sdk::{Kind, Meta};

/// Drives every public call on these bytes.
pub fn exercise(bytes: &[u8]) {
    let (kind, attributes) = (Kind::File, Vec::new());
    let like = Meta { kind, size: 0, mode: 0o644, uid: 1, gid: 1, mtime: 0, id: 0, links: 0, attributes };
    let about = Exercise {
        objects_most: 60,
        atomic: false,
        block_least: 512,
        target_most: 3 * 1024,
        like,
        more: |_: &mut Xfs, _| {},
    };
    filesystem::exercise(bytes, &about);
}
