//! Placement: a new image, fixed or dynamic.
//!
//! ```text
//! | identifier, headers, region tables | log, empty | metadata | table | blocks |
//! 0                                  1 MiB        2 MiB      3 MiB
//! ```

use crate::header::{HEADERS, Header, Region, identifier};
use crate::metadata::Metadata;
use crate::options::Options;
use crate::regions::{self, Regions, TABLES};
use crate::table::{ENTRY, FULLY_PRESENT, Table};
use wherry_sdk::format::{Codec, Ending, Patch, Shape, Unit};
use wherry_sdk::image::{Blocks, Uuid};
use wherry_sdk::{Fact, FormatWriter, Result};

/// Divides every block; what is zero in a block stays a hole of the file.
const UNIT: u32 = 64 << 10;
/// Table entries of 1 MiB.
const PAGE: u64 = (1 << 20) / ENTRY;
const CREATOR: &str = concat!("Wherry ", env!("CARGO_PKG_VERSION"));

/// A VHDX image in the making.
pub struct Writer {
    metadata: Metadata,
    data_uuid: Uuid,
    log: Region,
    regions: Regions,
    table: Table,
    blocks: Blocks,
}

impl FormatWriter for Writer {
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self> {
        let options = Options::read(options)?;
        let size = options.size(virtual_size)?;
        let metadata = Metadata {
            block: options.block(size),
            fixed: options.fixed,
            has_parent: false,
            size,
            sector: options.sector,
            physical: options.physical(),
            id: options.uuid,
            locator: Vec::new(),
        };
        let table = Table::new(size, metadata.block, metadata.sector);
        let (log, regions) = regions::new(table.entries(false) * ENTRY);
        let blocks = Blocks::new(size, metadata.block, UNIT);
        Ok(Self { metadata, data_uuid: options.data_uuid(), log, regions, table, blocks })
    }

    fn shape(&self) -> Shape {
        Shape { unit: UNIT, codec: Codec::None, level: 0, align: 1, plain_if_larger: false, lead: 0 }
    }

    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let place = |unit: &Unit| {
            let (number, within) = self.blocks.place(unit)?;
            let block = u64::from(UNIT) * unit.index / self.metadata.block;
            Ok(self.data(if self.metadata.fixed { block } else { number }) + within)
        };
        units.iter().map(place).collect()
    }

    fn finish(&mut self, page: u32) -> Result<Ending> {
        let (first, entries) = (u64::from(page) * PAGE, self.table.entries(false));
        let more = first < entries;
        let patches = if more { vec![self.entries(first, PAGE.min(entries - first))] } else { self.front() };
        let blocks = if self.metadata.fixed { self.table.blocks } else { self.blocks.count() };
        Ok(Ending { patches, length: self.data(blocks), more })
    }
}

impl Writer {
    /// Offset of the block of this number.
    fn data(&self, number: u64) -> u64 {
        self.regions.bat.offset + self.regions.bat.length + number * self.metadata.block
    }

    /// `count` table entries from `first` on; those of sector bitmaps are zero.
    fn entries(&self, first: u64, count: u64) -> Patch {
        // How many payload entries come before.
        let before = first - first / (self.table.ratio + 1);
        let mut numbers = self.blocks.numbers(before);
        let entry = |entry: u64| {
            let Some(block) = self.table.block(entry) else { return 0 };
            let number = numbers.next().flatten();
            let number = if self.metadata.fixed { Some(block) } else { number };
            number.map_or(0, |number| self.data(number) | FULLY_PRESENT)
        };
        let bytes = (first..first + count).map(entry).flat_map(u64::to_le_bytes).collect();
        Patch { offset: self.regions.bat.offset + first * ENTRY, bytes }
    }

    /// Everything in front of the table; what makes it an image comes last.
    fn front(&self) -> Vec<Patch> {
        let header = |sequence| {
            Header { sequence, data_write: self.data_uuid, log_guid: Uuid::NIL, log: self.log }.encode()
        };
        let patch = |offset, bytes| Patch { offset, bytes };
        let ([table, copy], [old, new]) = (TABLES, HEADERS);
        vec![
            patch(self.regions.metadata.offset, self.metadata.encode()),
            patch(table, self.regions.encode()),
            patch(copy, self.regions.encode()),
            patch(old, header(1)),
            patch(new, header(2)),
            patch(0, identifier(CREATOR)),
        ]
    }
}
