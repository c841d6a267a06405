//! Where the grains of a new image went, in little memory: 12 bytes for each run of grains that are neighbours in the
//! disk and in the file; with compression 1 byte more for each grain of the tables that are in use.

use crate::hosted::TABLE_ENTRIES;
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes of a grain, and sectors.
pub(crate) const GRAIN: u64 = 64 << 10;
pub(crate) const GRAIN_SECTORS: u64 = GRAIN / 512;
/// Bytes of a grain table.
pub(crate) const TABLE_BYTES: u64 = TABLE_ENTRIES * 4;

/// Grains that are neighbours in the disk and in the file.
#[derive(Clone, Copy)]
struct Run {
    /// Entry of the table.
    slot: u16,
    count: u16,
    /// Of the first, in the file.
    sector: u32,
}

/// A grain table in the making.
struct Table {
    /// Entry of the directory.
    number: u32,
    /// In the order of their slots.
    runs: Vec<Run>,
    /// Sectors by slot; empty where all grains are whole.
    sizes: Vec<u8>,
}

/// All grain tables in the making.
#[derive(Default)]
pub(crate) struct Map {
    /// In the order of their numbers.
    tables: Vec<Table>,
    /// The newest grain, and the sector behind it.
    newest: Option<(u64, u32)>,
}

impl Map {
    /// Numbers of the tables in use.
    pub(crate) fn tables(&self) -> impl ExactSizeIterator<Item = u32> {
        self.tables.iter().map(|table| table.number)
    }

    /// Notes that grain `index` goes to `sector`, and how many sectors it takes; none goes twice.
    pub(crate) fn add(&mut self, index: u64, sector: u32, sectors: u8) -> Result<()> {
        let (number, slot) = ((index / TABLE_ENTRIES) as u32, (index % TABLE_ENTRIES) as u16);
        let goes_on =
            slot > 0 && index.checked_sub(1).is_some_and(|before| self.newest == Some((before, sector)));
        let at = match self.tables.binary_search_by_key(&number, |table| table.number) {
            Ok(at) => at,
            Err(at) => {
                self.tables.insert(at, Table { number, runs: Vec::new(), sizes: Vec::new() });
                at
            }
        };
        let Some(table) = self.tables.get_mut(at) else { return Ok(()) };
        if !table.add(slot, sector, goes_on) {
            let message = format!("unit {index} has been placed before: place each unit once");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if u64::from(sectors) != GRAIN_SECTORS || !table.sizes.is_empty() {
            table.sizes.resize(TABLE_ENTRIES as usize, GRAIN_SECTORS as u8);
        }
        if let Some(size) = table.sizes.get_mut(usize::from(slot)) {
            *size = sectors;
        }
        self.newest = Some((index, sector + u32::from(sectors)));
        Ok(())
    }

    /// The bytes of the table of rank `rank` among those in use.
    pub(crate) fn table(&self, rank: usize) -> Vec<u8> {
        let mut bytes = vec![0; TABLE_BYTES as usize];
        let Some(table) = self.tables.get(rank) else { return bytes };
        for run in &table.runs {
            let mut sector = run.sector;
            for slot in usize::from(run.slot)..usize::from(run.slot) + usize::from(run.count) {
                if let Some(entry) = bytes.get_mut(4 * slot..4 * slot + 4) {
                    entry.copy_from_slice(&sector.to_le_bytes());
                }
                sector += table.sizes.get(slot).map_or(GRAIN_SECTORS as u32, |size| u32::from(*size));
            }
        }
        bytes
    }
}

impl Table {
    /// Lengthens the run before `slot` if the grain `goes_on` there, else begins a run. False: it is there already.
    fn add(&mut self, slot: u16, sector: u32, goes_on: bool) -> bool {
        let next = self.runs.partition_point(|run| run.slot <= slot);
        let before = next.checked_sub(1).and_then(|at| self.runs.get_mut(at));
        match before {
            Some(run) if run.slot + run.count > slot => return false,
            Some(run) if goes_on => run.count += 1,
            _ => self.runs.insert(next, Run { slot, count: 1, sector }),
        }
        true
    }
}
