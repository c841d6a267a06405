//! Placement: a new image, fixed or dynamic.
//!
//! ```text
//! fixed:   | data at its own offset | footer |
//! dynamic: | footer copy | dynamic header | table | (bitmap | data)... | footer |
//! ```
//!
//! Each block's data begins at a multiple of 4096, its bitmap in the sector before, so that the host can write past its
//! cache.

use crate::bitmaps::UNUSED;
use crate::footer::{Footer, Geometry, Kind, LENGTH, SECTOR};
use crate::header::{self, Header};
use crate::options::Options;
use wherry_sdk::format::{Codec, Ending, Patch, Shape, Unit};
use wherry_sdk::image::{Blocks, Uuid};
use wherry_sdk::{Fact, FormatWriter, Result};

/// The specification's default, and the only one that others are sure to read.
const BLOCK: u64 = 2 << 20;
const FIXED_UNIT: u32 = 64 << 10;
/// What data begins at multiples of.
const PAGE: u64 = 4096;
const STRIDE: u64 = BLOCK + PAGE;
const TABLE: u64 = LENGTH + header::LENGTH;
/// Table entries, and bitmaps, of 1 MiB.
const ENTRIES: u64 = 1 << 18;
const BITMAPS: u64 = 1 << 11;

/// A VHD image in the making.
pub struct Writer {
    options: Options,
    size: u64,
    blocks: Blocks,
}

impl FormatWriter for Writer {
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self> {
        let options = Options::read(options)?;
        let size = options.size(virtual_size)?;
        let unit = if options.fixed { FIXED_UNIT } else { BLOCK as u32 };
        Ok(Self { options, size, blocks: Blocks::new(size, unit.into(), unit) })
    }

    fn shape(&self) -> Shape {
        let unit = if self.options.fixed { FIXED_UNIT } else { BLOCK as u32 };
        Shape { unit, codec: Codec::None, level: 0, align: 1, plain_if_larger: false, lead: 0 }
    }

    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let place = |unit: &Unit| {
            let (number, _) = self.blocks.place(unit)?;
            let fixed = self.options.fixed;
            Ok(if fixed { unit.index * u64::from(FIXED_UNIT) } else { self.data(number) })
        };
        units.iter().map(place).collect()
    }

    fn finish(&mut self, page: u32) -> Result<Ending> {
        let page = u64::from(page);
        let (tables, bitmaps) = match self.options.fixed {
            true => (0, 0),
            false => (self.entries().div_ceil(ENTRIES), self.blocks.count().div_ceil(BITMAPS)),
        };
        let patches = if page < tables {
            vec![self.table(page * ENTRIES)]
        } else if page < tables + bitmaps {
            let first = (page - tables) * BITMAPS;
            let numbers = first..self.blocks.count().min(first + BITMAPS);
            let bitmap =
                |number| Patch { offset: self.data(number) - SECTOR, bytes: vec![0xff; SECTOR as usize] };
            numbers.map(bitmap).collect()
        } else {
            self.footers()
        };
        Ok(Ending { patches, length: self.end() + LENGTH, more: page < tables + bitmaps })
    }
}

impl Writer {
    fn entries(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    fn table_end(&self) -> u64 {
        TABLE + (self.entries() * 4).next_multiple_of(SECTOR)
    }

    /// Offset of the data of the block of this number.
    fn data(&self, number: u64) -> u64 {
        (self.table_end() + SECTOR).next_multiple_of(PAGE) + number * STRIDE
    }

    /// Where the footer goes.
    fn end(&self) -> u64 {
        match self.blocks.count().checked_sub(1) {
            _ if self.options.fixed => self.size,
            Some(last) => self.data(last) + BLOCK,
            None => self.table_end(),
        }
    }

    /// Entries from `first` on; what fills the last sector is unused too.
    fn table(&self, first: u64) -> Patch {
        let count = ENTRIES.min((self.table_end() - TABLE) / 4 - first);
        let sector = |number| ((self.data(number) - SECTOR) / SECTOR) as u32;
        let entries = self.blocks.numbers(first).take(count as usize);
        let bytes = entries.flat_map(|number| number.map_or(UNUSED, sector).to_be_bytes()).collect();
        Patch { offset: TABLE + first * 4, bytes }
    }

    /// With the creator of Hyper-V: one by which QEMU takes the size from the footer and not from the geometry.
    fn footers(&self) -> Vec<Patch> {
        let footer = Footer {
            kind: if self.options.fixed { Kind::Fixed } else { Kind::Dynamic },
            header: if self.options.fixed { u64::MAX } else { LENGTH },
            time: self.options.time,
            creator: *b"win ",
            size: self.size,
            geometry: Geometry::of(self.size / SECTOR),
            uuid: self.options.uuid,
            saved_state: false,
        };
        let footer = footer.encode();
        let last = Patch { offset: self.end(), bytes: footer.clone() };
        if self.options.fixed {
            return vec![last];
        }
        let header = Header {
            table: TABLE,
            entries: self.entries(),
            block: BLOCK,
            parent: Uuid::NIL,
            parent_name: String::new(),
            locators: Vec::new(),
        };
        vec![last, Patch { offset: LENGTH, bytes: header.encode() }, Patch { offset: 0, bytes: footer }]
    }
}
