//! From paths to inodes.

use crate::Ext4;
use crate::inode::{Inode, ROOT};
use wherry_sdk::path::{not_a_directory, not_found, split_last};
use wherry_sdk::{Kind, Result};

const NAME_MOST: usize = 255;

/// The names in an absolute path.
pub fn components(path: &str) -> Result<Vec<&str>> {
    wherry_sdk::path::components(path, |name| name.len() <= NAME_MOST)
}

impl Ext4 {
    fn step(&mut self, path: &str, directory: u32, name: &str) -> Result<Option<u32>> {
        if let Some(known) = self.names.get(u64::from(directory), name) {
            return Ok(known);
        }
        let inode = self.named_inode(directory)?;
        if inode.kind() != Kind::Directory {
            return Err(not_a_directory(path, name));
        }
        let found = self.find(&inode, name.as_bytes())?.map(|found| found.inode);
        self.names.add(u64::from(directory), name, found);
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
        let (name, upper) = split_last(&names)?;
        let number = self.walk(path, upper)?.ok_or_else(|| not_found(path))?;
        let directory = self.named_inode(number)?;
        let found = self.step(path, number, name)?;
        let inode = found.map(|number| self.named_inode(number)).transpose();
        Ok((directory, name, inode.map_err(|error| error.within(path))?))
    }
}
