//! Which parts of the device are in use.

use crate::Ext4;
use wherry_sdk::bits::find;
use wherry_sdk::{Range, Ranges, Result};

impl Ext4 {
    /// Ranges of the device that are in use, from byte `start` on. Where a bitmap cannot be believed, everything is;
    /// so is what lies behind the file system, and before it.
    pub fn used_ranges(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        let size = self.device.size();
        let mut ranges = Ranges::new(start..size, most);
        if start >= size || most == 0 {
            return Ok(ranges.finish());
        }
        if self.superblock.doubt().is_some() {
            ranges.push(0, size);
            return Ok(ranges.finish());
        }
        let begin = self.device.offset(self.superblock.first_block);
        let end = self.device.offset(self.superblock.blocks);
        ranges.push(0, begin);
        let home = if start >= end { self.superblock.groups } else { self.group_of(self.block_at(start)) };
        for group in home..self.superblock.groups {
            if !self.push_group(group, start, &mut ranges) {
                return Ok(ranges.finish());
            }
        }
        ranges.push(end, size);
        Ok(ranges.finish())
    }

    fn block_at(&self, offset: u64) -> u64 {
        offset / u64::from(self.superblock.block_size)
    }

    fn push_group(&mut self, number: u32, start: u64, ranges: &mut Ranges) -> bool {
        let first = self.group_start(number);
        let end = self.device.offset(first + self.group_blocks(number));
        let bits = self.group(number).and_then(|group| self.block_bitmap(&group));
        let Ok(bits) = bits else { return ranges.push(self.device.offset(first), end) };
        let clusters = self.group_clusters(number);
        let cluster = self.superblock.cluster;
        let from = self.block_at(start).saturating_sub(first) / cluster;
        let mut at = from.min(clusters);
        while at < clusters {
            let used = find(&bits, at, clusters, true);
            at = find(&bits, used, clusters, false);
            let from = self.device.offset(first + used * cluster);
            let to = self.device.offset(first + at * cluster).min(end);
            if used < at && !ranges.push(from, to) {
                return false;
            }
        }
        true
    }
}
