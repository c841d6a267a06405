//! Which parts of the device are in use: all but what the allocation groups' trees of free space list (XFS Algorithms &
//! Data Structures, "AG Free Space Management").

use crate::Xfs;
use crate::bytes::{Own, be16_at, be32_at, check_place, damaged, field, is_summed, part};
use std::collections::HashSet;
use wherry_sdk::{Range, Ranges, Result};

/// The header of free space, in a group's second sector, and its tree of free space by place.
const HEADER_MAGIC: u32 = 0x5841_4746;
const HEADER_CHECKSUM: usize = 216;
const HEADER_UUID: usize = 64;
const MAGIC: [u32; 2] = [0x4142_5442, 0x4142_3342];
const HEADER: [usize; 2] = [16, 56];
const LEVELS_MOST: u32 = 9;
/// Free runs of one group that are kept, 32 MiB of them; one with more counts as used.
const FREE_MOST: usize = 1 << 22;
/// The owner is the group, in 4 bytes.
const OWN: Own = Own { checksum: 52, sector: 16, uuid: 32, owner: 48, change: 24 };
/// Bytes of a record, and of a key with a pointer.
const RECORD: usize = 8;
const CHILD: usize = 12;

/// A walk through one group's tree.
struct Walk {
    group: u32,
    seen: HashSet<u32>,
    /// first block and number of blocks, in order
    free: Vec<(u32, u32)>,
}

impl Xfs {
    /// Ranges of the device that are in use, from byte `start` on. Where a tree cannot be believed, all of its group is; so
    /// is what lies behind the file system, and everything while the log has to be replayed.
    pub fn used_ranges(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        let size = self.disk.device.size();
        let mut ranges = Ranges::new(start..size, most);
        if start >= size || most == 0 {
            return Ok(ranges.finish());
        }
        if !self.clean || self.disk.superblock.doubt().is_some() {
            ranges.push(0, size);
            return Ok(ranges.finish());
        }
        let unit = u64::from(self.disk.superblock.block_size);
        let length = u64::from(self.disk.superblock.group_blocks) * unit;
        let home = u32::try_from(start / length).unwrap_or(u32::MAX).min(self.disk.superblock.groups);
        for group in home..self.disk.superblock.groups {
            let first = u64::from(group) * length;
            let end = first + u64::from(self.disk.superblock.blocks_of(group)) * unit;
            let mut at = first;
            for (block, count) in self.free_space(group).unwrap_or_default() {
                let from = first + u64::from(block) * unit;
                if !ranges.push(at, from) {
                    return Ok(ranges.finish());
                }
                at = from + u64::from(count) * unit;
            }
            if !ranges.push(at, end) {
                return Ok(ranges.finish());
            }
        }
        ranges.push(self.disk.superblock.size(), size);
        Ok(ranges.finish())
    }

    /// Free runs of blocks in a group.
    fn free_space(&mut self, group: u32) -> Result<Vec<(u32, u32)>> {
        let sector = self.disk.superblock.sector_size;
        let unit = u64::from(self.disk.superblock.block_size);
        let first = u64::from(group) * u64::from(self.disk.superblock.group_blocks) * unit;
        let place = first + u64::from(sector);
        let header = self.disk.device.get(place, sector)?;
        let fifth = self.disk.superblock.version == 5;
        let strange = fifth
            && (!is_summed(&header, HEADER_CHECKSUM)
                || field(&header, HEADER_UUID, 16) != self.disk.superblock.meta_uuid);
        let levels = be32_at(&header, 28);
        let right = be32_at(&header, 0) == HEADER_MAGIC
            && be32_at(&header, 8) == group
            && be32_at(&header, 12) == self.disk.superblock.blocks_of(group)
            && (1..=LEVELS_MOST).contains(&levels);
        if strange || !right {
            return Err(damaged(place, "the header of a group's free space is damaged"));
        }
        let mut walk = Walk { group, seen: HashSet::new(), free: Vec::new() };
        self.free_block(&mut walk, be32_at(&header, 16), levels - 1)?;
        let total: u64 = walk.free.iter().map(|(_, count)| u64::from(*count)).sum();
        // Blocks that are kept for the trees themselves are free, and not in the tree.
        if total != u64::from(be32_at(&header, 52)) {
            return Err(damaged(place, "a group's free space is not as much as it says"));
        }
        Ok(walk.free)
    }

    fn free_block(&mut self, walk: &mut Walk, block: u32, level: u32) -> Result<()> {
        let place = self.disk.superblock.place_in(walk.group, u64::from(block), 1);
        let place = place.ok_or_else(|| damaged(0, "a tree of free space leaves its group"))?;
        let refuse = || Err(damaged(place, "a block of free space is damaged"));
        let bytes = self.disk.device.get(place, self.disk.superblock.block_size)?;
        let form = self.disk.superblock.form();
        let header = HEADER[form];
        let own = form == 0
            || check_place(&self.disk.superblock, &bytes, &OWN, place, "a block of free space").is_ok()
                && be32_at(&bytes, OWN.owner) == walk.group;
        let known = be32_at(&bytes, 0) == MAGIC[form] && u32::from(be16_at(&bytes, 4)) == level;
        if !own || !known || !walk.seen.insert(block) {
            return refuse();
        }
        let count = usize::from(be16_at(&bytes, 6));
        let most = (bytes.len() - header) / if level == 0 { RECORD } else { CHILD };
        if count > most {
            return refuse();
        }
        if level > 0 {
            for child in part(&bytes, header + most * 8, count * 4).chunks_exact(4) {
                self.free_block(walk, be32_at(child, 0), level - 1)?;
            }
            return Ok(());
        }
        for record in part(&bytes, header, count * RECORD).chunks_exact(RECORD) {
            let (first, blocks) = (be32_at(record, 0), be32_at(record, 4));
            let behind = walk
                .free
                .last()
                .is_none_or(|(last, count)| u64::from(first) >= u64::from(*last) + u64::from(*count));
            let inside =
                self.disk.superblock.place_in(walk.group, u64::from(first), u64::from(blocks)).is_some();
            if !behind || !inside || blocks == 0 || walk.free.len() >= FREE_MOST {
                return refuse();
            }
            walk.free.push((first, blocks));
        }
        Ok(())
    }
}
