//! monolithicSparse, and each file of twoGbMaxExtentSparse: all tables in front of the grains, twice, as VMware lays
//! them out.
//!
//! ```text
//! | header | descriptor, if it is embedded | redundant directory | redundant tables | directory | tables | grains |
//! ```
//!
//! Every directory entry leads to a table, so that VMware has only entries to set when the disk grows. Tables without
//! a grain are zero, which the new file is already; they are not written.

use crate::bytes::SECTOR;
use crate::hosted::{Header, TABLE_ENTRIES, flag};
use crate::map::{GRAIN_SECTORS, Map, TABLE_BYTES};
use crate::options::DESCRIPTOR_BYTES;

/// Bytes of one page.
const PAGE: u64 = 1 << 20;
const TABLE_SECTORS: u64 = TABLE_BYTES / SECTOR;
/// Tables of one page.
const PAGE_TABLES: u64 = PAGE / TABLE_BYTES;

/// Where the tables are, in sectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monolithic {
    capacity: u64,
    entries: u64,
    /// 0 where it is a file of its own.
    descriptor: u64,
    directories: [u64; 2],
    pub(crate) first_grain: u64,
}

impl Monolithic {
    pub(crate) fn new(capacity: u64, embedded: bool) -> Self {
        let entries = capacity.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES);
        let descriptor = if embedded { DESCRIPTOR_BYTES as u64 / SECTOR } else { 0 };
        let redundant = 1 + descriptor;
        let length = (entries * 4).div_ceil(SECTOR) + entries * TABLE_SECTORS;
        let first_grain = (redundant + 2 * length).next_multiple_of(GRAIN_SECTORS);
        Self { capacity, entries, descriptor, directories: [redundant, redundant + length], first_grain }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            version: 1,
            flags: flag::NEWLINES | flag::REDUNDANT,
            capacity: self.capacity,
            grain: GRAIN_SECTORS,
            descriptor: u64::from(self.descriptor > 0),
            descriptor_size: self.descriptor,
            table_entries: TABLE_ENTRIES,
            redundant_directory: self.directories[0],
            directory: self.directories[1],
            overhead: self.first_grain,
            unclean: false,
            newlines: true,
            compression: 0,
        }
    }

    /// First sector of the tables that a directory leads to.
    fn tables(&self, directory: u64) -> u64 {
        directory + (self.entries * 4).div_ceil(SECTOR)
    }

    /// Offset and bytes of a page; None behind the last. Pages of directories come first, then the tables in use.
    pub(crate) fn page(&self, mut number: u64, map: &Map) -> Option<(u64, Vec<u8>)> {
        let directory_pages = (self.entries * 4).div_ceil(PAGE);
        for directory in self.directories {
            if number < directory_pages {
                return Some(self.directory_page(directory, number));
            }
            number -= directory_pages;
        }
        let numbers: Vec<u32> = map.tables().collect();
        let groups: Vec<&[u32]> = numbers.chunk_by(|one, two| page_of(*one) == page_of(*two)).collect();
        let count = groups.len() as u64;
        let directory = *self.directories.get((number.checked_div(count)?) as usize)?;
        let at = (number % count) as usize;
        let skipped = groups.iter().take(at).map(|group| group.len()).sum();
        let group = groups.get(at)?;
        Some(self.tables_page(directory, group, skipped, map))
    }

    fn directory_page(&self, directory: u64, number: u64) -> (u64, Vec<u8>) {
        let first = number * PAGE / 4;
        let last = self.entries.min(first + PAGE / 4);
        let table = |entry: u64| self.tables(directory) + entry * TABLE_SECTORS;
        let bytes = (first..last).flat_map(|entry| (table(entry) as u32).to_le_bytes()).collect();
        (directory * SECTOR + number * PAGE, bytes)
    }

    /// The tables from the first to the last of `group`, whose rank among those in use is `rank`.
    fn tables_page(&self, directory: u64, group: &[u32], rank: usize, map: &Map) -> (u64, Vec<u8>) {
        let first = group.first().copied().unwrap_or(0);
        let mut bytes = Vec::new();
        for (number, rank) in group.iter().zip(rank..) {
            bytes.resize((u64::from(number - first) * TABLE_BYTES) as usize, 0);
            bytes.extend(map.table(rank));
        }
        ((self.tables(directory) + u64::from(first) * TABLE_SECTORS) * SECTOR, bytes)
    }
}

fn page_of(table: u32) -> u64 {
    u64::from(table) / PAGE_TABLES
}
