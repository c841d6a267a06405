//! Reading the guest's small files.

use std::cmp::Ordering;
use wherry_sdk::{Kind, Tree};

/// The most of a text file that is read, in bytes.
const TEXT: u64 = 1 << 20;
/// Names of one directory that are looked at.
const NAMES: usize = 4096;

/// A text file; none if it is missing, too long, unreadable or not text.
pub fn text(guest: &dyn Tree, path: &str) -> Option<String> {
    String::from_utf8(guest.read_all(path, TEXT).ok()?).ok().filter(|text| !text.contains('\0'))
}

/// Names in a directory, in natural order; none if it is missing.
pub fn names(guest: &dyn Tree, path: &str) -> Vec<String> {
    let entries = guest.entries(path).unwrap_or_default();
    let mut names: Vec<String> = entries.into_iter().take(NAMES).map(|entry| entry.name).collect();
    names.sort_by(|a, b| natural(a, b));
    names
}

/// Paths of the files in a directory that end so, in natural order.
pub fn listed(guest: &dyn Tree, folder: &str, ending: &str) -> Vec<String> {
    let names = names(guest, folder).into_iter().filter(|name| name.ends_with(ending));
    names.map(|name| format!("{folder}/{name}")).collect()
}

/// Whether the path leads to something.
pub fn exists(guest: &dyn Tree, path: &str) -> bool {
    guest.canonical(path).is_ok()
}

/// The path without links, if it leads to a file.
pub fn file(guest: &dyn Tree, path: &str) -> Option<String> {
    let real = guest.canonical(path).ok()?;
    guest.stat(&real).ok().filter(|meta| meta.kind == Kind::File).map(|_| real)
}

/// The value of a shell-like `KEY=value` line.
pub fn shell_value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

/// The order in which people count: `ens5` before `ens192`.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (text_a, number_a, rest_a) = piece(a);
        let (text_b, number_b, rest_b) = piece(b);
        let order = text_a.cmp(text_b).then(number_a.len().cmp(&number_b.len())).then(number_a.cmp(number_b));
        if order != Ordering::Equal || (rest_a.is_empty() && rest_b.is_empty()) {
            return order.then(rest_a.cmp(rest_b));
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// Text up to a number, the number without leading zeroes, the rest.
fn piece(text: &str) -> (&str, &str, &str) {
    let digit = |c: char| c.is_ascii_digit();
    let (head, tail) = text.split_at(text.find(digit).unwrap_or(text.len()));
    let (number, rest) = tail.split_at(tail.find(|c| !digit(c)).unwrap_or(tail.len()));
    (head, number.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count() {
        let mut names = vec!["ens192", "eth10", "ens5", "eth9", "6.1.0-28", "6.1.0-9", "6.10.0-1", ""];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "6.1.0-9", "6.1.0-28", "6.10.0-1", "ens5", "ens192", "eth9", "eth10"]);
        assert_eq!(natural("a01", "a1"), Ordering::Equal);
    }

    #[test]
    fn values() {
        assert_eq!(shell_value("A=1\n B=\"two\" \n", "B").as_deref(), Some("two"));
        assert_eq!(shell_value("AB=1", "A"), None);
    }
}
