//! streamOptimized: what can be written front to back, each part behind a marker (the specification, "Stream-Optimized
//! Compressed").
//!
//! ```text
//! | header | descriptor | to 64 KiB | grains | grain tables | grain directory | footer | end of stream |
//! ```
//!
//! The header says "at the end" for the directory; the footer is a header that knows.

use crate::bytes::SECTOR;
use crate::hosted::{AT_END, Header, TABLE_ENTRIES, flag};
use crate::map::{GRAIN_SECTORS, Map, TABLE_BYTES};
use crate::options::DESCRIPTOR_BYTES;

/// Bytes of one page.
const PAGE: u64 = 1 << 20;
/// A table and its marker.
const MARKED_TABLE: u64 = SECTOR + TABLE_BYTES;
/// Sectors in front of the grains: "128 is almost guaranteed to be enough", says the specification.
pub(crate) const FIRST_GRAIN: u64 = 128;

/// Marker types.
const GRAIN_TABLE: u32 = 1;
const GRAIN_DIRECTORY: u32 = 2;
const FOOTER: u32 = 3;

/// What is written behind the grains.
pub(crate) struct Stream {
    capacity: u64,
    /// Byte behind the last grain.
    start: u64,
    tables: u64,
}

impl Stream {
    /// `end`: sector behind the last grain.
    pub(crate) fn new(capacity: u64, end: u64, map: &Map) -> Self {
        Self { capacity, start: end * SECTOR, tables: map.tables().len() as u64 }
    }

    /// Entries of the directory.
    fn entries(&self) -> u64 {
        self.capacity.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES)
    }

    /// Where the directory's marker is.
    fn directory_marker(&self) -> u64 {
        self.start + self.tables * MARKED_TABLE
    }

    fn directory_sectors(&self) -> u64 {
        (self.entries() * 4).div_ceil(SECTOR)
    }

    /// Bytes of the complete file: footer marker, footer and end-of-stream marker come last.
    pub(crate) fn length(&self) -> u64 {
        self.directory_marker() + (1 + self.directory_sectors() + 3) * SECTOR
    }

    /// The leading header, or the footer.
    pub(crate) fn header(&self, footer: bool) -> Header {
        Header {
            version: 3,
            flags: flag::NEWLINES | flag::COMPRESSED | flag::MARKERS,
            capacity: self.capacity,
            grain: GRAIN_SECTORS,
            descriptor: 1,
            descriptor_size: DESCRIPTOR_BYTES as u64 / SECTOR,
            table_entries: TABLE_ENTRIES,
            redundant_directory: 0,
            directory: if footer { self.directory_marker() / SECTOR + 1 } else { AT_END },
            overhead: FIRST_GRAIN,
            unclean: false,
            newlines: true,
            compression: 1,
        }
    }

    /// Offset and bytes of a page of tables; None behind the last.
    pub(crate) fn page(&self, number: u64, map: &Map) -> Option<(u64, Vec<u8>)> {
        let page_tables = PAGE / MARKED_TABLE;
        let table_pages = self.tables.div_ceil(page_tables);
        if number < table_pages {
            let first = number * page_tables;
            let last = self.tables.min(first + page_tables);
            let bytes = (first..last).flat_map(|rank| {
                let mut bytes = marker(TABLE_BYTES / SECTOR, GRAIN_TABLE);
                bytes.extend(map.table(rank as usize));
                bytes
            });
            return Some((self.start + first * MARKED_TABLE, bytes.collect()));
        }
        let entries = PAGE / 4;
        let first = (number - table_pages) * entries;
        if first >= self.entries() {
            return None;
        }
        Some(self.directory_page(first, self.entries().min(first + entries), map))
    }

    /// Entries `first` to `last` of the directory, what is in front of the first and what is behind the last.
    fn directory_page(&self, first: u64, last: u64, map: &Map) -> (u64, Vec<u8>) {
        let mut entries = vec![0; ((last - first) * 4) as usize];
        for (number, rank) in map.tables().zip(0u64..) {
            let sector = (self.start + rank * MARKED_TABLE) / SECTOR + 1;
            let at = u64::from(number).checked_sub(first).map(|slot| slot as usize * 4);
            if let Some(entry) = at.and_then(|at| entries.get_mut(at..at + 4)) {
                entry.copy_from_slice(&(sector as u32).to_le_bytes());
            }
        }
        let start = self.directory_marker() + if first == 0 { 0 } else { SECTOR + first * 4 };
        let mut bytes =
            if first == 0 { marker(self.directory_sectors(), GRAIN_DIRECTORY) } else { Vec::new() };
        bytes.extend(entries);
        if last == self.entries() {
            bytes.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
            bytes.extend(marker(1, FOOTER));
            bytes.extend(self.header(true).encode());
            bytes.resize(bytes.len() + SECTOR as usize, 0);
        }
        (start, bytes)
    }
}

/// A metadata marker: sectors of what follows, size 0, type.
fn marker(sectors: u64, kind: u32) -> Vec<u8> {
    let mut bytes = sectors.to_le_bytes().to_vec();
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.resize(SECTOR as usize, 0);
    bytes
}
