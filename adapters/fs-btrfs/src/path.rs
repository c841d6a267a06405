//! From paths to inodes.

use crate::Btrfs;
use crate::directory::Target;
use crate::inode::{Inode, Place};
use crate::key;
use wherry_sdk::path::{components, not_a_directory, not_found, split_last};
use wherry_sdk::{Kind, Result};

pub const NAME_MOST: usize = 255;

/// The top of the file system.
pub const TOP: Place = Place { tree: key::FS_TREE, number: key::FIRST_FREE };

/// The names in a path.
pub fn names(path: &str) -> Result<Vec<&str>> {
    components(path, |name| name.len() <= NAME_MOST)
}

impl Btrfs<'_> {
    /// What is at `path`, which must exist; none where a snapshot shows an empty directory.
    pub fn resolve(&mut self, path: &str) -> Result<Option<Inode>> {
        self.walk(path, &names(path)?)
    }

    fn walk(&mut self, path: &str, names: &[&str]) -> Result<Option<Inode>> {
        let mut inode = self.inode(TOP)?;
        for (number, name) in names.iter().enumerate() {
            if inode.kind() != Kind::Directory {
                return Err(not_a_directory(path, name));
            }
            match self.lookup(inode.place, name.as_bytes())?.ok_or_else(|| not_found(path))? {
                Target::Inode(place) => inode = self.inode(place).map_err(|error| error.within(path))?,
                Target::Empty if number + 1 == names.len() => return Ok(None),
                Target::Empty => return Err(not_found(path)),
            }
        }
        Ok(Some(inode))
    }

    /// The directory of a path, its last name, and what has that name.
    pub fn resolve_name<'p>(&mut self, path: &'p str) -> Result<(Inode, &'p str, Option<Target>)> {
        let names = names(path)?;
        let (name, above) = split_last(&names)?;
        let parent = self.walk(path, above)?.ok_or_else(|| not_found(path))?;
        if parent.kind() != Kind::Directory {
            return Err(not_a_directory(path, name));
        }
        let found = self.lookup(parent.place, name.as_bytes())?;
        Ok((parent, name, found))
    }
}
