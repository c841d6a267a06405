//! Every public call on bytes that may be anything.

use fs_ntfs::Ntfs;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::testing::filesystem::{self, Exercise};
use wherry_sdk::{FileSystem, Kind, Meta};

/// Drives every public call on these bytes.
pub fn exercise(bytes: &[u8]) {
    let like = Meta {
        kind: Kind::File,
        size: 0,
        mode: 0o644,
        uid: 1,
        gid: 70_000,
        mtime: 1 << 31,
        id: 0,
        links: 0,
        attributes: vec![("ntfs.attributes".into(), vec![0x22, 0, 0, 0])],
    };
    let about = Exercise {
        objects_most: 60,
        atomic: false,
        block_least: 256,
        target_most: 1 << 17,
        like,
        more: stream,
    };
    filesystem::exercise(bytes, &about);
}

fn stream(fs: &mut Ntfs, path: &str) {
    let _ = fs.write(&format!("{path}:stream"), &MemoryBlob::read_only(vec![2; 30_000]), None);
}
