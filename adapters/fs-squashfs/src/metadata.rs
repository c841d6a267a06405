//! Metadata: blocks of at most 8 KiB, packed one by one, read as one run of bytes.

use crate::Squash;
use crate::bytes::{part, u16_at, u64_at};
use std::collections::HashMap;
use std::rc::Rc;
use wherry_sdk::{Error, Result};

/// Bytes of a block, unpacked.
pub const BLOCK: usize = 8192;
/// The block is stored as it is.
const STORED: u16 = 1 << 15;
/// Blocks that are remembered.
const BLOCKS_MOST: usize = 512;

/// A block, and where the next one begins.
pub struct Block {
    bytes: Vec<u8>,
    next: u64,
}

/// Blocks that were unpacked, by their place on the device.
#[derive(Default)]
pub struct Blocks(HashMap<u64, Rc<Block>>);

/// A place in metadata, which moves on as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    block: u64,
    offset: usize,
    /// No block begins here or behind it.
    end: u64,
}

impl Cursor {
    /// At a byte of the block `at`; what belongs together ends before `end`.
    pub fn new(at: u64, offset: u16, end: u64) -> Self {
        Self { block: at, offset: offset.into(), end }
    }

    /// What a reference means: a block, counted from `table`, and a byte in it.
    pub fn follow(table: u64, reference: u64, end: u64) -> Self {
        Self::new(table.saturating_add(reference >> 16), reference as u16, end)
    }
}

impl Squash {
    /// The block that begins at a byte of the device.
    fn metadata(&mut self, at: u64, end: u64) -> Result<Rc<Block>> {
        let bad = |what: String| Error::corrupt(at, format!("block of metadata: {what}"));
        if at >= end.min(self.superblock.size) {
            return Err(bad("it lies outside of its table".into()));
        }
        if let Some(known) = self.blocks.0.get(&at) {
            return Ok(known.clone());
        }
        let head = u16_at(&self.device_bytes(at, 2)?, 0);
        let length = head & !STORED;
        if length == 0 || usize::from(length) > BLOCK {
            return Err(bad(format!("it has {length} bytes")));
        }
        let stored = self.device_bytes(at + 2, length.into())?;
        let bytes = if head & STORED != 0 {
            stored
        } else {
            let unpacked = self.superblock.packing.unpack(&stored, BLOCK);
            unpacked.map_err(|error| bad(error.message))?
        };
        let block = Rc::new(Block { bytes, next: at + 2 + u64::from(length) });
        if self.blocks.0.len() >= BLOCKS_MOST {
            self.blocks.0.clear();
        }
        self.blocks.0.insert(at, block.clone());
        Ok(block)
    }

    /// Exactly `length` bytes, which callers keep small.
    pub fn take(&mut self, cursor: &mut Cursor, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let block = self.metadata(cursor.block, cursor.end)?;
            if cursor.offset > block.bytes.len() {
                return Err(Error::corrupt(cursor.block, "a reference leads beyond a block of metadata"));
            }
            let piece = part(&block.bytes, cursor.offset, length - bytes.len());
            cursor.offset += piece.len();
            bytes.extend_from_slice(piece);
            if bytes.len() < length {
                (cursor.block, cursor.offset) = (block.next, 0);
            }
        }
        Ok(bytes)
    }

    /// An entry of a table that is a list of places of blocks of metadata: `length` bytes each, a divisor of 8 KiB.
    pub fn entry(&mut self, table: u64, index: u64, length: usize) -> Result<Vec<u8>> {
        let at = index.saturating_mul(length as u64);
        let place = table.saturating_add(at / BLOCK as u64 * 8);
        let block = u64_at(&self.device_bytes(place, 8)?, 0);
        let mut cursor = Cursor::new(block, (at % BLOCK as u64) as u16, self.superblock.size);
        self.take(&mut cursor, length)
    }

    /// Bytes of the device, which are at most those of a block of content.
    pub fn device_bytes(&self, at: u64, length: u32) -> Result<Vec<u8>> {
        if at.checked_add(length.into()).is_none_or(|end| end > self.superblock.size) {
            return Err(Error::corrupt(at, format!("{length} bytes lie beyond the file system's end")));
        }
        self.device.read(at, length)
    }
}
