//! Block and inode bitmaps, with their checksums and those that were never written.

use crate::Ext4;
use crate::bytes::part;
use crate::checksum::crc32c;
use crate::features;
use crate::group::{BLOCK_UNINIT, Group, INODE_UNINIT};
use std::rc::Rc;
use wherry_sdk::bits::fill;
use wherry_sdk::{Error, Result};

impl Ext4 {
    /// How many bits of the group's block bitmap stand for clusters.
    pub fn group_clusters(&self, group: u32) -> u64 {
        self.group_blocks(group).div_ceil(self.superblock.cluster)
    }

    fn sum(&self, bits: &[u8], count: u64) -> u32 {
        crc32c(self.superblock.seed, part(bits, 0, (count / 8) as usize))
    }

    /// The checksum covers whole groups, also in the last one.
    fn block_bitmap_sum(&self, bits: &[u8]) -> u32 {
        self.sum(bits, self.superblock.blocks_per_group / self.superblock.cluster)
    }

    fn inode_bitmap_sum(&self, bits: &[u8]) -> u32 {
        self.sum(bits, u64::from(self.superblock.inodes_per_group))
    }

    /// What the block bitmap of a group holds before it is written for the first time: the group's own metadata.
    fn fresh_block_bitmap(&self, group: &Group) -> Vec<u8> {
        let bits = u64::from(self.superblock.block_size) * 8;
        let mut bytes = vec![0; self.superblock.block_size as usize];
        let (start, blocks) = (self.group_start(group.number), self.group_blocks(group.number));
        let cluster = self.superblock.cluster;
        let table = u64::from(self.superblock.inodes_per_group) * u64::from(self.superblock.inode_size);
        let places = [
            (start, self.base_blocks(group.number)),
            (group.block_bitmap(), 1),
            (group.inode_bitmap(), 1),
            (group.inode_table(), table.div_ceil(u64::from(self.superblock.block_size))),
        ];
        for (first, count) in places {
            let end = first.saturating_add(count).min(start + blocks);
            let first = first.max(start);
            if first < end {
                let bit = (first - start) / cluster;
                fill(&mut bytes, bit, (end - start).div_ceil(cluster) - bit, true);
            }
        }
        let clusters = self.group_clusters(group.number);
        fill(&mut bytes, clusters, bits - clusters, true);
        bytes
    }

    /// The block bitmap of a group.
    pub fn block_bitmap(&mut self, group: &Group) -> Result<Rc<Vec<u8>>> {
        if group.has(BLOCK_UNINIT) && self.has_group_sums() {
            return Ok(Rc::new(self.fresh_block_bitmap(group)));
        }
        let block = group.block_bitmap();
        let bits = self.device.get(block)?;
        if !self.device.is_checked(block) {
            let sum = group.held(self.block_bitmap_sum(&bits));
            self.check_bitmap(block, sum == group.block_bitmap_sum(), "block", group.number)?;
        }
        Ok(bits)
    }

    /// The inode bitmap of a group.
    pub fn inode_bitmap(&mut self, group: &Group) -> Result<Rc<Vec<u8>>> {
        if group.has(INODE_UNINIT) && self.has_group_sums() {
            let mut bits = vec![0; self.superblock.block_size as usize];
            let used = u64::from(self.superblock.inodes_per_group);
            fill(&mut bits, used, u64::from(self.superblock.block_size) * 8 - used, true);
            return Ok(Rc::new(bits));
        }
        let block = group.inode_bitmap();
        let bits = self.device.get(block)?;
        if !self.device.is_checked(block) {
            let sum = group.held(self.inode_bitmap_sum(&bits));
            self.check_bitmap(block, sum == group.inode_bitmap_sum(), "inode", group.number)?;
        }
        Ok(bits)
    }

    /// Groups are lazily initialised only where their descriptors have checksums.
    pub fn has_group_sums(&self) -> bool {
        self.superblock.has(features::METADATA_CSUM) || self.superblock.has(features::GDT_CSUM)
    }

    fn check_bitmap(&mut self, block: u64, right: bool, what: &str, group: u32) -> Result<()> {
        if self.superblock.has(features::METADATA_CSUM) && !right {
            let message = format!("the {what} bitmap of group {group} has a wrong checksum: run e2fsck");
            return Err(Error::corrupt(self.device.offset(block), message));
        }
        self.device.mark_checked(block);
        Ok(())
    }

    /// Stores a block bitmap; `group` gets its checksum and has to be stored by the caller.
    pub fn store_block_bitmap(&mut self, group: &mut Group, bits: Vec<u8>) -> Result<()> {
        group.clear(BLOCK_UNINIT);
        if self.superblock.has(features::METADATA_CSUM) {
            group.set_block_bitmap_sum(self.block_bitmap_sum(&bits));
        }
        self.device.replace(group.block_bitmap(), bits)
    }

    /// Stores an inode bitmap; `group` gets its checksum and has to be stored by the caller.
    pub fn store_inode_bitmap(&mut self, group: &mut Group, bits: Vec<u8>) -> Result<()> {
        group.clear(INODE_UNINIT);
        if self.superblock.has(features::METADATA_CSUM) {
            group.set_inode_bitmap_sum(self.inode_bitmap_sum(&bits));
        }
        self.device.replace(group.inode_bitmap(), bits)
    }
}
