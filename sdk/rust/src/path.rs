//! Paths within a file system, and what they were found to mean: a caller asks for hundreds of files in the same
//! directories.

use crate::{Error, ErrorKind, Result};
use std::collections::HashMap;

/// Longest path in bytes: Linux's limit (PATH_MAX).
const PATH_MOST: usize = 4096;
/// Names that are remembered, with those that are known to be missing.
const NAMES_MOST: usize = 1 << 16;

/// The names in an absolute path, each of which the file system can store, as `fits` says.
pub fn components(path: &str, fits: impl Fn(&str) -> bool) -> Result<Vec<&str>> {
    let refuse = |problem: &str| Err(Error::new(ErrorKind::InvalidInput, format!("path {path:?} {problem}")));
    if !path.starts_with('/') || path.len() > PATH_MOST {
        return refuse("is not an absolute path of at most 4096 bytes");
    }
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    if names.contains(&"..") {
        return refuse("goes up with `..`: resolve it first");
    }
    if names.iter().any(|name| name.contains('\0') || !fits(name)) {
        return refuse("has a name that this file system cannot store");
    }
    Ok(names)
}

/// The last of a path's names, and those above it. The root has none: it is there, and stays.
pub fn split_last<'n, 'p>(names: &'n [&'p str]) -> Result<(&'p str, &'n [&'p str])> {
    let root = || Error::new(ErrorKind::InvalidInput, "the root directory cannot be replaced or removed");
    names.split_last().map(|(name, above)| (*name, above)).ok_or_else(root)
}

/// What does not exist.
pub fn not_found(path: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{path} does not exist"))
}

/// A name was asked for in something that is no directory.
pub fn not_a_directory(path: &str, name: &str) -> Error {
    let message = format!("{path} leads through something that is not a directory, before {name:?}");
    Error::new(ErrorKind::NotFound, message)
}

/// What names were found to mean, by the number of their directory.
#[derive(Default)]
pub struct Names<Found> {
    known: HashMap<u64, HashMap<String, Option<Found>>>,
    count: usize,
}

impl<Found: Clone + Default> Names<Found> {
    /// What is known of a name: nothing, that it is missing, or what it means.
    pub fn get(&self, directory: u64, name: &str) -> Option<Option<Found>> {
        self.known.get(&directory)?.get(name).cloned()
    }

    /// Remembers a name.
    pub fn add(&mut self, directory: u64, name: &str, found: Option<Found>) {
        if self.count >= NAMES_MOST {
            *self = Self::default();
        }
        self.count += 1;
        self.known.entry(directory).or_default().insert(name.to_owned(), found);
    }

    /// Forgets one name in a directory.
    pub fn forget(&mut self, directory: u64, name: &str) {
        if let Some(names) = self.known.get_mut(&directory) {
            names.remove(name);
        }
    }

    /// Forgets all names in a directory.
    pub fn forget_all(&mut self, directory: u64) {
        self.known.remove(&directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let names = |path| components(path, |name| name.len() < 5).map_err(|error| error.kind);
        assert_eq!((names("/"), names("//a/./b/")), (Ok(vec![]), Ok(vec!["a", "b"])));
        let long = format!("/{}", "a/".repeat(2048));
        for path in ["", "a", "/a/../b", "/a\0", "/12345", &long] {
            assert_eq!(names(path), Err(ErrorKind::InvalidInput), "{path:?}");
        }
        assert_eq!(split_last(&["a", "b"]), Ok(("b", &["a"][..])));
        assert!(split_last(&[]).is_err());
    }

    #[test]
    fn names() {
        let mut names = Names::default();
        names.add(1, "a", Some(5));
        names.add(1, "b", None);
        names.add(2, "a", Some(6));
        assert_eq!(
            (names.get(1, "a"), names.get(1, "b"), names.get(1, "c")),
            (Some(Some(5)), Some(None), None)
        );
        names.forget(1, "a");
        names.forget_all(2);
        assert_eq!((names.get(1, "a"), names.get(1, "b"), names.get(2, "a")), (None, Some(None), None));
        (0..NAMES_MOST).for_each(|number| names.add(number as u64 % 7, &number.to_string(), Some(1)));
        assert_eq!(names.get(1, "b"), None, "all are forgotten at once");
    }
}
