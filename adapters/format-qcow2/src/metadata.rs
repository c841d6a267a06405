//! Where the image's tables are, so that no cluster is taken both for a table and for something else.

use crate::header::{Header, Table};
use crate::l2::{COPIED, Checked, OFFSET};
use crate::pages::entries;
use crate::refcounts::Refcounts;
use wherry_sdk::{Blob, Error, Result};

/// The L1 table, and the clusters of all tables.
pub(crate) struct Metadata {
    l1: Vec<u64>,
    /// Ordered numbers of clusters.
    occupied: Vec<u64>,
}

impl Metadata {
    /// Reads the L1 table and checks where it, the L2 tables and the refcounts are. `header` bounds all of them:
    /// 4 Mi L2 tables, 1 Mi refcount blocks.
    pub(crate) fn read(image: &dyn Blob, header: &Header, refcounts: Option<&Refcounts>) -> Result<Self> {
        let mut occupied = vec![0];
        for (name, table) in [("L1", header.l1), ("refcount", header.refcounts)] {
            occupied.extend(clusters(image, header, name, table)?);
        }
        occupied.extend(refcounts.into_iter().flat_map(Refcounts::clusters));
        let mut l1 = entries(image, header.l1)?;
        for (at, entry) in (header.l1.offset..).step_by(8).zip(&mut l1) {
            *entry = l2_offset(image, header, *entry).map_err(|what| {
                Error::corrupt(at, format!("an L1 entry 0x{entry:016x}: {what}; see `qemu-img check`"))
            })?;
            occupied.extend((*entry != 0).then_some(*entry >> header.cluster_bits));
        }
        occupied.sort_unstable();
        if let Some(pair) = occupied.array_windows().find(|[one, next]| one == next) {
            let at = pair[0] << header.cluster_bits;
            let message = format!("two tables share the cluster at {at}; see `qemu-img check`");
            return Err(Error::corrupt(at, message));
        }
        Ok(Self { l1, occupied })
    }

    /// Offset of an L2 table; 0 where nothing is allocated.
    pub(crate) fn l2_table(&self, index: u64) -> u64 {
        self.l1.get(index as usize).copied().unwrap_or(0)
    }

    /// The first of the clusters `first` to `last` that holds a table.
    pub(crate) fn table_within(&self, first: u64, last: u64) -> Option<u64> {
        let next = self.occupied.partition_point(|cluster| *cluster < first);
        self.occupied.get(next).copied().filter(|cluster| *cluster <= last)
    }
}

/// Clusters of a contiguous table, which must be in the file.
fn clusters(
    image: &dyn Blob,
    header: &Header,
    name: &str,
    table: Table,
) -> Result<impl Iterator<Item = u64> + use<>> {
    let size = header.cluster_size();
    let end = table.offset.saturating_add(table.entries * 8);
    if table.entries > 0 && (!table.offset.is_multiple_of(size) || end > image.size().next_multiple_of(size))
    {
        let message = format!("the {name} table at {} up to {end}: not clusters of this file", table.offset);
        return Err(Error::corrupt(table.offset, message));
    }
    let first = table.offset >> header.cluster_bits;
    Ok(first..first + (table.entries * 8).div_ceil(size))
}

fn l2_offset(image: &dyn Blob, header: &Header, entry: u64) -> Checked<u64> {
    let offset = entry & OFFSET;
    if entry & !(OFFSET | COPIED) != 0 {
        return Err("reserved bits are not zero");
    }
    if !offset.is_multiple_of(header.cluster_size()) {
        return Err("the L2 table is not aligned to a cluster");
    }
    if offset >= image.size() {
        return Err("the L2 table lies beyond the end of the file");
    }
    Ok(offset)
}
