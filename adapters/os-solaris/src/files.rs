//! Reading the guest's small files.

use wherry_sdk::{Kind, Tree};

/// The most of a text file that is read, in bytes.
const TEXT: u64 = 1 << 20;
/// Names of one directory that are looked at.
const NAMES: usize = 8192;

/// A text file; none if it is missing, too long, unreadable or not text.
pub fn text(guest: &dyn Tree, path: &str) -> Option<String> {
    String::from_utf8(guest.read_all(path, TEXT).ok()?).ok().filter(|text| !text.contains('\0'))
}

/// Names in a directory, in order; none if it is missing.
pub fn names(guest: &dyn Tree, path: &str) -> Vec<String> {
    let entries = guest.entries(path).unwrap_or_default();
    let mut names: Vec<String> = entries.into_iter().take(NAMES).map(|entry| entry.name).collect();
    names.sort();
    names
}

/// Whether the path leads to something.
pub fn exists(guest: &dyn Tree, path: &str) -> bool {
    guest.canonical(path).is_ok_and(|real| guest.stat(&real).is_ok())
}

/// Whether the path leads to a file.
pub fn is_file(guest: &dyn Tree, path: &str) -> bool {
    let real = guest.canonical(path);
    real.is_ok_and(|real| guest.stat(&real).is_ok_and(|meta| meta.kind == Kind::File))
}

/// The lines of a text that say something; `comment` begins those that do not.
pub fn lines(text: &str, comment: char) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(move |line| !line.is_empty() && !line.starts_with(comment))
}
