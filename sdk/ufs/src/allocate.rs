//! Taking and giving back blocks, fragments and inodes.

use crate::Ufs;
use crate::group::{Sum, mask};
use wherry_sdk::{Error, ErrorKind, Kind, Result};

fn full(what: &str) -> Error {
    Error::new(ErrorKind::NoSpace, format!("the UFS file system has no {what} left: free some in the guest"))
}

impl Ufs<'_> {
    /// The address of `count` fragments in one block, in fragments. A whole block where `count` is one.
    pub fn take(&mut self, near: u32, count: u32) -> Result<u32> {
        let (fragments, groups, span) =
            (self.superblock.fragments, self.superblock.groups, self.superblock.span);
        for whole_only in [count == fragments, true] {
            for step in 0..groups {
                let group = (near + step) % groups;
                let blocks = self.fragments_of(group)? / fragments;
                // A long file would look at all blocks before it for each of its own otherwise.
                let start = if whole_only { self.group(group)?.first_free } else { 0 };
                for block in start..blocks {
                    let bits = self.free_bits(group, block)?;
                    let whole = bits == mask(fragments);
                    if bits == 0 || whole != whole_only {
                        continue;
                    }
                    if whole_only {
                        self.group(group)?.first_free = block;
                    }
                    let fits = |at: &u32| bits >> at & mask(count) == mask(count) && at + count <= fragments;
                    let Some(at) = (0..fragments).find(fits) else { continue };
                    let first = block * fragments + at;
                    self.mark(group, first, count, false)?;
                    return Ok(group * span + first);
                }
                if whole_only {
                    self.group(group)?.first_free = blocks;
                }
            }
            if count == fragments {
                break;
            }
        }
        Err(full("room"))
    }

    /// Gives fragments of one block back.
    pub fn give(&mut self, address: u64, count: u32) -> Result<()> {
        let span = u64::from(self.superblock.span);
        let group = address / span;
        if group >= u64::from(self.superblock.groups) || address >= self.superblock.size {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("fragment {address} does not exist: run fsck"),
            ));
        }
        self.mark(group as u32, (address % span) as u32, count, true)
    }

    /// The number of a free inode.
    pub fn take_inode(&mut self, near: u32, kind: Kind) -> Result<u32> {
        let (groups, inodes) = (self.superblock.groups, self.superblock.inodes);
        for step in 0..groups {
            let group = (near + step) % groups;
            for within in 0..inodes {
                if group * inodes + within <= crate::inode::ROOT || self.inode_used(group, within)? {
                    continue;
                }
                self.mark_inode(group, within, true)?;
                if kind == Kind::Directory {
                    self.add(group, Sum::Directories, 1)?;
                }
                return Ok(group * inodes + within);
            }
        }
        Err(full("inodes"))
    }

    /// Gives an inode back.
    pub fn give_inode(&mut self, number: u32, kind: Kind) -> Result<()> {
        let (group, within) = (number / self.superblock.inodes, number % self.superblock.inodes);
        if !self.inode_used(group, within)? {
            return Err(Error::new(ErrorKind::Corrupt, format!("inode {number} is free already: run fsck")));
        }
        self.mark_inode(group, within, false)?;
        if kind == Kind::Directory {
            self.add(group, Sum::Directories, -1)?;
        }
        Ok(())
    }

    /// The group that an address or an inode belongs to is where what belongs to it goes.
    pub fn group_of_inode(&self, number: u32) -> u32 {
        number / self.superblock.inodes
    }
}
