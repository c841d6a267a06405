//! Drives every call on any bytes.

use fs_fat::Fat;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Blob, FileSystem, Kind};

/// Objects looked at in one volume: a damaged one may seem to have millions.
const OBJECTS_MOST: usize = 60;

/// Probes, reads, lists and edits; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    let blob = MemoryBlob::new(bytes);
    if let Ok(Some(identity)) = Fat::probe(&blob) {
        assert!(identity.size <= blob.size() && identity.block >= 512);
    }
    if let Ok(mut fat) = Fat::mount(Box::new(MemoryBlob::read_only(bytes)), false) {
        let paths = walk(&mut fat);
        check_used(&mut fat, blob.size());
        for path in paths {
            assert!(fat.remove(&path).is_err(), "mounted read-only");
        }
    }
    if let Ok(mut fat) = Fat::mount(Box::new(blob.clone()), true) {
        edit(&mut fat);
        check_used(&mut fat, blob.size());
        drop(fat);
        Fat::mount(Box::new(blob), true).expect("what was fit for writing still is");
    }
}

fn walk(fat: &mut Fat) -> Vec<String> {
    let (mut pending, mut found) = (vec!["/".to_string()], Vec::new());
    while let Some(directory) = pending.pop() {
        let mut start = 0;
        while let Ok(page) = fat.entries(&directory, start, 20) {
            for entry in page.entries {
                assert!(!entry.name.is_empty() && !entry.name.contains('/'));
                let path = format!("{}/{}", directory.trim_end_matches('/'), entry.name);
                if entry.meta.kind == Kind::Directory {
                    pending.push(path.clone());
                } else if let Ok(bytes) = fat.read(&path, entry.meta.size / 2, 5000) {
                    assert!(bytes.len() as u64 <= entry.meta.size);
                }
                let _ = fat.stat(&path);
                found.push(path);
            }
            match page.next.filter(|_| found.len() < OBJECTS_MOST) {
                Some(next) => {
                    assert!(next > start, "cursors go on");
                    start = next;
                }
                None => break,
            }
        }
        if found.len() >= OBJECTS_MOST {
            break;
        }
    }
    found
}

fn check_used(fat: &mut Fat, size: u64) {
    let (mut start, mut pages) = (0, 0);
    while let Ok(page) = fat.used(start, 100) {
        assert!(page.len() <= 100);
        let Some(last) = page.last() else { return };
        for range in &page {
            assert!(range.length > 0 && range.offset >= start);
            start = range.offset.checked_add(range.length).expect("no overflow");
            assert!(start <= size);
        }
        assert_eq!(start, last.offset + last.length);
        pages += 1;
        assert!(pages < 100_000);
    }
}

/// A few changes, written back; each may fail, none may panic.
fn edit(fat: &mut Fat) {
    let content = MemoryBlob::new(vec![7; 3000]);
    let paths = walk(fat);
    for (index, path) in paths.iter().take(20).enumerate() {
        let _ = match index % 4 {
            0 => fat.write(path, &content, None),
            1 => fat.append(path, &content),
            2 => fat.rename(path, &format!("/renamed {index}")),
            _ => fat.remove(path),
        };
    }
    let _ = fat.make_directory("/a new directory", None);
    if fat.write("/a new directory/a new file", &content, None).is_ok() {
        assert_eq!(fat.read("/a new directory/a new file", 0, 4000).expect("just written").len(), 3000);
    }
    let room = fat.room().expect("the table was read already");
    assert!(room.free <= room.total);
    fat.sync().expect("nothing is left to fail");
}
