//! Inodes (Linux: `fs/squashfs/squashfs_fs.h`, struct squashfs_*_inode; `inode.c`).

use crate::Squash;
use crate::bytes::{text, u16_at, u32_at, u64_at};
use crate::metadata::Cursor;
use wherry_sdk::{Error, Kind, Result};

/// Bytes that all kinds begin with.
const BASE: usize = 16;
/// No fragment, no attributes.
const NONE: u32 = u32::MAX;
/// The longest target of a symbolic link: Linux takes a page.
const TARGET_MOST: u32 = 4096;
/// Kinds by number: those with more to say are `LONG` above the others.
const LONG: u16 = 7;
const DIRECTORY: u16 = 1;
const FILE: u16 = 2;
const SYMLINK: u16 = 3;
const DEVICES: std::ops::RangeInclusive<u16> = 4..=5;
const PIPES: std::ops::RangeInclusive<u16> = 6..=7;

/// Where a file's content is.
#[derive(Clone, Debug)]
pub struct Content {
    /// The first block on the device.
    pub start: u64,
    /// The tail's block of fragments, and its place there.
    pub fragment: Option<(u32, u32)>,
    /// Where the blocks' sizes begin.
    pub sizes: Cursor,
}

/// What an inode's kind adds.
#[derive(Clone, Debug)]
pub enum Body {
    /// The listing's place and bytes.
    Directory(Cursor, u64),
    File(Content),
    Symlink(String),
    Other,
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Where it is, which tells one from another.
    pub reference: u64,
    pub number: u32,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: u32,
    pub links: u32,
    pub size: u64,
    /// A number in the table of attributes.
    pub attributes: Option<u32>,
    pub body: Body,
}

impl Inode {
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Directory(..) => Kind::Directory,
            Body::File(_) => Kind::File,
            Body::Symlink(_) => Kind::Symlink,
            Body::Other => Kind::Other,
        }
    }
}

impl Squash {
    /// The inode that a reference means.
    pub fn inode(&mut self, reference: u64) -> Result<Inode> {
        let (table, end) = (self.superblock.inodes_at, self.superblock.directories_at);
        let mut cursor = Cursor::follow(table, reference, end);
        let base = self.take(&mut cursor, BASE)?;
        let mut inode = Inode {
            reference,
            number: u32_at(&base, 12),
            mode: u32::from(u16_at(&base, 2)) & 0o7777,
            owner: (self.owner(u16_at(&base, 4))?, self.owner(u16_at(&base, 6))?),
            mtime: u32_at(&base, 8),
            links: 1,
            size: 0,
            attributes: None,
            body: Body::Other,
        };
        let kind = u16_at(&base, 0);
        let long = kind > LONG;
        match if long { kind - LONG } else { kind } {
            DIRECTORY => self.directory(&mut inode, cursor, long)?,
            FILE if long => self.long_file(&mut inode, cursor)?,
            FILE => self.file(&mut inode, cursor)?,
            SYMLINK => self.symlink(&mut inode, cursor, long)?,
            other if DEVICES.contains(&other) => self.special(&mut inode, cursor, 8, long)?,
            other if PIPES.contains(&other) => self.special(&mut inode, cursor, 4, long)?,
            _ => {
                let message = format!("inode {} is of a kind {kind} that is not known", inode.number);
                return Err(Error::corrupt(table.saturating_add(reference >> 16), message));
            }
        }
        Ok(inode)
    }

    /// A user's or group's number, by its place in the table.
    fn owner(&mut self, index: u16) -> Result<u32> {
        if index >= self.superblock.owners {
            return Err(Error::corrupt(self.superblock.owners_at, format!("there is no owner {index}")));
        }
        if let Some(known) = self.owners.get(&index) {
            return Ok(*known);
        }
        let owner = u32_at(&self.entry(self.superblock.owners_at, index.into(), 4)?, 0);
        self.owners.insert(index, owner);
        Ok(owner)
    }

    fn directory(&mut self, inode: &mut Inode, mut cursor: Cursor, long: bool) -> Result<()> {
        let bytes = self.take(&mut cursor, if long { 24 } else { 16 })?;
        let (start, offset);
        if long {
            (inode.links, inode.size) = (u32_at(&bytes, 0), u32_at(&bytes, 4).into());
            (start, offset) = (u32_at(&bytes, 8), u16_at(&bytes, 18));
            inode.attributes = some(u32_at(&bytes, 20));
        } else {
            (inode.links, inode.size) = (u32_at(&bytes, 4), u16_at(&bytes, 8).into());
            (start, offset) = (u32_at(&bytes, 0), u16_at(&bytes, 10));
        }
        let at = self.superblock.directories_at.saturating_add(start.into());
        // The size counts `.` and `..` as 3 bytes, which are not there.
        let listing = Cursor::new(at, offset, self.superblock.size);
        inode.body = Body::Directory(listing, inode.size.saturating_sub(3));
        Ok(())
    }

    fn file(&mut self, inode: &mut Inode, mut cursor: Cursor) -> Result<()> {
        let bytes = self.take(&mut cursor, 16)?;
        inode.size = u32_at(&bytes, 12).into();
        let fragment = some(u32_at(&bytes, 4)).map(|number| (number, u32_at(&bytes, 8)));
        inode.body = Body::File(Content { start: u32_at(&bytes, 0).into(), fragment, sizes: cursor });
        Ok(())
    }

    fn long_file(&mut self, inode: &mut Inode, mut cursor: Cursor) -> Result<()> {
        let bytes = self.take(&mut cursor, 40)?;
        (inode.size, inode.links) = (u64_at(&bytes, 8), u32_at(&bytes, 24));
        let fragment = some(u32_at(&bytes, 28)).map(|number| (number, u32_at(&bytes, 32)));
        inode.attributes = some(u32_at(&bytes, 36));
        inode.body = Body::File(Content { start: u64_at(&bytes, 0), fragment, sizes: cursor });
        Ok(())
    }

    fn symlink(&mut self, inode: &mut Inode, mut cursor: Cursor, long: bool) -> Result<()> {
        let bytes = self.take(&mut cursor, 8)?;
        let length = u32_at(&bytes, 4);
        (inode.links, inode.size) = (u32_at(&bytes, 0), length.into());
        if length > TARGET_MOST {
            let message = format!("symbolic link {} has a target of {length} bytes", inode.number);
            return Err(Error::corrupt(self.superblock.inodes_at, message));
        }
        inode.body = Body::Symlink(text(&self.take(&mut cursor, length as usize)?));
        if long {
            inode.attributes = some(u32_at(&self.take(&mut cursor, 4)?, 0));
        }
        Ok(())
    }

    /// Devices, pipes, sockets: names, `length` bytes in all with what is not looked at, then attributes.
    fn special(&mut self, inode: &mut Inode, mut cursor: Cursor, length: usize, long: bool) -> Result<()> {
        let bytes = self.take(&mut cursor, length)?;
        inode.links = u32_at(&bytes, 0);
        if long {
            inode.attributes = some(u32_at(&self.take(&mut cursor, 4)?, 0));
        }
        Ok(())
    }
}

fn some(number: u32) -> Option<u32> {
    Some(number).filter(|number| *number != NONE)
}
