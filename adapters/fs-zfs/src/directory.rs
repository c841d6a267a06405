//! Directories: names with numbers of objects, and of their kinds in the upper bits (ZFS_DIRENT_OBJ of zfs_znode.h).

use crate::bytes::bits;
use crate::pool::Pool;
use crate::zap::Entry;
use crate::znode::{FileSystem, Znode};
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// The number of the object that an entry's value names.
pub fn target(value: u64) -> u64 {
    bits(value, 0, 48)
}

/// Whether a name can be handed out.
pub fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

impl Pool<'_> {
    /// The object that a name in a directory means.
    pub fn lookup(&mut self, of: &FileSystem, directory: &Znode, name: &str) -> Result<Option<u64>> {
        if directory.kind() != Kind::Directory {
            return Ok(None);
        }
        if let Some(found) = self.zap_find(&directory.dnode, name.as_bytes())? {
            return Ok(Some(target(found.number())));
        }
        if !of.any_case {
            return Ok(None);
        }
        let all = self.zap_all(&directory.dnode)?;
        let alike = all.into_iter().find(|entry| entry.name.eq_ignore_ascii_case(name.as_bytes()));
        Ok(alike.map(|entry| target(entry.number())))
    }

    /// Entries from a cursor on, each with the cursor behind it.
    pub fn listing(
        &mut self,
        directory: &Znode,
        start: u64,
        most: usize,
    ) -> Result<(Vec<(Entry, u64)>, bool)> {
        let (page, more) = self.zap_page(&directory.dnode, start, most)?;
        if page.iter().any(|(entry, _)| !is_name(&entry.name)) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "a directory has a name that cannot be: run zpool scrub",
            ));
        }
        Ok((page, more))
    }
}
