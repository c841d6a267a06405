//! Every public call on bytes that may be anything.

use fs_ntfs::Ntfs;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Blob, FileSystem, Kind, Meta, Range};

/// Objects that are looked at: a damaged directory may name itself.
const OBJECTS_MOST: usize = 60;
/// Pages of a listing or of ranges.
const PAGES_MOST: usize = 40;

/// Drives every public call on these bytes, first for reading, then with changes. Nothing may panic, run on and on, or
/// answer beyond what was asked for; changes stay inside of the device by themselves.
pub fn exercise(bytes: &[u8]) {
    let size = bytes.len() as u64;
    let device = MemoryBlob::new(bytes);
    if let Ok(Some(identity)) = Ntfs::probe(&device) {
        assert!(identity.size <= size && identity.block >= 256);
    }
    if let Ok(mut fs) = Ntfs::mount(Box::new(device.clone()), false) {
        let paths = look(&mut fs, size);
        assert!(fs.write("/x", &device, None).is_err(), "mounted for reading");
        assert!(fs.sync().is_ok());
        assert!(device.bytes() == bytes, "reading writes nothing");
        if let Ok(mut fs) = Ntfs::mount(Box::new(device.clone()), true) {
            change(&mut fs, &paths);
            used(&mut fs, size);
            let _ = fs.sync();
            look(&mut fs, size);
            if let Ok(mut fs) = Ntfs::mount(Box::new(device.clone()), false) {
                look(&mut fs, size);
            }
        }
    }
}

/// Reads what can be found, and returns its paths.
fn look(fs: &mut Ntfs, size: u64) -> Vec<(String, Kind)> {
    let mut found = Vec::new();
    let mut todo = vec!["/".to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(meta) = fs.stat(&path) else { continue };
        found.push((path.clone(), meta.kind));
        if found.len() >= OBJECTS_MOST {
            break;
        }
        for offset in [0, 1000, meta.size / 2, meta.size.saturating_sub(5), u64::MAX - 3] {
            if let Ok(bytes) = fs.read(&path, offset, 70_000) {
                assert!(bytes.len() as u64 <= meta.size.saturating_sub(offset).min(70_000));
            }
        }
        if let Ok(target) = fs.read_link(&path) {
            assert!(target.len() <= 1 << 17);
        }
        list(fs, &path, &mut todo);
    }
    if let Ok(room) = fs.room() {
        assert!(room.free <= room.total && room.total <= size);
    }
    used(fs, size);
    found
}

fn list(fs: &mut Ntfs, path: &str, todo: &mut Vec<String>) {
    let mut next = Some(0);
    for _ in 0..PAGES_MOST {
        let Some(start) = next else { return };
        let Ok(page) = fs.entries(path, start, 7) else { return };
        assert!(page.entries.len() <= 7);
        assert!(page.next.is_none_or(|next| next > start), "a listing goes on");
        let inside = path.trim_end_matches('/');
        todo.extend(page.entries.iter().map(|entry| format!("{inside}/{}", entry.name)));
        next = page.next;
    }
}

fn used(fs: &mut Ntfs, size: u64) {
    let mut start = 0;
    for _ in 0..PAGES_MOST {
        let Ok(ranges) = fs.used(start, 9) else { return };
        assert!(ranges.len() <= 9);
        for Range { offset, length } in &ranges {
            assert!(*offset >= start && *length > 0 && offset + length <= size, "ordered, inside");
            start = offset + length;
        }
        if ranges.is_empty() {
            return;
        }
    }
}

/// Every kind of change, on what is there and on new names.
fn change(fs: &mut Ntfs, paths: &[(String, Kind)]) {
    let small = MemoryBlob::read_only(vec![1; 100]);
    let medium = MemoryBlob::read_only(vec![2; 30_000]);
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
    // Each may fail, and after one that failed half-way all others do: so each begins with what is most fragile left.
    for (index, (path, kind)) in paths.iter().enumerate() {
        let inside = path.trim_end_matches('/');
        match (kind, index % 5) {
            (Kind::File, 0) if index % 2 == 0 => drop(fs.append(path, &medium)),
            (Kind::File, 0) => drop(fs.write(&format!("{path}:stream"), &medium, None)),
            (Kind::File, 1) => drop(fs.write(path, &small, None)),
            (Kind::File, 2) => drop(fs.set_meta(path, &like)),
            (Kind::File, 3) => drop(fs.rename(path, &format!("{inside}-moved"))),
            (Kind::Directory, 0 | 1) => {
                drop(fs.make_directory(&format!("{inside}/new directory"), Some(&like)))
            }
            (Kind::Directory, 2 | 3) => drop(fs.write(&format!("{inside}/new file"), &medium, Some(&like))),
            (Kind::Directory, _) => {
                drop(fs.make_symlink(&format!("{inside}/new link"), &"t".repeat(index * 7 + 1), None))
            }
            _ => drop(fs.remove(path)),
        }
    }
    let _ = fs.rename("/new directory", "/renamed");
    let _ = fs.remove("/renamed");
    assert!(fs.modify("/", 0, &small as &dyn Blob).is_err());
}
