//! Where the units of a new image went, in little memory: 16 bytes for each run of units that are neighbours in the
//! disk and in the file; with compression 2 bytes more for each unit of the L2 tables that are in use.

use crate::l2::{self, Checked};
use wherry_sdk::{Error, ErrorKind, Result};

/// Set in a run's offset: its units are compressed.
const PACKED: u64 = 1 << 63;

/// Units that are neighbours in the disk and in the file.
#[derive(Clone, Copy)]
struct Run {
    /// Entry of the L2 table.
    slot: u32,
    count: u32,
    /// Offset in the file of the first, and [`PACKED`].
    host: u64,
}

/// An L2 table in the making.
struct Table {
    /// Entry of the L1 table.
    number: u64,
    /// In the order of their slots.
    runs: Vec<Run>,
    /// By slot, for compressed units: stored length in steps, less one. Empty while there are none.
    sizes: Vec<u16>,
}

/// A unit's place in the file.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) host: u64,
    /// Bytes in the file, padding included.
    pub(crate) length: u64,
    pub(crate) packed: bool,
}

/// All L2 tables in the making.
pub(crate) struct Map {
    cluster_bits: u32,
    /// What compressed lengths are multiples of.
    step: u64,
    /// In the order of their numbers.
    tables: Vec<Table>,
    /// The newest unit and its place.
    newest: Option<(u64, Spot)>,
}

impl Map {
    /// `step`: at least a 65,536th of a cluster.
    pub(crate) fn new(cluster_bits: u32, step: u64) -> Self {
        Self { cluster_bits, step, tables: Vec::new(), newest: None }
    }

    /// L2 tables that are needed.
    pub(crate) fn tables(&self) -> u64 {
        self.tables.len() as u64
    }

    fn slot_bits(&self) -> u32 {
        self.cluster_bits - 3
    }

    /// Notes where a unit goes; none goes twice.
    pub(crate) fn add(&mut self, index: u64, spot: Spot) -> Result<()> {
        let slots = 1u64 << self.slot_bits();
        let (number, slot) = (index / slots, (index % slots) as u32);
        let goes_on = self.newest.replace((index, spot)).is_some_and(|(before, last)| {
            before + 1 == index
                && slot > 0
                && last.host + last.length == spot.host
                && last.packed == spot.packed
        });
        let at = match self.tables.binary_search_by_key(&number, |table| table.number) {
            Ok(at) => at,
            Err(at) => {
                self.tables.insert(at, Table { number, runs: Vec::new(), sizes: Vec::new() });
                at
            }
        };
        let Some(table) = self.tables.get_mut(at) else { return Ok(()) };
        if spot.packed {
            table.sizes.resize(slots as usize, 0);
            if let Some(size) = table.sizes.get_mut(slot as usize) {
                *size = (spot.length / self.step - 1) as u16;
            }
        }
        table.add(slot, spot, goes_on).map_err(|what| {
            Error::new(ErrorKind::InvalidInput, format!("unit {index} {what}: place each unit once"))
        })
    }

    /// Writes part of the L2 tables, which follow each other in the file, from byte `start` on.
    pub(crate) fn write_l2(&self, start: u64, out: &mut [u8]) {
        let size = 1u64 << self.cluster_bits;
        let end = start + out.len() as u64;
        let first = start / size;
        for (rank, table) in (first..end.div_ceil(size)).zip(self.tables.iter().skip(first as usize)) {
            let (from, to) = (start.max(rank * size), end.min((rank + 1) * size));
            if let Some(out) = out.get_mut((from - start) as usize..(to - start) as usize) {
                self.write_table(table, (from - rank * size) / 8, out);
            }
        }
    }

    /// Entries from `first` on.
    fn write_table(&self, table: &Table, first: u64, out: &mut [u8]) {
        for run in &table.runs {
            let mut host = run.host & !PACKED;
            for slot in u64::from(run.slot)..u64::from(run.slot) + u64::from(run.count) {
                let length = if run.host & PACKED == 0 {
                    1 << self.cluster_bits
                } else {
                    (table.sizes.get(slot as usize).map_or(0, |size| u64::from(*size)) + 1) * self.step
                };
                if slot >= first
                    && let Some(word) = word(out, slot - first)
                {
                    let packed = run.host & PACKED != 0;
                    let entry =
                        if packed { l2::packed(self.cluster_bits, host, length) } else { l2::stored(host) };
                    word.copy_from_slice(&entry.to_be_bytes());
                }
                host += length;
            }
        }
    }

    /// Writes part of the L1 table from byte `start` on; the L2 tables are at `l2_offset`.
    pub(crate) fn write_l1(&self, start: u64, l2_offset: u64, out: &mut [u8]) {
        let first = start / 8;
        let skipped = self.tables.partition_point(|table| table.number < first);
        for (rank, table) in (0u64..).zip(&self.tables).skip(skipped) {
            let Some(word) = word(out, table.number - first) else { break };
            word.copy_from_slice(&l2::stored(l2_offset + (rank << self.cluster_bits)).to_be_bytes());
        }
    }
}

fn word(bytes: &mut [u8], number: u64) -> Option<&mut [u8]> {
    let at = (number as usize).checked_mul(8)?;
    bytes.get_mut(at..at + 8)
}

impl Table {
    /// Lengthens the run before `slot` if the unit `goes_on` there, else begins a run.
    fn add(&mut self, slot: u32, spot: Spot, goes_on: bool) -> Checked<()> {
        let next = self.runs.partition_point(|run| run.slot <= slot);
        let before = next.checked_sub(1).and_then(|at| self.runs.get_mut(at));
        match before {
            Some(run) if run.slot + run.count > slot => return Err("has been placed before"),
            Some(run) if goes_on => run.count += 1,
            _ => {
                let host = if spot.packed { spot.host | PACKED } else { spot.host };
                self.runs.insert(next, Run { slot, count: 1, host });
            }
        }
        Ok(())
    }
}
