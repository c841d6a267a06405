//! Directories: runs of entries, each run under a header (Linux: `fs/squashfs/dir.c`).

use crate::Squash;
use crate::bytes::{u16_at, u32_at};
use crate::inode::{Body, Inode};
use crate::metadata::Cursor;
use wherry_sdk::{Error, Result};

/// Entries of one run at most.
const RUN_MOST: u32 = 256;
const HEADER: usize = 12;
const ENTRY: usize = 8;
/// Bytes of a name.
pub const NAME_MOST: usize = 256;

/// A name, and the inode it stands for.
pub struct Named {
    pub name: Vec<u8>,
    pub reference: u64,
}

/// A listing on its way.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    cursor: Cursor,
    /// Bytes that are left.
    left: u64,
    /// Entries that are left of the run, and the block of their inodes.
    run: u32,
    block: u32,
}

/// A listing that stopped at its entry `index`.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    directory: u64,
    index: u64,
    listing: Listing,
}

impl Listing {
    /// The whole listing of a directory.
    pub fn new(path: &str, inode: &Inode) -> Result<Self> {
        match inode.body {
            Body::Directory(cursor, left) => Ok(Self { cursor, left, run: 0, block: 0 }),
            _ => Err(crate::invalid(format!("{path} is not a directory"))),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.ok_or_else(|| damaged("a directory ends within an entry"))?;
        Ok(())
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(wherry_sdk::ErrorKind::Corrupt, what)
}

impl Squash {
    /// The next entry; none at the end.
    pub fn next(&mut self, listing: &mut Listing) -> Result<Option<Named>> {
        if listing.run == 0 {
            if listing.left == 0 {
                return Ok(None);
            }
            listing.spend(HEADER)?;
            let header = self.take(&mut listing.cursor, HEADER)?;
            let count = u32_at(&header, 0);
            if count >= RUN_MOST {
                return Err(damaged(format!("a directory has a run of {count} entries")));
            }
            (listing.run, listing.block) = (count + 1, u32_at(&header, 4));
        }
        listing.spend(ENTRY)?;
        let entry = self.take(&mut listing.cursor, ENTRY)?;
        let length = usize::from(u16_at(&entry, 6)) + 1;
        if length > NAME_MOST {
            return Err(damaged(format!("a directory has a name of {length} bytes")));
        }
        listing.spend(length)?;
        let name = self.take(&mut listing.cursor, length)?;
        if name.contains(&b'/') || name.contains(&0) || matches!(&name[..], b"." | b"..") {
            return Err(damaged(format!("a directory has a name that cannot be one: {name:?}")));
        }
        listing.run -= 1;
        let reference = u64::from(listing.block) << 16 | u64::from(u16_at(&entry, 0));
        Ok(Some(Named { name, reference }))
    }

    /// At most `most` entries from `start` on, and whether there are more.
    pub fn page(
        &mut self,
        path: &str,
        inode: &Inode,
        start: u64,
        most: u32,
    ) -> Result<(Vec<Named>, Option<u64>)> {
        let mut listing = Listing::new(path, inode)?;
        let mut index = 0;
        let stopped = self.stopped.filter(|at| at.directory == inode.reference && at.index <= start);
        if let Some(at) = stopped {
            (listing, index) = (at.listing, at.index);
        }
        let end = start.saturating_add(most.into());
        let mut found = Vec::new();
        while index < end {
            let Some(named) = self.next(&mut listing)? else { return Ok((found, None)) };
            if index >= start {
                found.push(named);
            }
            index += 1;
        }
        self.stopped = Some(Stopped { directory: inode.reference, index, listing });
        let more = self.next(&mut { listing })?.is_some();
        Ok((found, more.then_some(index)))
    }

    /// The inode that a name stands for.
    pub fn look_up(&mut self, path: &str, directory: &Inode, name: &str) -> Result<Option<u64>> {
        if let Some(known) = self.names.get(directory.reference, name) {
            return Ok(known);
        }
        let mut listing = Listing::new(path, directory)?;
        let mut found = None;
        while let Some(named) = self.next(&mut listing)? {
            if named.name == name.as_bytes() {
                found = Some(named.reference);
                break;
            }
        }
        self.names.add(directory.reference, name, found);
        Ok(found)
    }
}
