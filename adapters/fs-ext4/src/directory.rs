//! Directories as rows of records (Linux: Documentation/filesystems/ext4, "Directory Entries"): reading, finding,
//! inserting, removing.

use crate::Ext4;
use crate::bytes::{byte_at, part, put, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;
use crate::features;
use crate::inode::{self, Inode};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

/// A record without its name, in bytes.
const HEAD: usize = 8;
/// The record at the end of a block that holds its checksum, in bytes.
pub const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;

/// One record of a directory's block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// where it begins in the block, in bytes
    pub at: usize,
    /// its length in bytes, with the room behind the name
    pub length: usize,
    /// 0: no entry
    pub inode: u32,
    /// the name's bytes
    pub name: &'a [u8],
    /// type of the inode, 0 where directories do not store it
    pub file_type: u8,
}

/// The records of a block, ending behind the first damaged one.
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    typed: bool,
}

impl<'a> Records<'a> {
    /// All records of these bytes; `typed` when records store the type.
    pub fn new(bytes: &'a [u8], typed: bool) -> Self {
        Self { bytes, at: 0, typed }
    }
}

impl<'a> Iterator for Records<'a> {
    /// None is a damaged record.
    type Item = Option<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at >= self.bytes.len() {
            return None;
        }
        let length = stored_length(u16_at(self.bytes, at + 4), self.bytes.len());
        let name_length = usize::from(byte_at(self.bytes, at + 6));
        let inode = u32_at(self.bytes, at);
        let fits = length >= HEAD && length.is_multiple_of(4) && length <= self.bytes.len() - at;
        if !fits || (inode != 0 && name_length + HEAD > length) {
            self.at = self.bytes.len();
            return Some(None);
        }
        self.at = at + length;
        let file_type = if self.typed { byte_at(self.bytes, at + 7) } else { 0 };
        let name = part(self.bytes, at + HEAD, name_length);
        Some(Some(Record { at, length, inode, name, file_type }))
    }
}

/// Lengths of 64 KiB do not fit into 16 bits: 0 and 65535 mean the whole block, low bits stand for high ones.
fn stored_length(value: u16, block_size: usize) -> usize {
    if block_size < 65536 {
        return usize::from(value);
    }
    let value = usize::from(value);
    if value == 0xffff || value == 0 { block_size } else { value & !3 | (value & 3) << 16 }
}

fn put_length(bytes: &mut [u8], at: usize, length: usize) {
    let value = if length >= 65536 { 0xffff } else { length as u16 };
    put_u16(bytes, at + 4, value);
}

/// Bytes that a record with a name of this length takes.
pub fn needed(name_length: usize) -> usize {
    (HEAD + name_length).next_multiple_of(4)
}

/// Where an entry was found.
pub struct Found {
    /// block of the device
    pub block: u64,
    /// offset of its record in the block, in bytes
    at: usize,
    /// the inode it names
    pub inode: u32,
}

/// A new entry.
pub struct New<'a> {
    /// its name
    pub name: &'a [u8],
    /// the inode it names
    pub inode: u32,
    /// the inode's type
    pub file_type: u8,
}

impl Ext4 {
    /// Whether records store the type of their inode.
    pub fn is_typed(&self) -> bool {
        self.superblock.has(features::FILETYPE)
    }

    fn has_tails(&self) -> bool {
        self.superblock.has(features::METADATA_CSUM)
    }

    /// Bytes of a leaf that hold records.
    pub fn leaf_end(&self) -> usize {
        self.superblock.block_size as usize - if self.has_tails() { TAIL } else { 0 }
    }

    /// Blocks of a directory; a directory is never longer than its file system.
    pub fn directory_blocks(&self, directory: &Inode) -> Result<u64> {
        let block_size = u64::from(self.superblock.block_size);
        let blocks = directory.size() / block_size;
        if !directory.size().is_multiple_of(block_size) || blocks > self.superblock.blocks {
            return Err(damaged(directory, "has an impossible length"));
        }
        Ok(blocks)
    }

    /// Block `logical` of a directory: its place on the device and its content, with a right checksum.
    pub fn directory_block(&mut self, directory: &Inode, logical: u64) -> Result<(u64, Rc<Vec<u8>>)> {
        let Some(block) = self.run_at(directory, logical, 1)?.physical else {
            return Err(damaged(directory, "has a hole"));
        };
        let bytes = self.device.get(block)?;
        if self.device.is_checked(block) {
            return Ok((block, bytes));
        }
        if self.has_tails() {
            let right = match self.index_offset(directory, logical, &bytes) {
                Some(offset) => self
                    .index_sum(directory, &bytes, offset)
                    .is_some_and(|(at, sum)| sum == u32_at(&bytes, at)),
                None => {
                    let end = self.leaf_end();
                    let tail =
                        u16_at(&bytes, end + 4) == TAIL as u16 && byte_at(&bytes, end + 7) == TAIL_TYPE;
                    tail && self.leaf_sum(directory, &bytes) == u32_at(&bytes, end + 8)
                }
            };
            if !right {
                let message = format!("block {block} of directory {} has a wrong checksum", directory.number);
                return Err(Error::corrupt(self.device.offset(block), message + ": run e2fsck"));
            }
        }
        self.device.mark_checked(block);
        Ok((block, bytes))
    }

