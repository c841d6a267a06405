//! What files hold: blocks one behind the other, and tails that share blocks of fragments (Linux: `fs/squashfs/file.c`).

use crate::Squash;
use crate::bytes::{part, u32_at, u64_at};
use crate::inode::{Content, Inode};
use crate::metadata::Cursor;
use std::rc::Rc;
use wherry_sdk::{Error, Result};

/// The block is stored as it is.
const STORED: u32 = 1 << 24;
/// Bytes of a fragment's entry.
const FRAGMENT: usize = 16;
/// Sizes that are read at once.
const SIZES: u64 = 1024;
/// Unpacked blocks that are remembered: of the file and of fragments.
const BLOCKS_MOST: usize = 4;

/// Blocks that were unpacked, by their place and stored size; the last one was used last.
#[derive(Default)]
pub struct Unpacked(Vec<(Stored, Rc<Vec<u8>>)>);

/// Where a block is on the device, and its size as it is noted.
type Stored = (u64, u32);

/// A block in a file's list.
#[derive(Clone, Copy)]
pub struct Place {
    /// The inode's reference.
    file: u64,
    index: u64,
    /// Where the block is on the device.
    at: u64,
    /// Where its size is.
    sizes: Cursor,
}

impl Squash {
    /// Up to `length` bytes of a file.
    pub fn content(&mut self, inode: &Inode, content: &Content, offset: u64, length: u64) -> Result<Vec<u8>> {
        let size = u64::from(self.superblock.block);
        let end = offset.saturating_add(length).min(inode.size);
        let blocks = if content.fragment.is_some() { inode.size / size } else { inode.size.div_ceil(size) };
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            let index = at / size;
            let holds = size.min(inode.size - index * size);
            let (from, to) = (at % size, (end - index * size).min(holds));
            let block = match content.fragment {
                Some((number, place)) if index >= blocks => self.tail(number, place, holds)?,
                _ => self.block(inode, content, index, holds)?,
            };
            match block {
                None => bytes.resize(bytes.len() + (to - from) as usize, 0),
                Some((block, start)) => {
                    bytes.extend_from_slice(part(&block, start + from as usize, (to - from) as usize));
                }
            }
            at = index * size + to;
        }
        Ok(bytes)
    }

    /// A block of the list, which must hold so many bytes; none is a hole.
    fn block(
        &mut self,
        inode: &Inode,
        content: &Content,
        index: u64,
        holds: u64,
    ) -> Result<Option<(Rc<Vec<u8>>, usize)>> {
        let mut place = Place { file: inode.reference, index: 0, at: content.start, sizes: content.sizes };
        if let Some(known) = self.place.filter(|at| at.file == place.file && at.index <= index) {
            place = known;
        }
        while place.index < index {
            let count = (index - place.index).min(SIZES);
            let sizes = self.take(&mut place.sizes, count as usize * 4)?;
            for size in sizes.chunks_exact(4) {
                place.at = place.at.saturating_add((u32_at(size, 0) & !STORED).into());
            }
            place.index += count;
        }
        self.place = Some(place);
        let size = u32_at(&self.take(&mut place.sizes, 4)?, 0);
        if size == 0 {
            return Ok(None);
        }
        Ok(Some((self.unpacked(place.at, size, Some(holds))?, 0)))
    }

    /// The end of a file in a block that it shares with others.
    fn tail(&mut self, number: u32, place: u32, holds: u64) -> Result<Option<(Rc<Vec<u8>>, usize)>> {
        let table = self.superblock.fragments_at;
        if number >= self.superblock.fragments {
            return Err(Error::corrupt(table, format!("there is no fragment {number}")));
        }
        let entry = self.entry(table, number.into(), FRAGMENT)?;
        let (at, size) = (u64_at(&entry, 0), u32_at(&entry, 8));
        let block = self.unpacked(at, size, None)?;
        if u64::from(place) + holds > block.len() as u64 {
            return Err(Error::corrupt(at, format!("fragment {number} ends before the file does")));
        }
        Ok(Some((block, place as usize)))
    }

    /// A block of content: exactly `holds` bytes where that is known.
    fn unpacked(&mut self, at: u64, size: u32, holds: Option<u64>) -> Result<Rc<Vec<u8>>> {
        let known = self.unpacked.0.iter().position(|(key, _)| *key == (at, size));
        let block = match known {
            Some(known) => self.unpacked.0.remove(known).1,
            None => Rc::new(self.unpack(at, size)?),
        };
        if self.unpacked.0.len() >= BLOCKS_MOST {
            self.unpacked.0.remove(0);
        }
        self.unpacked.0.push(((at, size), block.clone()));
        match holds.filter(|holds| *holds != block.len() as u64) {
            Some(holds) => {
                let message = format!("a block of content holds {} bytes instead of {holds}", block.len());
                Err(Error::corrupt(at, message))
            }
            None => Ok(block),
        }
    }

    fn unpack(&mut self, at: u64, size: u32) -> Result<Vec<u8>> {
        let length = size & !STORED;
        if length > self.superblock.block {
            return Err(Error::corrupt(at, format!("a block of content has {length} bytes")));
        }
        let stored = self.device_bytes(at, length)?;
        if size & STORED != 0 {
            return Ok(stored);
        }
        let unpacked = self.superblock.packing.unpack(&stored, self.superblock.block as usize);
        unpacked.map_err(|error| Error::corrupt(at, format!("block of content: {}", error.message)))
    }
}
