//! Which parts of the device are in use, and how much room is left.

use crate::volume::Volume;
use wherry_sdk::bits::find;
use wherry_sdk::{Range, Ranges, Result};

/// Bytes of `$Bitmap` that are looked at together.
pub const PIECE: u64 = 64 << 10;

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
        let size = self.device.size();
        let mut ranges = Ranges::new(start..size, most);
        if start >= size || most == 0 {
            return Ok(ranges.finish());
        }
        if self.doubt.is_some() {
            ranges.push(0, size);
            return Ok(ranges.finish());
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
                    return Ok(ranges.finish());
                }
            }
        }
        ranges.push(clusters * cluster, size);
        Ok(ranges.finish())
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