    fn leaf_sum(&self, directory: &Inode, bytes: &[u8]) -> u32 {
        crc32c(self.inode_seed(directory), part(bytes, 0, self.leaf_end()))
    }

    /// Writes the checksum at the end of a leaf.
    pub fn stamp_leaf(&self, directory: &Inode, bytes: &mut [u8]) {
        if self.has_tails() {
            let end = self.leaf_end();
            put(bytes, end, &[0; TAIL]);
            put_u16(bytes, end + 4, TAIL as u16);
            put(bytes, end + 7, &[TAIL_TYPE]);
            let sum = self.leaf_sum(directory, bytes);
            put_u32(bytes, end + 8, sum);
        }
    }

    /// A leaf with these entries, one behind the other.
    pub fn pack_leaf(&self, directory: &Inode, entries: &[New<'_>]) -> Vec<u8> {
        let mut bytes = vec![0; self.superblock.block_size as usize];
        let mut at = 0;
        for (index, entry) in entries.iter().enumerate() {
            let last = index + 1 == entries.len();
            let length = if last { self.leaf_end().saturating_sub(at) } else { needed(entry.name.len()) };
            self.put_record(&mut bytes, at, length, entry);
            at += length;
        }
        if entries.is_empty() {
            put_length(&mut bytes, 0, self.leaf_end());
        }
        self.stamp_leaf(directory, &mut bytes);
        bytes
    }

    /// Writes one record.
    pub fn put_record(&self, bytes: &mut [u8], at: usize, length: usize, entry: &New<'_>) {
        put_u32(bytes, at, entry.inode);
        put_length(bytes, at, length);
        let file_type = if self.is_typed() { entry.file_type } else { 0 };
        put(bytes, at + 6, &[entry.name.len() as u8, file_type]);
        put(bytes, at + HEAD, entry.name);
    }

    /// Finds a name. The directory may hold its entries inside its inode; then the place means nothing.
    pub fn find(&mut self, directory: &Inode, name: &[u8]) -> Result<Option<Found>> {
        if directory.has(inode::INLINE_DATA) {
            let entries = self.inline_entries(directory)?;
            let entry = entries.into_iter().find(|entry| entry.1 == name);
            return Ok(entry.map(|(inode, ..)| Found { block: 0, at: 0, inode }));
        }
        if self.is_indexed(directory)
            && let Some(answer) = self.find_indexed(directory, name)?
        {
            return Ok(answer);
        }
        for logical in 0..self.directory_blocks(directory)? {
            if let Some(found) = self.find_in_block(directory, logical, name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Finds a name in one block.
    pub fn find_in_block(&mut self, directory: &Inode, logical: u64, name: &[u8]) -> Result<Option<Found>> {
        let (block, bytes) = self.directory_block(directory, logical)?;
        for record in Records::new(&bytes, self.is_typed()) {
            let record = record.ok_or_else(|| damaged(directory, "has a damaged record"))?;
            if record.inode != 0 && record.name == name {
                return Ok(Some(Found { block, at: record.at, inode: record.inode }));
            }
        }
        Ok(None)
    }

    /// Puts an entry into block `logical` if there is room.
    pub fn insert_in_block(&mut self, directory: &Inode, logical: u64, entry: &New<'_>) -> Result<bool> {
        let (block, bytes) = self.directory_block(directory, logical)?;
        let (need, end) = (needed(entry.name.len()), self.leaf_end());
        let mut place = None;
        for record in Records::new(&bytes, self.is_typed()) {
            let record = record.ok_or_else(|| damaged(directory, "has a damaged record"))?;
            let used = if record.inode == 0 { 0 } else { needed(record.name.len()) };
            if record.at + record.length <= end && record.length.saturating_sub(used) >= need {
                place = Some((record.at, used, record.length));
                break;
            }
        }
        let Some((at, used, length)) = place else { return Ok(false) };
        let mut bytes = bytes.to_vec();
        if used > 0 {
            put_length(&mut bytes, at, used);
        }
        self.put_record(&mut bytes, at + used, length - used, entry);
        self.stamp_leaf(directory, &mut bytes);
        self.device.replace(block, bytes)?;
        Ok(true)
    }

    /// Adds an entry; the name must not be there yet. The directory has to be stored by the caller.
    pub fn insert(&mut self, directory: &mut Inode, entry: &New<'_>) -> Result<()> {
        self.uninline_directory(directory)?;
        if self.is_indexed(directory) {
            return self.insert_indexed(directory, entry);
        }
        let blocks = self.directory_blocks(directory)?;
        for logical in 0..blocks {
            if self.insert_in_block(directory, logical, entry)? {
                return Ok(());
            }
        }
        if blocks == 1 && self.superblock.has(features::DIR_INDEX) {
            self.make_index(directory)?;
            return self.insert_indexed(directory, entry);
        }
        let bytes = self.pack_leaf(directory, std::slice::from_ref(entry));
        self.append_block(directory, bytes)?;
        Ok(())
    }

    /// Removes an entry that exists: its room goes to the record before it.
    pub fn remove_entry(&mut self, directory: &mut Inode, name: &[u8]) -> Result<()> {
        self.uninline_directory(directory)?;
        let found = self.find(directory, name)?.ok_or_else(|| damaged(directory, "lost an entry"))?;
        let mut bytes = self.device.get(found.block)?.to_vec();
        let (mut before, mut length) = (None, 0);
        for record in Records::new(&bytes, self.is_typed()).flatten() {
            if record.at == found.at {
                length = record.length;
                break;
            }
            before = Some((record.at, record.length));
        }
        put(&mut bytes, found.at, &vec![0; length]);
        match before {
            Some((at, own)) => put_length(&mut bytes, at, own + length),
            None => put_length(&mut bytes, found.at, length),
        }
        self.stamp_leaf(directory, &mut bytes);
        self.device.replace(found.block, bytes)
    }

    /// Makes an existing entry name another inode.
    pub fn retarget(&mut self, directory: &mut Inode, entry: &New<'_>) -> Result<()> {
        self.uninline_directory(directory)?;
        let found = match entry.name {
            // The index does not know this one; it is in the first block always.
            b".." => self.find_in_block(directory, 0, entry.name)?,
            name => self.find(directory, name)?,
        };
        let found = found.ok_or_else(|| damaged(directory, "lost an entry"))?;
        let mut bytes = self.device.get(found.block)?.to_vec();
        put_u32(&mut bytes, found.at, entry.inode);
        if self.is_typed() {
            put(&mut bytes, found.at + 7, &[entry.file_type]);
        }
        let root = entry.name == b".." && self.is_indexed(directory);
        if root {
            self.stamp_index(directory, 0, &mut bytes)
        } else {
            self.stamp_leaf(directory, &mut bytes)
        };
        self.device.replace(found.block, bytes)
    }

    /// Entries from byte `start` of the directory on, without `.` and `..`: inode, name, and where the next begins.
    pub fn list(&mut self, directory: &Inode, start: u64, most: usize) -> Result<Vec<(u32, Vec<u8>, u64)>> {
        if directory.has(inode::INLINE_DATA) {
            let wanted = |(_, name, next): &(u32, Vec<u8>, u64)| {
                *next > start && !matches!(name.as_slice(), b"." | b"..")
            };
            let entries = self.inline_entries(directory)?.into_iter().filter(wanted).take(most);
            return entries.map(|entry| nameable(directory, &entry.1).map(|()| entry)).collect();
        }
        let block_size = u64::from(self.superblock.block_size);
        let mut list = Vec::new();
        for logical in start / block_size..self.directory_blocks(directory)? {
            let (_, bytes) = self.directory_block(directory, logical)?;
            for record in Records::new(&bytes, self.is_typed()) {
                let record = record.ok_or_else(|| damaged(directory, "has a damaged record"))?;
                let at = logical * block_size + record.at as u64;
                if at < start || record.inode == 0 || matches!(record.name, b"." | b"..") {
                    continue;
                }
                if list.len() >= most {
                    return Ok(list);
                }
                nameable(directory, record.name)?;
                list.push((record.inode, record.name.to_vec(), at + record.length as u64));
            }
        }
        Ok(list)
    }
}

/// Refuses names that no path can hold, as Linux does (fs/readdir.c, verify_dirent_name).
fn nameable(directory: &Inode, name: &[u8]) -> Result<()> {
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        return Err(damaged(directory, "has an impossible name"));
    }
    Ok(())
}

/// What is wrong with a directory.
pub fn damaged(directory: &Inode, problem: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("directory inode {} {problem}: run e2fsck", directory.number))
}
