//! Group descriptors and where they lie (Linux: Documentation/filesystems/ext4, "Block Group Descriptors").

use crate::Ext4;
use crate::bytes::{join, part, put_u16, u16_at, u32_at};
use crate::checksum::{crc16, crc32c};
use crate::features;
use crate::superblock::START;
use wherry_sdk::{Error, Result};

const CHECKSUM: usize = 0x1e;

/// The inode bitmap and the inode table were never written.
pub const INODE_UNINIT: u16 = 1;
/// The block bitmap was never written.
pub const BLOCK_UNINIT: u16 = 2;

/// One group's descriptor.
#[derive(Clone)]
pub struct Group {
    /// the group
    pub number: u32,
    raw: Vec<u8>,
}

impl Group {
    /// A field of 4 bytes in two halves; the high one is there in descriptors of 64 bytes.
    fn wide(&self, low: usize, high: usize) -> u64 {
        join(u32_at(&self.raw, low), if self.raw.len() >= 64 { u32_at(&self.raw, high) } else { 0 })
    }

    fn count(&self, low: usize, high: usize) -> u32 {
        let upper = if self.raw.len() >= 64 { u16_at(&self.raw, high) } else { 0 };
        u32::from(upper) << 16 | u32::from(u16_at(&self.raw, low))
    }

    fn set_count(&mut self, low: usize, high: usize, value: u32) {
        put_u16(&mut self.raw, low, value as u16);
        if self.raw.len() >= 64 {
            put_u16(&mut self.raw, high, (value >> 16) as u16);
        }
    }

    /// Block of the block bitmap.
    pub fn block_bitmap(&self) -> u64 {
        self.wide(0, 0x20)
    }
    /// Block of the inode bitmap.
    pub fn inode_bitmap(&self) -> u64 {
        self.wide(0x4, 0x24)
    }
    /// First block of the inode table.
    pub fn inode_table(&self) -> u64 {
        self.wide(0x8, 0x28)
    }
    /// Free clusters.
    pub fn free_blocks(&self) -> u32 {
        self.count(0xc, 0x2c)
    }
    /// Sets the number of free clusters.
    pub fn set_free_blocks(&mut self, count: u32) {
        self.set_count(0xc, 0x2c, count);
    }
    /// Free inodes.
    pub fn free_inodes(&self) -> u32 {
        self.count(0xe, 0x2e)
    }
    /// Sets the number of free inodes.
    pub fn set_free_inodes(&mut self, count: u32) {
        self.set_count(0xe, 0x2e, count);
    }
    /// Directories.
    pub fn directories(&self) -> u32 {
        self.count(0x10, 0x30)
    }
    /// Sets the number of directories.
    pub fn set_directories(&mut self, count: u32) {
        self.set_count(0x10, 0x30, count);
    }
    /// Inodes at the end of the table that were never used.
    pub fn unused_inodes(&self) -> u32 {
        self.count(0x1c, 0x32)
    }
    /// Sets the number of inodes that were never used.
    pub fn set_unused_inodes(&mut self, count: u32) {
        self.set_count(0x1c, 0x32, count);
    }
    /// Whether a flag is set.
    pub fn has(&self, flag: u16) -> bool {
        u16_at(&self.raw, 0x12) & flag != 0
    }
    /// Clears a flag.
    pub fn clear(&mut self, flag: u16) {
        let flags = u16_at(&self.raw, 0x12);
        put_u16(&mut self.raw, 0x12, flags & !flag);
    }
    /// Checksum of the block bitmap; 16 bits in short descriptors.
    pub fn block_bitmap_sum(&self) -> u32 {
        self.count(0x18, 0x38)
    }
    /// Sets the checksum of the block bitmap.
    pub fn set_block_bitmap_sum(&mut self, sum: u32) {
        self.set_count(0x18, 0x38, sum);
    }
    /// Checksum of the inode bitmap; 16 bits in short descriptors.
    pub fn inode_bitmap_sum(&self) -> u32 {
        self.count(0x1a, 0x3a)
    }
    /// Sets the checksum of the inode bitmap.
    pub fn set_inode_bitmap_sum(&mut self, sum: u32) {
        self.set_count(0x1a, 0x3a, sum);
    }
    /// What of a bitmap's checksum a descriptor of this length can hold.
    pub fn held(&self, sum: u32) -> u32 {
        if self.raw.len() >= 64 { sum } else { sum & 0xffff }
    }
}

impl Ext4 {
    /// The first block of a group.
    pub fn group_start(&self, group: u32) -> u64 {
        self.superblock.first_block + u64::from(group) * self.superblock.blocks_per_group
    }

    /// How many blocks the group has.
    pub fn group_blocks(&self, group: u32) -> u64 {
        let left = self.superblock.blocks.saturating_sub(self.group_start(group));
        left.min(self.superblock.blocks_per_group)
    }

    /// The group that a block belongs to.
    pub fn group_of(&self, block: u64) -> u32 {
        let group = block.saturating_sub(self.superblock.first_block) / self.superblock.blocks_per_group;
        (group as u32).min(self.superblock.groups - 1)
    }

    fn descriptors_per_block(&self) -> u32 {
        self.superblock.block_size / self.superblock.descriptor_size
    }

