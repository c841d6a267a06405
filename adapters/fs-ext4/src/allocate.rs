//! Taking and giving back blocks and inodes.

use crate::Ext4;
use crate::group::{BLOCK_UNINIT, Group, INODE_UNINIT};
use wherry_sdk::bits::{fill, find, is_set};
use wherry_sdk::{Error, ErrorKind, Result};

/// A run that is this long is long enough, in blocks: big files stay in few extents without reading every bitmap.
const GOOD_RUN: u64 = 2048;

impl Ext4 {
    /// Takes up to `want` neighbouring blocks near `goal` and returns the first and how many they are.
    pub fn allocate_blocks(&mut self, goal: u64, want: u64) -> Result<(u64, u64)> {
        let home = self.group_of(goal);
        for least in [want.min(GOOD_RUN), 1] {
            for step in 0..self.superblock.groups {
                let number = ((u64::from(home) + u64::from(step)) % u64::from(self.superblock.groups)) as u32;
                let group = self.group(number)?;
                if u64::from(group.free_blocks()) < least {
                    continue;
                }
                let from = if step == 0 { goal.saturating_sub(self.group_start(number)) } else { 0 };
                if let Some((bit, count)) = self.free_run(&group, from, want, least)? {
                    self.take_blocks(group, bit, count)?;
                    return Ok((self.group_start(number) + bit, count));
                }
            }
        }
        Err(Error::new(ErrorKind::NoSpace, "the file system has no free blocks left"))
    }

    /// A free run in a group: the first from `from` on with `want` blocks, or else the longest with `least`.
    fn free_run(&mut self, group: &Group, from: u64, want: u64, least: u64) -> Result<Option<(u64, u64)>> {
        let bits = self.block_bitmap(group)?;
        let end = self.group_blocks(group.number);
        let mut best = None;
        for (mut at, end) in [(from.min(end), end), (0, from.min(end))] {
            while at < end {
                let start = find(&bits, at, end, false);
                at = find(&bits, start, end, true);
                let count = at - start;
                if count >= want {
                    return Ok(Some((start, want)));
                }
                if count >= least.max(1) && best.is_none_or(|(_, longest)| count > longest) {
                    best = Some((start, count));
                }
            }
        }
        Ok(best)
    }

    fn take_blocks(&mut self, mut group: Group, bit: u64, count: u64) -> Result<()> {
        let mut bits = self.block_bitmap(&group)?.to_vec();
        fill(&mut bits, bit, count, true);
        self.store_block_bitmap(&mut group, bits)?;
        group.set_free_blocks(group.free_blocks().saturating_sub(count as u32));
        self.store_group(&group)?;
        self.superblock.set_free_blocks(self.superblock.free_blocks().saturating_sub(count));
        self.device.forget(self.group_start(group.number) + bit, count);
        Ok(())
    }

    /// Gives blocks back. A block that is free already is `corrupt`, which also ends every loop through damaged trees.
    pub fn free_blocks(&mut self, start: u64, count: u64) -> Result<()> {
        let end = start.checked_add(count).filter(|end| *end <= self.superblock.blocks);
        let Some(end) = end.filter(|_| start > self.superblock.first_block) else {
            let message = format!("blocks {start}+{count} lie outside of the file system: run e2fsck");
            return Err(Error::corrupt(self.device.offset(start), message));
        };
        let mut at = start;
        while at < end {
            let mut group = self.group(self.group_of(at))?;
            let bit = at - self.group_start(group.number);
            let part = (end - at).min(self.group_blocks(group.number).saturating_sub(bit)).max(1);
            let mut bits = self.block_bitmap(&group)?.to_vec();
            if find(&bits, bit, bit + part, false) < bit + part {
                let message = format!("blocks {at}+{part} are in use and marked as free: run e2fsck");
                return Err(Error::corrupt(self.device.offset(at), message));
            }
            fill(&mut bits, bit, part, false);
            self.store_block_bitmap(&mut group, bits)?;
            group.set_free_blocks(group.free_blocks().saturating_add(part as u32));
            self.store_group(&group)?;
            self.superblock.set_free_blocks(self.superblock.free_blocks().saturating_add(part));
            at += part;
        }
        self.device.forget(start, count);
        Ok(())
    }

    /// Takes an inode, in the group of inode `near` if there is one.
    pub fn allocate_inode(&mut self, near: u32, directory: bool) -> Result<u32> {
        let per_group = self.superblock.inodes_per_group;
        let home = near.saturating_sub(1) / per_group;
        for step in 0..self.superblock.groups {
            let number = ((u64::from(home) + u64::from(step)) % u64::from(self.superblock.groups)) as u32;
            let mut group = self.group(number)?;
            if group.free_inodes() == 0 {
                continue;
            }
            let mut bits = self.inode_bitmap(&group)?.to_vec();
            let first =
                if number == 0 { u64::from(self.superblock.first_inode().saturating_sub(1)) } else { 0 };
            let bit = find(&bits, first, u64::from(per_group), false);
            if bit >= u64::from(per_group) {
                continue;
            }
            fill(&mut bits, bit, 1, true);
            if group.has(BLOCK_UNINIT) && self.has_group_sums() {
                // The group's inode table is in use from now on, and its block bitmap has to say so.
                let bits = self.block_bitmap(&group)?.to_vec();
                self.store_block_bitmap(&mut group, bits)?;
            }
            self.take_inode(&mut group, bit as u32, directory);
            self.store_inode_bitmap(&mut group, bits)?;
            self.store_group(&group)?;
            self.superblock.set_free_inodes(self.superblock.free_inodes().saturating_sub(1));
            return Ok(number * per_group + bit as u32 + 1);
        }
        Err(Error::new(ErrorKind::NoSpace, "the file system has no free inodes left"))
    }

    fn take_inode(&mut self, group: &mut Group, bit: u32, directory: bool) {
        let per_group = self.superblock.inodes_per_group;
        group.set_free_inodes(group.free_inodes() - 1);
        if directory {
            group.set_directories(group.directories().saturating_add(1));
        }
        if self.has_group_sums() {
            let unused = if group.has(INODE_UNINIT) { per_group } else { group.unused_inodes() };
            group.set_unused_inodes(unused.min(per_group - bit - 1));
        }
    }

    /// Gives an inode back.
    pub fn free_inode(&mut self, number: u32, directory: bool) -> Result<()> {
        let index = number.saturating_sub(1);
        let mut group = self.group(index / self.superblock.inodes_per_group)?;
        let bit = u64::from(index % self.superblock.inodes_per_group);
        let mut bits = self.inode_bitmap(&group)?.to_vec();
        if !is_set(&bits, bit) {
            let message = format!("inode {number} is in use and marked as free: run e2fsck");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        fill(&mut bits, bit, 1, false);
        self.store_inode_bitmap(&mut group, bits)?;
        group.set_free_inodes(group.free_inodes().saturating_add(1));
        if directory {
            group.set_directories(group.directories().saturating_sub(1));
        }
        self.store_group(&group)?;
        self.superblock.set_free_inodes(self.superblock.free_inodes().saturating_add(1));
        Ok(())
    }
}
