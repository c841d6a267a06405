//! Reference counts (docs/interop/qcow2, "Host cluster management").

use crate::header::Header;
use crate::pages::{Pages, entries};
use wherry_sdk::{Blob, Error, Result};

/// A page of 4 KiB counts the references of 128 MiB of file, where clusters have 64 KiB and counts 16 bits.
const PAGE: u64 = 4 << 10;
/// 16 MiB in all.
const PAGES: usize = 4096;

/// The refcount table, and pages of its blocks.
pub(crate) struct Refcounts {
    /// Offsets of the refcount blocks, 0 where there is none.
    blocks: Vec<u64>,
    cluster_bits: u32,
    order: u32,
    pages: Pages,
}

impl Refcounts {
    /// Reads the table; `header` bounds it to 8 MiB.
    pub(crate) fn read(image: &dyn Blob, header: &Header) -> Result<Self> {
        let blocks = entries(image, header.refcounts)?;
        for (index, block) in blocks.iter().enumerate() {
            if block % header.cluster_size() != 0 || *block >= image.size() {
                let message = format!("a refcount block at {block}: not a cluster of this file");
                return Err(Error::corrupt(header.refcounts.offset + 8 * index as u64, message));
            }
        }
        let pages = Pages::new(PAGE, PAGES);
        Ok(Self { blocks, cluster_bits: header.cluster_bits, order: header.refcount_order, pages })
    }

    /// Clusters that hold refcount blocks.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().filter(|block| **block != 0).map(|block| block >> self.cluster_bits)
    }

    /// How often `cluster` is used, as the image says; 0 is free.
    pub(crate) fn of(&mut self, image: &dyn Blob, cluster: u64) -> Result<u64> {
        let per_block_bits = self.cluster_bits + 3 - self.order;
        let block = usize::try_from(cluster >> per_block_bits).ok().and_then(|at| self.blocks.get(at));
        let block = block.copied().unwrap_or(0);
        if block == 0 {
            return Ok(0);
        }
        let bit = (cluster & ((1 << per_block_bits) - 1)) << self.order;
        let length = 1usize << self.order.saturating_sub(3);
        let count = self.pages.number(image, block + bit / 8, length)?;
        // In a byte that holds several, the first is in the least significant bits.
        Ok(if self.order < 3 { count >> (bit % 8) & ((1 << (1 << self.order)) - 1) } else { count })
    }
}
