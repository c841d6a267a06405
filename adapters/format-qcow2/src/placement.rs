//! The data area of a new image: clusters are taken one after another behind the header's.

use wherry_sdk::{Error, ErrorKind, Result};

/// Refcounts of 16 bits.
pub(crate) const REFCOUNT_ORDER: u32 = 4;

/// What of the file is taken.
pub(crate) struct Placement {
    cluster_bits: u32,
    /// Clusters from here on are free.
    next: u64,
    /// Where compressed bytes go on, inside a cluster or at its end.
    packing: u64,
    /// Bytes that the format can address.
    reach: u64,
    /// By refcount block, for compressed images only: with plain clusters all are 1.
    counts: Option<Vec<Vec<u16>>>,
}

impl Placement {
    /// An area of no data.
    pub(crate) fn new(cluster_bits: u32, reach: u64, compressed: bool) -> Self {
        let mut placement =
            Self { cluster_bits, next: 0, packing: 0, reach, counts: compressed.then(Vec::new) };
        placement.next = 1;
        placement.count(0);
        placement
    }

    /// Clusters that are taken.
    pub(crate) fn clusters(&self) -> u64 {
        self.next
    }

    /// How often a taken cluster is used.
    pub(crate) fn refcount(&self, cluster: u64) -> u16 {
        let Some(counts) = self.counts.as_ref().filter(|_| cluster < self.next) else { return 1 };
        let (block, within) = self.block(cluster);
        counts.get(block).and_then(|block| block.get(within)).copied().unwrap_or(0)
    }

    /// A cluster of its own.
    pub(crate) fn plain(&mut self) -> Result<u64> {
        let cluster = self.next;
        self.grow_to(cluster + 1)?;
        self.count(cluster);
        Ok(cluster << self.cluster_bits)
    }

    /// `length` bytes, at most a cluster: behind the last compressed ones if they fit or if the next cluster is
    /// free, as QEMU packs them; a cluster counts at most 65,535 users.
    pub(crate) fn packed(&mut self, length: u64) -> Result<u64> {
        let size = 1u64 << self.cluster_bits;
        let end = self.packing.next_multiple_of(size);
        let fits = end - self.packing >= length || end >> self.cluster_bits == self.next;
        let room = end > self.packing && self.refcount(self.packing >> self.cluster_bits) < u16::MAX;
        let host = if fits && room { self.packing } else { self.next << self.cluster_bits };
        let after = host + length;
        self.grow_to(self.next.max(after.div_ceil(size)))?;
        self.packing = after;
        for cluster in host >> self.cluster_bits..after.div_ceil(size) {
            self.count(cluster);
        }
        Ok(host)
    }

    fn grow_to(&mut self, clusters: u64) -> Result<()> {
        if clusters << self.cluster_bits > self.reach {
            let message = format!(
                "the image would grow beyond {} bytes, which is all that clusters of {} can address: choose a larger `cluster-size`",
                self.reach,
                1u64 << self.cluster_bits
            );
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        self.next = clusters;
        Ok(())
    }

    fn block(&self, cluster: u64) -> (usize, usize) {
        let bits = self.cluster_bits + 3 - REFCOUNT_ORDER;
        ((cluster >> bits) as usize, (cluster & ((1 << bits) - 1)) as usize)
    }

    fn count(&mut self, cluster: u64) {
        let (block, within) = self.block(cluster);
        let entries = 1 << (self.cluster_bits + 3 - REFCOUNT_ORDER);
        let Some(counts) = &mut self.counts else { return };
        while counts.len() <= block {
            counts.push(vec![0; entries]);
        }
        if let Some(count) = counts.get_mut(block).and_then(|block| block.get_mut(within)) {
            *count += 1;
        }
    }
}
