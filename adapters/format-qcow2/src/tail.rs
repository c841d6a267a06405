//! What is written behind the data: L2 tables, L1 table, refcount blocks, refcount table.

use crate::header::{REFCOUNT_TABLE_BYTES_MOST, Table};
use crate::map::Map;
use crate::placement::{Placement, REFCOUNT_ORDER};
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes of tables in one page.
pub(crate) const PAGE: u64 = 1 << 20;

/// Where the tables go.
pub(crate) struct Tail {
    cluster_bits: u32,
    l2_offset: u64,
    l1: Table,
    blocks_offset: u64,
    blocks: u64,
    refcount_table_offset: u64,
    end: u64,
}

impl Tail {
    /// Behind what is placed; the refcount blocks count themselves.
    pub(crate) fn new(cluster_bits: u32, l1_entries: u64, map: &Map, placement: &Placement) -> Result<Self> {
        let clusters = |bytes: u64| bytes.div_ceil(1 << cluster_bits);
        let per_block = 1u64 << (cluster_bits + 3 - REFCOUNT_ORDER);
        let l2 = placement.clusters();
        let l1 = l2 + map.tables();
        let first_block = l1 + clusters(l1_entries * 8);
        let (mut blocks, mut end) = (0, first_block);
        while end > blocks * per_block {
            blocks = end.div_ceil(per_block);
            end = first_block + blocks + clusters(blocks * 8);
        }
        if clusters(blocks * 8) << cluster_bits > REFCOUNT_TABLE_BYTES_MOST {
            let message = "the refcount table would exceed 8 MiB: choose a larger `cluster-size`";
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        Ok(Self {
            cluster_bits,
            l2_offset: l2 << cluster_bits,
            l1: Table { offset: l1 << cluster_bits, entries: l1_entries },
            blocks_offset: first_block << cluster_bits,
            blocks,
            refcount_table_offset: (first_block + blocks) << cluster_bits,
            end: end << cluster_bits,
        })
    }

    /// Bytes of the complete file.
    pub(crate) fn length(&self) -> u64 {
        self.end
    }

    /// Pages of tables.
    pub(crate) fn pages(&self) -> u64 {
        (self.end - self.l2_offset).div_ceil(PAGE)
    }

    /// The L1 table; at 0 if it has no entries.
    pub(crate) fn l1(&self) -> Table {
        if self.l1.entries == 0 { Table { offset: 0, entries: 0 } } else { self.l1 }
    }

    /// The refcount table, in whole clusters.
    pub(crate) fn refcount_table(&self) -> Table {
        let offset = self.refcount_table_offset;
        Table { offset, entries: (self.end - offset) / 8 }
    }

    /// Offset and bytes of a page of tables.
    pub(crate) fn page(&self, number: u64, map: &Map, placement: &Placement) -> (u64, Vec<u8>) {
        let start = self.l2_offset + number * PAGE;
        let end = self.end.min(start + PAGE);
        let mut bytes = vec![0; (end - start) as usize];
        let mut section = |from: u64, to: u64, write: &dyn Fn(u64, &mut [u8])| {
            let (low, high) = (from.max(start), to.min(end));
            if low < high
                && let Some(out) = bytes.get_mut((low - start) as usize..(high - start) as usize)
            {
                write(low - from, out);
            }
        };
        section(self.l2_offset, self.l1.offset, &|at, out| map.write_l2(at, out));
        section(self.l1.offset, self.blocks_offset, &|at, out| map.write_l1(at, self.l2_offset, out));
        section(self.blocks_offset, self.refcount_table_offset, &|at, out| {
            self.write_refcounts(at, placement, out);
        });
        section(self.refcount_table_offset, self.end, &|at, out| self.write_refcount_table(at, out));
        (start, bytes)
    }

    fn write_refcounts(&self, start: u64, placement: &Placement, out: &mut [u8]) {
        let clusters = self.end >> self.cluster_bits;
        for (cluster, count) in (start / 2..clusters).zip(out.chunks_exact_mut(2)) {
            count.copy_from_slice(&placement.refcount(cluster).to_be_bytes());
        }
    }

    fn write_refcount_table(&self, start: u64, out: &mut [u8]) {
        for (block, entry) in (start / 8..self.blocks).zip(out.chunks_exact_mut(8)) {
            let offset = self.blocks_offset + (block << self.cluster_bits);
            entry.copy_from_slice(&offset.to_be_bytes());
        }
    }
}
