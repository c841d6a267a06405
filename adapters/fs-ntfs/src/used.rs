//! Which parts of the device are in use, and how much room is left.

use crate::bitmap::find;
use crate::volume::Volume;
use wherry_sdk::{Range, Result};

/// Ranges in one answer: 16 bytes each, within what the host takes in one list.
const RANGES_MOST: u32 = 1 << 15;
/// Bytes of `$Bitmap` that are looked at together.
pub const PIECE: u64 = 64 << 10;

/// Ordered ranges, neighbours joined.
struct Ranges {
    list: Vec<Range>,
    start: u64,
    most: usize,
}

impl Ranges {
    /// Adds bytes; false when the list is complete.
    fn push(&mut self, from: u64, to: u64) -> bool {
        let from = from.max(self.start);
        if from >= to {
            return true;
        }
        let full = self.list.len() >= self.most;
        match self.list.last_mut() {
            Some(last) if last.offset + last.length == from => last.length += to - from,
            _ if full => return false,
            _ => self.list.push(Range { offset: from, length: to - from }),
        }
        true
    }
}

impl Volume<'_> {
    /// The part of `$Bitmap` that holds the bit of `cluster`: the bits, and the cluster of the first.
    pub fn bits(&mut self, cluster: u64) -> Result<(Vec<u8>, u64)> {
        let offset = cluster / 8 / PIECE * PIECE;
        let length = PIECE.min(self.boot.clusters.div_ceil(8).saturating_sub(offset));
        let bitmap = std::mem::take(&mut self.bitmap);
        let bits = self.stored_bytes(&bitmap, offset, length as usize);
        self.bitmap = bitmap;
        Ok((bits?, offset * 8))
    }

    /// Ranges of the device that are in use, from byte `start` on. Where the bitmap cannot be believed, everything is;
    /// so is what lies behind the last cluster: the backup of the boot sector.
    pub fn used_ranges(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        let mut ranges = Ranges { list: Vec::new(), start, most: most.min(RANGES_MOST) as usize };
        let size = self.device.size();
        if start >= size || most == 0 {
            return Ok(ranges.list);
        }
        if self.doubt.is_some() {
            ranges.push(0, size);
            return Ok(ranges.list);
        }
        let (cluster, clusters) = (self.boot.cluster, self.boot.clusters);
        let mut at = start / cluster;
        while at < clusters {
            let (bits, first) = self.bits(at)?;
            let end = (first + PIECE * 8).min(clusters);
            while at < end {
                let used = first + find(&bits, at - first, end - first, true);
                at = first + find(&bits, used - first, end - first, false);
                if used < at && !ranges.push(used * cluster, at * cluster) {
                    return Ok(ranges.list);
                }
            }
        }
        ranges.push(clusters * cluster, size);
        Ok(ranges.list)
    }

    /// Free clusters.
    pub fn free_clusters(&mut self) -> Result<u64> {
        if let Some(free) = self.free {
            return Ok(free);
        }
        let (mut at, mut used) = (0, 0);
        while at < self.boot.clusters {
            let (bits, first) = self.bits(at)?;
            let end = (first + PIECE * 8).min(self.boot.clusters);
            let whole = bits.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
            let behind = bits
                .last()
                .filter(|_| !end.is_multiple_of(8))
                .map_or(0, |byte| (byte >> (end % 8)).count_ones());
            used += whole - u64::from(behind);
            at = end;
        }
        self.free = Some(self.boot.clusters - used);
        Ok(self.boot.clusters - used)
    }
}
