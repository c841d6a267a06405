//! Directories: entries in pieces of 512 bytes, none of which an entry crosses (illumos: `ufs_fsdir.h`, struct direct).

use crate::Ufs;
use crate::inode::Inode;
use crate::order::Order;
use crate::superblock::Flavour;
use std::rc::Rc;
use wherry_sdk::bytes::{byte_at, part, put};
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// Bytes of a piece, and of an entry before its name.
pub const PIECE: usize = 512;
const HEAD: usize = 8;
/// The longest directory that is read, in bytes.
const MOST: u64 = 16 << 20;
/// Listings that are kept.
const KEPT_MOST: usize = 64;

/// A name and its inode.
pub type Listing = Vec<(Vec<u8>, u32)>;

/// An entry of a piece.
struct Entry {
    at: usize,
    inode: u32,
    length: usize,
    name: Vec<u8>,
}

/// Bytes that an entry with such a name takes.
fn needed(name: usize) -> usize {
    (HEAD + name + 1).next_multiple_of(4)
}

impl Ufs<'_> {
    /// The length of a name, which the BSDs share with the kind of the object.
    fn name_length(&self, bytes: &[u8], at: usize) -> usize {
        match self.superblock.flavour {
            Flavour::Sun => self.superblock.order.u16(bytes, at + 6).into(),
            // Old ones have no kinds; there the length is in the byte that is not zero.
            _ if self.superblock.order == Order::Little && byte_at(bytes, at + 7) == 0 => {
                byte_at(bytes, at + 6).into()
            }
            _ => byte_at(bytes, at + 7).into(),
        }
    }

    /// The entries of a directory's bytes.
    fn parse(&self, bytes: &[u8], number: u32) -> Result<Vec<Entry>> {
        let order = self.superblock.order;
        let bad = |at: usize| {
            let message = format!("directory inode {number} is damaged at byte {at}: run fsck");
            Error::new(ErrorKind::Corrupt, message)
        };
        let mut list = Vec::new();
        for start in (0..bytes.len()).step_by(PIECE) {
            let end = (start + PIECE).min(bytes.len());
            let mut at = start;
            while at < end {
                let length = usize::from(order.u16(bytes, at + 4));
                let name = self.name_length(bytes, at);
                let inode = order.u32(bytes, at);
                if length < HEAD
                    || length % 4 != 0
                    || at + length > end
                    || inode != 0 && needed(name) > length
                {
                    return Err(bad(at));
                }
                let name = if inode == 0 { Vec::new() } else { part(bytes, at + HEAD, name).to_vec() };
                if inode != 0 && (name.is_empty() || name.contains(&0) || name.contains(&b'/')) {
                    return Err(bad(at));
                }
                list.push(Entry { at, inode, length, name });
                at += length;
            }
        }
        Ok(list)
    }

    /// Names of a directory with their inodes, without `.` and `..`.
    pub fn listing(&mut self, directory: &Inode) -> Result<Rc<Listing>> {
        if let Some(listing) = self.listings.get(&directory.number) {
            return Ok(Rc::clone(listing));
        }
        let bytes = self.read_whole(directory, MOST)?;
        let entries = self.parse(&bytes, directory.number)?.into_iter();
        let real = entries.filter(|entry| entry.inode != 0 && entry.name != b"." && entry.name != b"..");
        let listing: Rc<Listing> = Rc::new(real.map(|entry| (entry.name, entry.inode)).collect());
        if self.listings.len() >= KEPT_MOST {
            self.listings.clear();
        }
        self.listings.insert(directory.number, Rc::clone(&listing));
        Ok(listing)
    }

    /// The inode of a name.
    pub fn lookup(&mut self, directory: &Inode, name: &[u8]) -> Result<Option<u32>> {
        Ok(self.listing(directory)?.iter().find(|(other, _)| other == name).map(|(_, inode)| *inode))
    }

    fn entry(&self, inode: u32, length: usize, name: &[u8]) -> Vec<u8> {
        let order = self.superblock.order;
        let mut bytes = vec![0; length];
        order.put32(&mut bytes, 0, inode);
        order.put16(&mut bytes, 4, length as u16);
        order.put16(&mut bytes, 6, name.len() as u16);
        put(&mut bytes, HEAD, name);
        bytes
    }

    /// Adds a name. The directory's inode is not stored.
    pub fn add_name(&mut self, directory: &mut Inode, name: &[u8], inode: u32) -> Result<()> {
        self.listings.remove(&directory.number);
        let bytes = self.read_whole(directory, MOST)?;
        let order = self.superblock.order;
        let wanted = needed(name.len());
        for entry in self.parse(&bytes, directory.number)? {
            let used = if entry.inode == 0 { 0 } else { needed(entry.name.len()) };
            if entry.length < used + wanted {
                continue;
            }
            let piece = entry.at - entry.at % PIECE;
            let mut changed = part(&bytes, piece, PIECE).to_vec();
            let new = self.entry(inode, entry.length - used, name);
            put(&mut changed, entry.at - piece + used, &new);
            if used > 0 {
                order.put16(&mut changed, entry.at - piece + 4, used as u16);
            }
            return self.write_range(directory, piece as u64, &Bytes(changed));
        }
        let new = self.entry(inode, PIECE, name);
        self.write_range(directory, bytes.len() as u64, &Bytes(new))
    }

    /// Changes what a name, or `..`, leads to; 0 takes it away. The directory's inode is not stored.
    pub fn set_name(&mut self, directory: &mut Inode, name: &[u8], inode: u32) -> Result<()> {
        self.listings.remove(&directory.number);
        let bytes = self.read_whole(directory, MOST)?;
        let order = self.superblock.order;
        let entries = self.parse(&bytes, directory.number)?;
        let found = entries.iter().position(|entry| entry.inode != 0 && entry.name == name);
        let missing = || {
            Error::new(
                ErrorKind::Corrupt,
                format!("directory inode {} has lost a name: run fsck", directory.number),
            )
        };
        let slot = found.ok_or_else(missing)?;
        let (Some(entry), before) =
            (entries.get(slot), slot.checked_sub(1).and_then(|slot| entries.get(slot)))
        else {
            return Err(missing());
        };
        let piece = entry.at - entry.at % PIECE;
        let mut changed = part(&bytes, piece, PIECE).to_vec();
        match before.filter(|before| inode == 0 && before.at >= piece) {
            // Its room goes to the entry before it.
            Some(before) => {
                order.put16(&mut changed, before.at - piece + 4, (before.length + entry.length) as u16)
            }
            None => order.put32(&mut changed, entry.at - piece, inode),
        }
        self.write_range(directory, piece as u64, &Bytes(changed))
    }

    /// Makes a new directory's first piece. Its inode is not stored.
    pub fn start_directory(&mut self, directory: &mut Inode, parent: u32) -> Result<()> {
        let own = self.entry(directory.number, 12, b".");
        let above = self.entry(parent, PIECE - 12, b"..");
        self.write_range(directory, 0, &Bytes([own, above].concat()))
    }

    /// The directory above one.
    pub fn above(&mut self, directory: &Inode) -> Result<u32> {
        let bytes = self.read_whole(directory, MOST)?;
        let entries = self.parse(&bytes, directory.number)?;
        let found = entries.iter().find(|entry| entry.name == b"..").map(|entry| entry.inode);
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!("directory inode {} has no `..`: run fsck", directory.number),
            )
        })
    }

    /// Whether it has names of its own.
    pub fn is_empty(&mut self, directory: &Inode) -> Result<bool> {
        Ok(directory.kind() != Kind::Directory || self.listing(directory)?.is_empty())
    }
}

/// Bytes as content.
pub struct Bytes(pub Vec<u8>);

impl wherry_sdk::Blob for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        Ok(part(&self.0, offset as usize, length as usize).to_vec())
    }
    fn write(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "these bytes are only read"))
    }
}
