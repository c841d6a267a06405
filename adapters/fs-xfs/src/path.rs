//! From paths to inodes.

use crate::Xfs;
use crate::inode::Inode;
use wherry_sdk::path::{components, not_a_directory, not_found, split_last};
use wherry_sdk::{Kind, Result};

const NAME_MOST: usize = 255;

/// The names in a path.
pub fn names(path: &str) -> Result<Vec<&str>> {
    components(path, |name| name.len() <= NAME_MOST)
}

impl Xfs {
    /// The inode at `path`, which must exist.
    pub fn resolve(&mut self, path: &str) -> Result<Inode> {
        self.descend_to(path, &names(path)?)
    }

    /// The directory of what `path` names, the name, and the inode if there is one.
    pub fn resolve_name<'p>(&mut self, path: &'p str) -> Result<(Inode, &'p str, Option<Inode>)> {
        let names = names(path)?;
        let (name, above) = split_last(&names)?;
        let parent = self.descend_to(path, above)?;
        if parent.kind() != Kind::Directory {
            return Err(not_a_directory(path, name));
        }
        let number = self.lookup(&parent, name)?;
        let found =
            number.map(|number| self.inode(number).map_err(|error| error.within(path))).transpose()?;
        Ok((parent, name, found))
    }

    fn descend_to(&mut self, path: &str, names: &[&str]) -> Result<Inode> {
        let mut inode = self.inode(self.disk.superblock.root())?;
        for name in names {
            if inode.kind() != Kind::Directory {
                return Err(not_a_directory(path, name));
            }
            let number = self.lookup(&inode, name)?.ok_or_else(|| not_found(path))?;
            inode = self.inode(number).map_err(|error| error.within(path))?;
        }
        Ok(inode)
    }
}
