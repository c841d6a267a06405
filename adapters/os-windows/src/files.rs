//! The guest's files, as the adaptation asks for them.

use wherry_sdk::{Kind, Meta, Result, Tree};

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