    /// Whether the group holds a copy of the superblock.
    fn has_superblock(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.superblock.has(features::SPARSE_SUPER2) {
            return self.superblock.backup_groups().contains(&group);
        }
        let power = |base: u32| {
            let mut power = base;
            while power < group && power <= u32::MAX / base {
                power *= base;
            }
            power == group
        };
        !self.superblock.has(features::SPARSE_SUPER) || group == 1 || power(3) || power(5) || power(7)
    }

    /// Blocks at the beginning of a group for superblock and descriptors ("Layout", "Meta Block Groups").
    pub fn base_blocks(&self, group: u32) -> u64 {
        let own = u64::from(self.has_superblock(group));
        let per_block = self.descriptors_per_block();
        let all = self.superblock.groups.div_ceil(per_block);
        let meta = self.superblock.has(features::META_BG);
        let first_meta = if meta { self.superblock.first_meta_group() } else { all };
        if group / per_block < first_meta {
            let table = u64::from(first_meta.min(all)) + self.superblock.reserved_descriptor_blocks();
            return if own == 1 { 1 + table } else { 0 };
        }
        let within = group % per_block;
        own + u64::from(within <= 1 || within == per_block - 1)
    }

    /// The block that holds a group's descriptor.
    fn descriptor_block(&self, group: u32) -> u64 {
        let index = group / self.descriptors_per_block();
        let primary = START / u64::from(self.superblock.block_size);
        if !self.superblock.has(features::META_BG) || index < self.superblock.first_meta_group() {
            return primary + 1 + u64::from(index);
        }
        let first = index * self.descriptors_per_block();
        let shift = primary > self.superblock.first_block && first == 0;
        self.group_start(first) + u64::from(self.has_superblock(first)) + u64::from(shift)
    }

    /// The checksum of a descriptor, none when the file system has no such checksums.
    fn descriptor_sum(&self, group: u32, raw: &[u8]) -> Option<u16> {
        let (head, rest) = (part(raw, 0, CHECKSUM), part(raw, CHECKSUM + 2, raw.len()));
        let number = group.to_le_bytes();
        if self.superblock.has(features::METADATA_CSUM) {
            let sum = crc32c(crc32c(self.superblock.seed, &number), head);
            return Some(crc32c(crc32c(sum, &[0, 0]), rest) as u16);
        }
        let rest = if self.superblock.has(features::BITS64) { rest } else { &[] };
        let sum = || crc16(crc16(crc16(crc16(!0, self.superblock.uuid_bytes()), &number), head), rest);
        self.superblock.has(features::GDT_CSUM).then(sum)
    }

    /// The descriptor of a group, with a right checksum and with places that lie in the file system.
    pub fn group(&mut self, number: u32) -> Result<Group> {
        let size = self.superblock.descriptor_size as usize;
        let block = self.descriptor_block(number);
        let bytes = self.device.get(block)?;
        let index = (number % self.descriptors_per_block()) as usize;
        let raw = part(&bytes, index * size, size).to_vec();
        let at = self.device.offset(block) + (index * size) as u64;
        if self.descriptor_sum(number, &raw).is_some_and(|sum| sum != u16_at(&raw, CHECKSUM)) {
            let message = format!("the descriptor of group {number} has a wrong checksum: run e2fsck");
            return Err(Error::corrupt(at, message));
        }
        let group = Group { number, raw };
        let bytes = u64::from(self.superblock.inodes_per_group) * u64::from(self.superblock.inode_size);
        let table = group.inode_table().saturating_add(bytes.div_ceil(u64::from(self.superblock.block_size)));
        let places = [group.block_bitmap(), group.inode_bitmap(), group.inode_table(), table - 1];
        let range = self.superblock.first_block..self.superblock.blocks;
        if places.iter().any(|place| !range.contains(place)) {
            let message = format!("the descriptor of group {number} points outside of the file system");
            return Err(Error::corrupt(at, message));
        }
        Ok(group)
    }

    /// Stores a descriptor with a new checksum.
    pub fn store_group(&mut self, group: &Group) -> Result<()> {
        let mut raw = group.raw.clone();
        if let Some(sum) = self.descriptor_sum(group.number, &raw) {
            put_u16(&mut raw, CHECKSUM, sum);
        }
        let index = (group.number % self.descriptors_per_block()) as usize;
        let block = self.descriptor_block(group.number);
        crate::bytes::put(self.device.modify(block)?, index * raw.len(), &raw);
        Ok(())
    }

    /// Sets the superblock's counters to the sums over the groups, as the kernel does after replaying a journal.
    pub fn recount(&mut self) -> Result<()> {
        let (mut blocks, mut inodes) = (0u64, 0u32);
        for number in 0..self.superblock.groups {
            let group = self.group(number)?;
            blocks += u64::from(group.free_blocks());
            inodes = inodes.saturating_add(group.free_inodes());
        }
        self.superblock.set_free_blocks(blocks.saturating_mul(self.superblock.cluster));
        self.superblock.set_free_inodes(inodes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::put_u32;

    #[test]
    fn counts_of_short_and_long_descriptors() {
        let mut short = Group { number: 0, raw: vec![0; 32] };
        short.set_free_blocks(0x1_2345);
        assert_eq!(short.free_blocks(), 0x2345);
        assert_eq!(short.held(0x1_2345), 0x2345);
        let mut long = Group { number: 0, raw: vec![0; 64] };
        long.set_free_blocks(0x1_2345);
        assert_eq!(long.free_blocks(), 0x1_2345);
        put_u32(&mut long.raw, 0x20, 7);
        assert_eq!(long.block_bitmap(), 7 << 32);
    }
}
