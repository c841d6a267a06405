//! Every public call on bytes that may be anything.

use fs_ext4::Ext4;
use wherry_sdk::testing::filesystem::{self, Exercise};
use wherry_sdk::{Kind, Meta};

/// Drives every public call on these bytes.
pub fn exercise(bytes: &[u8]) {
    let like = Meta {
        kind: Kind::File,
        size: 0,
        mode: 0o644,
        uid: 1,
        gid: 70_000,
        mtime: i64::MAX,
        id: 0,
        links: 0,
        attributes: vec![("security.selinux".into(), b"label".to_vec()), ("user.x".into(), vec![0; 300])],
    };
    let about = Exercise {
        objects_most: 60,
        atomic: false,
        block_least: 1024,
        target_most: 3 * 4096,
        like,
        more: |_: &mut Ext4, _| {},
    };
    filesystem::exercise(bytes, &about);
}
