//! From L1 and L2 tables to extents, each reference checked.

use crate::header::{Header, incompatible};
use crate::l2::{self, Mapping, SUBCLUSTERS};
use crate::metadata::Metadata;
use crate::pages::Pages;
use crate::refcounts::Refcounts;
use wherry_sdk::format::{Extent, Place};
use wherry_sdk::image::Extents;
use wherry_sdk::{Blob, Error, Result};

/// Table entries that one call looks at: 32 MiB of L2 tables.
const ENTRIES_MOST: u32 = 4 << 20;
/// 64 pages of 64 KiB.
const L2_PAGE: u64 = 64 << 10;
const L2_PAGES: usize = 64;

/// The tables of an image that can be read.
pub(crate) struct Tables {
    image: Box<dyn Blob>,
    /// Bytes of the parent.
    parent: Option<u64>,
    header: Header,
    metadata: Metadata,
    /// None where they may be stale.
    refcounts: Option<Refcounts>,
    l2: Pages,
}

impl Tables {
    pub(crate) fn read(image: Box<dyn Blob>, parent: Option<u64>, header: Header) -> Result<Self> {
        let counted = !header.has(incompatible::DIRTY);
        let refcounts = if counted { Some(Refcounts::read(image.as_ref(), &header)?) } else { None };
        let metadata = Metadata::read(image.as_ref(), &header, refcounts.as_ref())?;
        let l2 = Pages::new(L2_PAGE, L2_PAGES);
        Ok(Self { image, parent, header, metadata, refcounts, l2 })
    }

    pub(crate) fn image(&self) -> &dyn Blob {
        self.image.as_ref()
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// At most `most` extents from `start` on, at least one before the end of the disk. What is not allocated at
    /// all takes one step for each L1 entry.
    pub(crate) fn extents(&mut self, start: u64, most: usize) -> Result<Vec<Extent>> {
        let (size, cluster_size) = (self.header.size, self.header.cluster_size());
        let coverage = self.header.l2_coverage();
        let mut found = Extents::new(start, size, self.image.size(), self.parent.map(|size| (1, size)));
        let mut at = if start < size { start - start % cluster_size } else { size };
        let mut budget = ENTRIES_MOST;
        let mut checked = None;
        while at < size && found.count() <= most && budget > 0 {
            budget -= 1;
            let table = self.metadata.l2_table(at / coverage);
            if table == 0 {
                let end = (at - at % coverage + coverage).min(size);
                found.inherited(at, end - at);
                at = end;
                continue;
            }
            if checked.replace(table) != Some(table) {
                self.check_counted(table, 1, table)?;
            }
            self.cluster(table, at, &mut found)?;
            at = (at + cluster_size).min(size);
        }
        Ok(found.take(most))
    }

    /// Adds the cluster at `logical`, which the L2 table at `table` maps.
    fn cluster(&mut self, table: u64, logical: u64, found: &mut Extents) -> Result<()> {
        let size = self.header.cluster_size();
        let entry_size = self.header.l2_entry_size();
        let at = table + logical % self.header.l2_coverage() / size * entry_size;
        let entry = self.l2.number(self.image.as_ref(), at, 8)?;
        let bitmap =
            if entry_size == 16 { Some(self.l2.number(self.image.as_ref(), at + 8, 8)?) } else { None };
        let mapping = l2::decode(&self.header, entry, bitmap).map_err(|what| {
            let message = format!("the L2 entry of disk byte {logical} has {what}; see `qemu-img check`");
            Error::corrupt(at, message)
        })?;
        match mapping {
            Mapping::Unallocated => found.inherited(logical, size),
            Mapping::Zero => found.zero(logical, size),
            Mapping::Stored { host } => {
                self.check_data(host, size, at)?;
                found.stored(logical, size, host);
            }
            Mapping::Compressed { host, length } => {
                // The last sector of the file may be cut.
                let length = length.min(self.image.size().saturating_sub(host));
                self.check_data(host, length, at)?;
                let at = Place::Compressed((self.header.codec(), host, length));
                found.packed(logical, size, at);
            }
            Mapping::Subclusters { host, allocated, zero } => {
                if allocated != 0 {
                    self.check_data(host, size, at)?;
                }
                for number in 0..SUBCLUSTERS {
                    let (from, length) = (number * (size / SUBCLUSTERS), size / SUBCLUSTERS);
                    match (allocated >> number & 1, zero >> number & 1) {
                        (1, _) => found.stored(logical + from, length, host + from),
                        (_, 1) => found.zero(logical + from, length),
                        _ => found.inherited(logical + from, length),
                    }
                }
            }
        }
        Ok(())
    }

    /// Data must be in the file, in clusters that are counted as used and hold no table. `at`: who refers to it.
    fn check_data(&mut self, host: u64, length: u64, at: u64) -> Result<()> {
        if host >= self.image.size() {
            let message = format!("data at {host} lies beyond the file's {} bytes", self.image.size());
            return Err(Error::corrupt(at, message));
        }
        let (first, last) = self.clusters(host, length);
        if let Some(table) = self.metadata.table_within(first, last) {
            let table = table << self.header.cluster_bits;
            let message = format!("data at {host} is in the cluster at {table}, which holds a table");
            return Err(Error::corrupt(at, message + "; see `qemu-img check`"));
        }
        self.check_counted(host, length, at)
    }

    fn check_counted(&mut self, host: u64, length: u64, at: u64) -> Result<()> {
        let (first, last) = self.clusters(host, length);
        let Some(refcounts) = &mut self.refcounts else { return Ok(()) };
        for cluster in first..=last {
            if refcounts.of(self.image.as_ref(), cluster)? == 0 {
                let host = cluster << self.header.cluster_bits;
                let message = format!("the cluster at {host} is used, but counted as free");
                return Err(Error::corrupt(at, message + "; see `qemu-img check`"));
            }
        }
        Ok(())
    }

    /// The first and the last cluster of a range in the file.
    fn clusters(&self, host: u64, length: u64) -> (u64, u64) {
        (host >> self.header.cluster_bits, (host + length.max(1) - 1) >> self.header.cluster_bits)
    }
}
