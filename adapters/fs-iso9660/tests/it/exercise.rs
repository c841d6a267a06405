//! Drives every call on any bytes.

use fs_iso9660::Iso;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Blob, FileSystem, Kind};

/// Objects looked at in one volume: a damaged one may seem to have millions.
const OBJECTS_MOST: usize = 40;
/// And how deep: each call reads the directories on its path.
const DEPTH_MOST: usize = 5;

/// Probes, lists and reads; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    let blob = MemoryBlob::read_only(bytes);
    if let Ok(Some(identity)) = Iso::probe(&blob) {
        assert!(identity.size <= blob.size() && matches!(identity.block, 512 | 1024 | 2048));
    }
    let Ok(mut iso) = Iso::mount(Box::new(blob.clone()), false) else { return };
    let (mut pending, mut count) = (vec!["/".to_string()], 0);
    while let Some(directory) = pending.pop() {
        let mut start = 0;
        while let Ok(page) = iso.entries(&directory, start, 20) {
            for entry in page.entries {
                assert!(!entry.name.is_empty() && !entry.name.contains(['/', '\0']));
                assert!(!matches!(entry.name.as_str(), "." | "..") && entry.meta.attributes.is_empty());
                let path = format!("{}/{}", directory.trim_end_matches('/'), entry.name);
                let _ = iso.stat(&path);
                let _ = iso.read_link(&path);
                match entry.meta.kind {
                    Kind::Directory if path.split('/').count() < DEPTH_MOST => pending.push(path),
                    _ => {
                        if let Ok(bytes) = iso.read(&path, entry.meta.size / 2, 5000) {
                            assert!(bytes.len() <= 5000);
                        }
                    }
                }
                count += 1;
            }
            match page.next.filter(|_| count < OBJECTS_MOST) {
                Some(next) => {
                    assert!(next > start, "cursors go on");
                    start = next;
                }
                None => break,
            }
        }
        if count >= OBJECTS_MOST {
            break;
        }
    }
    assert!(iso.used(0, 10).is_ok_and(|used| used.len() <= 1));
    assert!(iso.remove("/a").is_err());
}
