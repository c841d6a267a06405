//! Every public call on bytes that may be anything.

use super::used;
use crate::testing::MemoryBlob;
use crate::{Blob, FileSystem, Kind, Meta};

/// What differs between file systems.
pub struct Exercise<F> {
    /// Objects that are looked at: a damaged directory may name itself. Fewer where paths are slow.
    pub objects_most: usize,
    /// A change that fails changes nothing, so that whatever is fit for writing stays so.
    pub atomic: bool,
    /// The smallest block that `probe` may tell, in bytes.
    pub block_least: u32,
    /// The longest target of a symbolic link, in bytes of UTF-8.
    pub target_most: usize,
    /// What new objects are like: time and attributes that the file system can store.
    pub like: Meta,
    /// Further changes of a file, of a kind that only this file system knows.
    pub more: fn(&mut F, &str),
}

/// Drives every public call on these bytes, first for reading, then with changes. Nothing may panic, run on and on, or
/// answer beyond what was asked for; changes stay inside of the device by themselves.
pub fn exercise<F: FileSystem>(bytes: &[u8], about: &Exercise<F>) {
    let size = bytes.len() as u64;
    let device = MemoryBlob::new(bytes);
    if let Ok(Some(identity)) = F::probe(&device) {
        assert!(identity.size <= size && identity.block >= about.block_least);
    }
    let Ok(mut fs) = F::mount(Box::new(device.clone()), false) else { return };
    let paths = look(&mut fs, size, about);
    assert!(fs.write("/x", &device, None).is_err(), "mounted for reading");
    for (path, _) in &paths {
        assert!(fs.remove(path).is_err(), "mounted for reading");
    }
    assert!(fs.sync().is_ok());
    assert!(device.bytes() == bytes, "reading writes nothing");
    let Ok(mut fs) = F::mount(Box::new(device.clone()), true) else { return };
    change(&mut fs, &paths, about);
    let _ = used(&mut fs, size, 9);
    let written = fs.sync();
    look(&mut fs, size, about);
    if let Ok(mut fs) = F::mount(Box::new(device.clone()), false) {
        look(&mut fs, size, about);
    }
    if about.atomic {
        assert!(written.is_ok() && F::mount(Box::new(device), true).is_ok(), "nothing is left to fail");
    }
}

/// Reads what can be found on a device of `size` bytes, and returns its paths.
fn look<F: FileSystem>(fs: &mut F, size: u64, about: &Exercise<F>) -> Vec<(String, Kind)> {
    let mut found = Vec::new();
    let mut todo = vec!["/".to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(meta) = fs.stat(&path) else { continue };
        found.push((path.clone(), meta.kind));
        if found.len() >= about.objects_most {
            break;
        }
        for offset in [0, 1000, meta.size / 2, meta.size.saturating_sub(5), u64::MAX - 3] {
            if let Ok(bytes) = fs.read(&path, offset, 70_000) {
                assert!(bytes.len() as u64 <= meta.size.saturating_sub(offset).min(70_000));
            }
        }
        if let Ok(target) = fs.read_link(&path) {
            assert!(target.len() <= about.target_most);
        }
        list(fs, &path, about.objects_most, &mut todo);
    }
    if let Ok(room) = fs.room() {
        assert!(room.free <= room.total && room.total <= size);
    }
    let _ = used(fs, size, 9);
    found
}

fn list<F: FileSystem>(fs: &mut F, path: &str, most: usize, todo: &mut Vec<String>) {
    let mut next = Some(0);
    while let Some(start) = next.filter(|_| todo.len() < most) {
        let Ok(page) = fs.entries(path, start, 7) else { return };
        assert!(page.entries.len() <= 7);
        assert!(page.next.is_none_or(|next| next > start), "a listing goes on");
        let inside = path.trim_end_matches('/');
        for entry in page.entries {
            assert!(!matches!(entry.name.as_str(), "" | "." | "..") && !entry.name.contains(['/', '\0']));
            assert!(entry.meta.attributes.is_empty(), "not in listings");
            todo.push(format!("{inside}/{}", entry.name));
        }
        next = page.next;
    }
}

/// Every kind of change, on what is there and on new names. Each may fail, and after one that failed half-way all others
/// do: so each begins with what is most fragile left.
fn change<F: FileSystem>(fs: &mut F, paths: &[(String, Kind)], about: &Exercise<F>) {
    let small = MemoryBlob::read_only(vec![1; 100]);
    let medium = MemoryBlob::read_only(vec![2; 30_000]);
    let like = Some(&about.like);
    for (index, (path, kind)) in paths.iter().enumerate() {
        let inside = path.trim_end_matches('/');
        match (kind, index % 5) {
            (Kind::File, 0) if index % 2 == 0 => drop(fs.append(path, &medium)),
            (Kind::File, 0) => {
                (about.more)(fs, path);
                drop(fs.append(path, &medium));
            }
            (Kind::File, 1) => drop(fs.write(path, &small, None)),
            (Kind::File, 2) => drop(fs.set_meta(path, &about.like)),
            (Kind::File, 3) => drop(fs.rename(path, &format!("{inside}-moved"))),
            (Kind::Directory, 0 | 1) => drop(fs.make_directory(&format!("{inside}/new directory"), like)),
            (Kind::Directory, 2 | 3) => drop(fs.write(&format!("{inside}/new file"), &medium, like)),
            (Kind::Directory, _) => {
                drop(fs.make_symlink(&format!("{inside}/new link"), &"t".repeat(index * 7 + 1), None))
            }
            _ => drop(fs.remove(path)),
        }
    }
    let _ = fs.rename("/new directory", "/renamed");
    let _ = fs.remove("/renamed");
    let _ = fs.make_directory("/one more", like);
    if fs.write("/one more/file", &medium, like).is_ok() {
        assert!(fs.read("/one more/file", 0, 40_000).is_ok_and(|bytes| bytes == medium.bytes()));
    }
    assert!(fs.append("/", &small).is_err() && fs.modify("/", 0, &small as &dyn Blob).is_err());
}
