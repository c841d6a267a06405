//! The guest's files, as the adaptation asks for them.

use wherry_sdk::{Error, ErrorKind, Kind, Meta, Result, Tree};

/// How deep folders are looked into, how many, and how many files: a virtio-win ISO has 1,200 files in 500 folders, an
/// installation CD 7,000 files.
const DEPTH_MOST: usize = 12;
const FOLDERS_MOST: usize = 20_000;
const FILES_MOST: usize = 200_000;

/// What is at a path, if anything can be found there.
pub fn look(guest: &dyn Tree, path: &str) -> Option<Meta> {
    guest.stat(path).ok()
}

/// Whether a file is there, with something in it.
pub fn is_file(guest: &dyn Tree, path: &str) -> bool {
    look(guest, path).is_some_and(|meta| meta.kind != Kind::Directory)
}

/// Whether a directory is there.
pub fn is_directory(guest: &dyn Tree, path: &str) -> bool {
    look(guest, path).is_some_and(|meta| meta.kind == Kind::Directory)
}

/// Names in a directory, sorted without case; none where it cannot be read.
pub fn names(guest: &dyn Tree, path: &str) -> Vec<String> {
    let mut names: Vec<String> =
        guest.entries(path).unwrap_or_default().into_iter().map(|entry| entry.name).collect();
    names.sort_by_key(|name| name.to_ascii_lowercase());
    names
}

/// Paths of all files in a folder and below it, sorted.
pub fn below(tree: &dyn Tree, root: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut pending = vec![(root.trim_end_matches('/').to_owned(), 0)];
    let (mut folders, mut entries_seen) = (0, 0);
    while let Some((folder, depth)) = pending.pop() {
        folders += 1;
        let entries = tree.entries(if folder.is_empty() { "/" } else { &folder })?;
        entries_seen += entries.len();
        if folders > FOLDERS_MOST || entries_seen > FILES_MOST {
            let message = format!(
                "{root} has more than {FOLDERS_MOST} folders or {FILES_MOST} files: name a smaller one"
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        for entry in entries {
            let path = format!("{folder}/{}", entry.name);
            match entry.meta.kind {
                Kind::Directory if depth < DEPTH_MOST => pending.push((path, depth + 1)),
                Kind::File => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The folder and the name of a path.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Text of a small file: UTF-16 with a mark, else a byte a letter.
pub fn text(guest: &dyn Tree, path: &str, most: u64) -> Result<String> {
    let bytes = guest.read_all(path, most)?;
    Ok(match bytes.strip_prefix(&[0xff, 0xfe]) {
        Some(wide) => {
            let units: Vec<u16> =
                wide.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        None => bytes.iter().map(|byte| char::from(*byte)).collect(),
    })
}

/// The same, back to a byte a letter; letters that need more become `?`.
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}
