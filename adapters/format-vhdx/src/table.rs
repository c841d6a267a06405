//! The block allocation table (2.5): payload blocks by chunks, behind each chunk the entry of its sector bitmap.

use crate::header::Region;
use wherry_sdk::bytes::little;
use wherry_sdk::image::Window;
use wherry_sdk::{Blob, Error, Result};

/// Bytes of an entry.
pub(crate) const ENTRY: u64 = 8;
/// Sectors that one sector bitmap block of 1 MiB describes (2.4).
const CHUNK_SECTORS: u64 = 1 << 23;
/// State of an entry whose block is in the file.
pub(crate) const FULLY_PRESENT: u64 = 6;

/// Where a payload block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The parent's, or zero without one.
    Inherited,
    Zero,
    /// At this offset.
    Full(u64),
    /// At this offset where the sector bitmap says so, else the parent's.
    Partial(u64),
}

/// Geometry of a table.
pub(crate) struct Table {
    /// Payload blocks of a chunk.
    pub(crate) ratio: u64,
    pub(crate) blocks: u64,
}

impl Table {
    /// For a disk of `size` bytes in blocks of `block` bytes.
    pub(crate) fn new(size: u64, block: u64, sector: u64) -> Self {
        Self { ratio: CHUNK_SECTORS * sector / block, blocks: size.div_ceil(block) }
    }

    /// Entries in use; with a parent, all sector bitmaps are.
    pub(crate) fn entries(&self, has_parent: bool) -> u64 {
        let last = self.blocks.saturating_sub(1);
        match has_parent {
            true => self.blocks.div_ceil(self.ratio) * (self.ratio + 1),
            false => self.blocks + last / self.ratio,
        }
    }

    /// The number of the payload block whose entry has this number; none for a sector bitmap.
    pub(crate) fn block(&self, entry: u64) -> Option<u64> {
        let (chunk, at) = (entry / (self.ratio + 1), entry % (self.ratio + 1));
        (at < self.ratio).then(|| chunk * self.ratio + at)
    }

    /// Number of the entry of payload block `number`.
    fn payload(&self, number: u64) -> u64 {
        number + number / self.ratio
    }

    /// Number of the entry of the sector bitmap of payload block `number`.
    fn bitmap(&self, number: u64) -> u64 {
        number / self.ratio * (self.ratio + 1) + self.ratio
    }
}

/// A table as it is read, from front to back.
pub(crate) struct Entries {
    pub(crate) table: Table,
    region: Region,
    window: Window,
}

impl Entries {
    /// Of an image whose table is at `region`.
    pub(crate) fn new(table: Table, region: Region) -> Self {
        Self { table, region, window: Window::default() }
    }

    fn entry(&mut self, number: u64, image: &dyn Blob) -> Result<u64> {
        let at = self.region.offset + number * ENTRY;
        Ok(little(self.window.field(image, at, ENTRY as usize)?, 0, ENTRY as usize))
    }

    /// The state of payload block `number`.
    pub(crate) fn payload(&mut self, number: u64, image: &dyn Blob) -> Result<Payload> {
        let entry = self.entry(self.table.payload(number), image)?;
        let offset = offset(entry);
        Ok(match entry & 7 {
            0 => Payload::Inherited,
            // Undefined, zero, unmapped, and unmapped of version 0.95 as QEMU knows it: zero is what all of them allow.
            1 | 2 | 3 | 5 => Payload::Zero,
            FULLY_PRESENT => Payload::Full(offset),
            7 => Payload::Partial(offset),
            state => return Err(self.corrupt(format!("block {number} has the unknown state {state}"))),
        })
    }

    /// The offset of the sector bitmap block of payload block `number`.
    pub(crate) fn bitmap(&mut self, number: u64, image: &dyn Blob) -> Result<u64> {
        let entry = self.entry(self.table.bitmap(number), image)?;
        if entry & 7 != FULLY_PRESENT {
            return Err(self.corrupt(format!("block {number} is partly present, but has no sector bitmap")));
        }
        Ok(offset(entry))
    }

    /// A contradiction that the table holds.
    pub(crate) fn corrupt(&self, message: String) -> Error {
        Error::corrupt(self.region.offset, message)
    }
}

/// 44 bits of whole MiB.
fn offset(entry: u64) -> u64 {
    entry >> 20 << 20
}
