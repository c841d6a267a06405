//! From paths to inodes, with names remembered: a caller asks for hundreds of files in the same directories.

use crate::Ext4;
use crate::inode::{Inode, ROOT};
use std::collections::HashMap;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// Names that are remembered, with those that are known to be missing.
const NAMES_MOST: usize = 1 << 16;
const NAME_MOST: usize = 255;

/// Names that were looked up, by directory.
#[derive(Default)]
pub struct Names {
    known: HashMap<u32, HashMap<String, Option<u32>>>,
    count: usize,
}

impl Names {
    fn get(&self, directory: u32, name: &str) -> Option<Option<u32>> {
        self.known.get(&directory)?.get(name).copied()
    }

    fn add(&mut self, directory: u32, name: &str, inode: Option<u32>) {
        if self.count >= NAMES_MOST {
            *self = Self::default();
        }
        self.count += 1;
        self.known.entry(directory).or_default().insert(name.to_owned(), inode);
    }

    /// Forgets one name in a directory.
    pub fn forget(&mut self, directory: u32, name: &str) {
        if let Some(names) = self.known.get_mut(&directory) {
            names.remove(name);
        }
    }

    /// Forgets everything below a directory that is gone.
    pub fn forget_directory(&mut self, directory: u32) {
        self.known.remove(&directory);
    }
}

/// The names in an absolute path.
pub fn components(path: &str) -> Result<Vec<&str>> {
    let refuse = |problem: &str| Err(Error::new(ErrorKind::InvalidInput, format!("path {path:?} {problem}")));
    if !path.starts_with('/') {
        return refuse("is not absolute");
    }
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    for name in &names {
        if *name == ".." {
            return refuse("goes up with `..`: resolve it first");
        }
        if name.len() > NAME_MOST || name.contains('\0') {
            return refuse("has a name that ext4 cannot store");
        }
    }
    Ok(names)
}

/// What does not exist.
pub fn not_found(path: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{path} does not exist"))
}

impl Ext4 {
    fn step(&mut self, path: &str, directory: u32, name: &str) -> Result<Option<u32>> {
        if let Some(known) = self.names.get(directory, name) {
            return Ok(known);
        }
        let inode = self.named_inode(directory)?;
        if inode.kind() != Kind::Directory {
            let message = format!("{path} leads through something that is not a directory, before {name:?}");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let found = self.find(&inode, name.as_bytes())?.map(|found| found.inode);
        self.names.add(directory, name, found);
        Ok(found)
    }

    fn walk(&mut self, path: &str, names: &[&str]) -> Result<Option<u32>> {
        let mut number = ROOT;
        for name in names {
            match self.step(path, number, name)? {
                Some(next) => number = next,
                None => return Ok(None),
            }
        }
        Ok(Some(number))
    }

    /// The inode at `path`, which must exist.
    pub fn resolve(&mut self, path: &str) -> Result<Inode> {
        let number = self.walk(path, &components(path)?)?.ok_or_else(|| not_found(path))?;
        self.named_inode(number).map_err(|error| error.within(path))
    }

    /// The directory that holds the last name of `path`, that name, and its inode if it exists.
    pub fn resolve_name<'a>(&mut self, path: &'a str) -> Result<(Inode, &'a str, Option<Inode>)> {
        let names = components(path)?;
        let Some((name, upper)) = names.split_last() else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the root directory cannot be replaced or removed",
            ));
        };
        let number = self.walk(path, upper)?.ok_or_else(|| not_found(path))?;
        let directory = self.named_inode(number)?;
        let found = self.step(path, number, name)?;
        let inode = found.map(|number| self.named_inode(number)).transpose();
        Ok((directory, name, inode.map_err(|error| error.within(path))?))
    }
}
