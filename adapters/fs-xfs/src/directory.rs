//! Directories: in the inode, of one block, and of many (XFS Algorithms & Data Structures, "Directories"; Linux:
//! fs/xfs/libxfs/xfs_da_format.h). Blocks of hashes and of free room are left aside: the names are all in the data blocks.

use crate::Xfs;
use crate::bytes::{Own, be16_at, be32_at, be64_at, big, byte_at, check, damaged, field, part};
use crate::features;
use crate::inode::{Format, Inode, Which};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// Data blocks lie before this byte of a directory.
pub const DATA_END: u64 = 1 << 35;
/// Bytes that the names of one directory take in memory, and those of all that are kept; what a name takes besides its letters.
const LISTING_MOST: usize = 64 << 20;
const KEPT_MOST: usize = 64 << 20;
const NAME_BYTES: usize = 96;
/// Magic numbers of data blocks: those with all there is, and others; in version 4 and 5.
pub const BLOCK: [u32; 2] = [0x5844_3242, 0x5844_4233];
pub const DATA: [u32; 2] = [0x5844_3244, 0x5844_4433];
pub const HEADER: [usize; 2] = [16, 64];
pub const OWN: Own = Own { checksum: 4, sector: 8, uuid: 24, owner: 40, change: 16 };
pub const FREE: u16 = 0xffff;

/// A name in a directory.
#[derive(Clone)]
pub struct Name {
    pub name: Rc<[u8]>,
    pub inode: u64,
    /// the type of what it names, as the directory has it; 0 where it has none
    pub kind: u8,
}

/// Bytes of an entry in a block of names, at most.
const ENTRY_MOST: u64 = 272;

fn entry_most(name: &[u8]) -> u64 {
    (name.len() as u64 + 12).next_multiple_of(8)
}

/// The names in a directory, without `.` and `..`.
#[derive(Clone, Default)]
pub struct Listing {
    /// in the order of the disk
    pub list: Vec<Name>,
    /// what `..` names
    pub parent: u64,
    /// The disk has others.
    pub changed: bool,
    /// blocks of the directory when it was last written
    pub blocks: u64,
    /// bytes of all entries in blocks of names
    entries: u64,
    /// places in `list`; where case does not count, by names in lower case
    index: HashMap<Rc<[u8]>, usize>,
    /// Case does not count.
    folds: bool,
    /// in memory
    bytes: usize,
}

impl Listing {
    fn key(&self, name: &[u8]) -> Rc<[u8]> {
        if self.folds { name.to_ascii_lowercase().into() } else { name.into() }
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        self.index.get(&self.key(name)).copied()
    }

    /// What a name stands for.
    pub fn get(&self, name: &[u8]) -> Option<u64> {
        self.place(name).and_then(|place| self.list.get(place)).map(|found| found.inode)
    }

    /// Adds a name from the disk.
    fn read(&mut self, name: &[u8], inode: u64, kind: u8) -> Result<()> {
        match name {
            b"." => return Ok(()),
            b".." => {
                self.parent = inode;
                return Ok(());
            }
            _ => {}
        }
        if name.is_empty() || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(Error::new(ErrorKind::Corrupt, "a directory has an impossible name: run xfs_repair"));
        }
        if self.place(name).is_some() {
            return Err(Error::new(ErrorKind::Corrupt, "a directory has a name twice: run xfs_repair"));
        }
        self.add(name, inode, kind)
    }

    /// Adds a name that is not there.
    pub fn add(&mut self, name: &[u8], inode: u64, kind: u8) -> Result<()> {
        self.bytes += NAME_BYTES + name.len() * (1 + usize::from(self.folds));
        if self.bytes > LISTING_MOST {
            return Err(Error::new(ErrorKind::Limit, "the names in a directory take more than 64 MiB"));
        }
        self.entries += entry_most(name);
        let name: Rc<[u8]> = name.into();
        let key = if self.folds { self.key(&name) } else { Rc::clone(&name) };
        self.index.insert(key, self.list.len());
        self.list.push(Name { name, inode, kind });
        Ok(())
    }

    /// Removes a name; the last one takes its place.
    pub fn remove(&mut self, name: &[u8]) {
        let Some(place) = self.index.remove(&self.key(name)).filter(|place| *place < self.list.len()) else {
            return;
        };
        let gone = self.list.swap_remove(place);
        self.entries = self.entries.saturating_sub(entry_most(&gone.name));
        self.bytes = self.bytes.saturating_sub(NAME_BYTES + gone.name.len());
        if let Some(moved) = self.list.get(place).map(|moved| self.key(&moved.name)) {
            self.index.insert(moved, place);
        }
    }

    /// Blocks of `unit` bytes that it will need, in directory blocks of `size`, beyond those that it has.
    pub fn wants(&self, unit: u64, size: u64) -> u64 {
        if !self.changed {
            return 0;
        }
        // The end of a block of names is lost where no name fits; leaves may be little more than half full.
        let names = self.entries.div_ceil(size - 64 - ENTRY_MOST.min(size / 2));
        let leaves = (self.list.len() as u64 * 8).div_ceil(size / 2);
        ((names + leaves + leaves / 50 + 3) * (size / unit)).saturating_sub(self.blocks)
    }

    /// Lets a name that is there stand for another inode.
    pub fn retarget(&mut self, name: &[u8], inode: u64, kind: u8) {
        if let Some(found) = self.place(name).and_then(|place| self.list.get_mut(place)) {
            (found.inode, found.kind) = (inode, kind);
        }
    }
}

