//! Which parts of the device are in use.

use crate::Ext4;
use crate::bitmap::find;
use wherry_sdk::{Range, Result};

/// Ranges in one answer: 16 bytes each, within what the host takes in one list.
const RANGES_MOST: u32 = 1 << 15;

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

impl Ext4 {
    /// Ranges of the device that are in use, from byte `start` on. Where a bitmap cannot be believed, everything is;
    /// so is what lies behind the file system, and before it.
    pub fn used_ranges(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        let mut ranges = Ranges { list: Vec::new(), start, most: most.min(RANGES_MOST) as usize };
        let size = self.device.size();
        if start >= size || most == 0 {
            return Ok(ranges.list);
        }
        if self.superblock.doubt().is_some() {
            ranges.push(0, size);
            return Ok(ranges.list);
        }
        let begin = self.device.offset(self.superblock.first_block);
        let end = self.device.offset(self.superblock.blocks);
        ranges.push(0, begin);
        let home = if start >= end { self.superblock.groups } else { self.group_of(self.block_at(start)) };
        for group in home..self.superblock.groups {
            if !self.push_group(group, &mut ranges) {
                return Ok(ranges.list);
            }
        }
        ranges.push(end, size);
        Ok(ranges.list)
    }

    fn block_at(&self, offset: u64) -> u64 {
        offset / u64::from(self.superblock.block_size)
    }

    fn push_group(&mut self, number: u32, ranges: &mut Ranges) -> bool {
        let first = self.group_start(number);
        let end = self.device.offset(first + self.group_blocks(number));
        let bits = self.group(number).and_then(|group| self.block_bitmap(&group));
        let Ok(bits) = bits else { return ranges.push(self.device.offset(first), end) };
        let clusters = self.group_clusters(number);
        let cluster = self.superblock.cluster;
        let from = self.block_at(ranges.start).saturating_sub(first) / cluster;
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
