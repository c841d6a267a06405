//! From paths to inodes.

use crate::Xfs;
use crate::inode::Inode;
use wherry_sdk::path::{components, not_a_directory, not_found};
use wherry_sdk::{Kind, Result};

const NAME_MOST: usize = 255;

impl Xfs {
    /// The inode at `path`, which must exist.
    pub fn resolve(&mut self, path: &str) -> Result<Inode> {
        let mut inode = self.inode(self.superblock.root())?;
        for name in components(path, |name| name.len() <= NAME_MOST)? {
            if inode.kind() != Kind::Directory {
                return Err(not_a_directory(path, name));
            }
            let number = self.lookup(&inode, name)?.ok_or_else(|| not_found(path))?;
            inode = self.inode(number).map_err(|error| error.within(path))?;
        }
        Ok(inode)
    }
}