impl Xfs {
    /// Whether case does not count.
    pub fn folds(&self) -> bool {
        self.disk.superblock.has(features::ASCII_CI)
    }

    /// The inode of a name in a directory.
    pub fn lookup(&mut self, directory: &Inode, name: &str) -> Result<Option<u64>> {
        Ok(self.listing(directory)?.get(name.as_bytes()))
    }

    /// All names in a directory.
    pub fn listing(&mut self, directory: &Inode) -> Result<Rc<Listing>> {
        if let Some(listing) = self.listings.get(&directory.number) {
            return Ok(Rc::clone(listing));
        }
        if directory.kind() != Kind::Directory {
            let message = format!("inode {} is not a directory", directory.number);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut listing = Listing { folds: self.folds(), blocks: directory.blocks(), ..Listing::default() };
        let found = match directory.fork(Which::Data).format {
            Format::Local => self.short(directory, &mut listing),
            _ => self.long(directory, &mut listing),
        };
        found.map_err(|error| error.within(&format!("directory {}", directory.number)))?;
        self.keep(directory.number, listing)
    }

    /// Remembers a directory's names.
    fn keep(&mut self, number: u64, listing: Listing) -> Result<Rc<Listing>> {
        if self.kept + listing.bytes > KEPT_MOST {
            self.write_directories()?;
            self.listings.clear();
            self.kept = 0;
        }
        self.kept += NAME_BYTES + listing.bytes;
        let listing = Rc::new(listing);
        self.listings.insert(number, Rc::clone(&listing));
        Ok(listing)
    }

    /// A new directory without names.
    pub fn start_directory(&mut self, number: u64, parent: u64) -> Result<()> {
        let listing = Listing { folds: self.folds(), parent, ..Listing::default() };
        self.keep(number, listing).map(|_| ())
    }

    /// Changes a directory's names; the disk gets them by [`Xfs::write_directories`].
    pub fn change_names<T>(
        &mut self,
        directory: &Inode,
        act: impl FnOnce(&mut Listing) -> Result<T>,
    ) -> Result<T> {
        self.listing(directory)?;
        let lost = || Error::new(ErrorKind::Failed, "the names of a directory are lost");
        let listing = Rc::make_mut(self.listings.get_mut(&directory.number).ok_or_else(lost)?);
        if listing.folds && listing.list.iter().any(|entry| !entry.name.is_ascii()) {
            let message =
                "names beyond ASCII where case does not count are not changed: rename them in the guest";
            return Err(Error::unsupported(message));
        }
        if listing.parent == 0 {
            return Err(damaged(directory.place, "a directory has none above it"));
        }
        let (unit, size) =
            (u64::from(self.disk.superblock.block_size), u64::from(self.disk.superblock.directory_block));
        let (bytes, wants) = (listing.bytes, listing.wants(unit, size));
        let result = act(listing);
        listing.changed = true;
        self.kept = self.kept.saturating_sub(bytes) + listing.bytes;
        self.promised = self.promised.saturating_sub(wants) + listing.wants(unit, size);
        result
    }

    /// Notes that a directory was written, or is gone.
    pub fn settle_directory(&mut self, number: u64, blocks: u64) {
        let (unit, size) =
            (u64::from(self.disk.superblock.block_size), u64::from(self.disk.superblock.directory_block));
        if let Some(listing) = self.listings.get_mut(&number).map(Rc::make_mut) {
            self.promised = self.promised.saturating_sub(listing.wants(unit, size));
            (listing.changed, listing.blocks) = (false, blocks);
        }
    }

    /// Forgets the names of a directory that is removed.
    pub fn forget_directory(&mut self, number: u64) {
        self.settle_directory(number, 0);
        self.listings.remove(&number);
    }

    fn short(&self, directory: &Inode, listing: &mut Listing) -> Result<()> {
        let bytes = directory.fork(Which::Data).bytes;
        let bytes = part(bytes, 0, usize::try_from(directory.size()).unwrap_or(usize::MAX));
        let refuse = || damaged(directory.place, "its short form is damaged");
        let number = if byte_at(bytes, 1) > 0 { 8 } else { 4 };
        let count = byte_at(bytes, 0);
        let kind = usize::from(self.disk.superblock.has_types());
        let mut at = 2 + number;
        if bytes.len() < at || directory.size() > bytes.len() as u64 {
            return Err(refuse());
        }
        listing.parent = big(bytes, 2, number);
        for _ in 0..count {
            let length = usize::from(byte_at(bytes, at));
            let end = at + 3 + length + kind + number;
            if length == 0 || end > bytes.len() {
                return Err(refuse());
            }
            let inode = big(bytes, end - number, number);
            let types = if kind > 0 { byte_at(bytes, at + 3 + length) } else { 0 };
            listing.read(field(bytes, at + 3, length), inode, types)?;
            at = end;
        }
        Ok(())
    }

    fn long(&mut self, directory: &Inode, listing: &mut Listing) -> Result<()> {
        let extents = self.extents(directory, Which::Data)?;
        let (unit, size) =
            (u64::from(self.disk.superblock.block_size), u64::from(self.disk.superblock.directory_block));
        let per_block = size / unit;
        let end = DATA_END / unit;
        let (mut next, mut seen) = (0, HashSet::new());
        for extent in extents.iter().take_while(|extent| extent.start < end) {
            // A block of several smaller ones may be in several extents.
            next = next.max(extent.start / per_block * per_block);
            while next < extent.end().min(end) {
                let (bytes, place) = self.fork_blocks(&extents, next, per_block)?;
                if self.disk.superblock.version == 5 {
                    check(&self.disk.superblock, &bytes, &OWN, place, directory.number, "a block of names")?;
                }
                if !seen.insert(place) {
                    return Err(damaged(place, "a block of names is in two places"));
                }
                self.names(&bytes, place, listing)?;
                next += per_block;
            }
        }
        Ok(())
    }

    fn names(&self, bytes: &[u8], place: u64, listing: &mut Listing) -> Result<()> {
        let refuse = |why: &str| damaged(place, &format!("a block of names {why}"));
        let form = self.disk.superblock.form();
        let magic = be32_at(bytes, 0);
        let end = if magic == BLOCK[form] {
            let tail = bytes.len() - 8;
            let hashes = be32_at(bytes, tail) as usize;
            tail.checked_sub(hashes.saturating_mul(8)).ok_or_else(|| refuse("has more hashes than room"))?
        } else if magic == DATA[form] {
            bytes.len()
        } else {
            return Err(refuse("is none"));
        };
        let kind = usize::from(self.disk.superblock.has_types());
        let mut at = HEADER[form];
        while at < end {
            let (length, tag) = if be16_at(bytes, at) == FREE {
                let length = usize::from(be16_at(bytes, at + 2));
                (length, (length >= 8).then(|| at + length - 2))
            } else {
                let name = usize::from(byte_at(bytes, at + 8));
                let length = (8 + 1 + name + kind + 2).next_multiple_of(8);
                if name == 0 || at + length > end {
                    return Err(refuse("has an entry that does not fit"));
                }
                let types = if kind > 0 { byte_at(bytes, at + 9 + name) } else { 0 };
                listing.read(field(bytes, at + 9, name), be64_at(bytes, at), types)?;
                (length, Some(at + length - 2))
            };
            let tag = tag.filter(|_| length.is_multiple_of(8) && at + length <= end);
            if tag.is_none_or(|tag| usize::from(be16_at(bytes, tag)) != at) {
                return Err(refuse("has an entry with a wrong length"));
            }
            at += length;
        }
        Ok(())
    }
}
