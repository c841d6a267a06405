//! Cylinder groups: which fragments and inodes are free, and the sums of them in three places (illumos: `ufs_fs.h`, struct cg;
//! `uts/common/fs/ufs/ufs_alloc.c` and `ufs_subr.c` for how sums are kept).

use crate::Ufs;
use wherry_sdk::bytes::byte_at;
use wherry_sdk::{Error, ErrorKind, Result};

const MAGIC: u32 = 0x0009_0255;
/// Where a group has its sums: directories, free blocks, free inodes, free fragments; runs of free fragments by length.
const SUMS: usize = 24;
const RUNS: usize = 52;
/// In the superblock.
const TOTALS: usize = 192;

/// One of the four sums, by its place.
#[derive(Clone, Copy)]
pub enum Sum {
    Directories = 0,
    Blocks = 4,
    Inodes = 8,
    Fragments = 12,
}

/// A group that was read, and whether it differs from the device's.
pub struct Group {
    pub raw: Vec<u8>,
    pub changed: bool,
    /// No block below this one is wholly free.
    pub first_free: u32,
}

impl Ufs<'_> {
    /// The group of this number, kept until it is written back.
    pub fn group(&mut self, number: u32) -> Result<&mut Group> {
        if !self.groups.contains_key(&number) {
            let superblock = &self.superblock;
            let place = superblock.group_place(number) * u64::from(superblock.fragment);
            let raw = self.device.get(place, superblock.block)?;
            let order = superblock.order;
            if order.u32(&raw, 4) != MAGIC || order.u32(&raw, 12) != number {
                return Err(Error::corrupt(
                    place,
                    format!("cylinder group {number} is not where it should be: run fsck"),
                ));
            }
            self.groups.insert(number, Group { raw, changed: false, first_free: 0 });
        }
        let lost = || Error::new(ErrorKind::Corrupt, format!("there is no cylinder group {number}"));
        self.groups.get_mut(&number).ok_or_else(lost)
    }

    /// Writes back every group that was changed, the summaries, and the superblock.
    pub fn flush(&mut self) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let fragment = u64::from(self.superblock.fragment);
        let (summaries, length) = self.superblock.summaries();
        let mut table = Vec::new();
        let start = summaries * fragment;
        while (table.len() as u32) < length {
            let step = (length - table.len() as u32).min(wherry_sdk::READ_MOST);
            table.extend(self.device.get(start + table.len() as u64, step)?);
        }
        let numbers: Vec<u32> =
            self.groups.iter().filter(|(_, group)| group.changed).map(|(number, _)| *number).collect();
        for number in numbers {
            let place = self.superblock.group_place(number) * fragment;
            let group = self.group(number)?;
            group.changed = false;
            let raw = group.raw.clone();
            let sums = wherry_sdk::bytes::field(&raw, SUMS, 16).to_vec();
            wherry_sdk::bytes::put(&mut table, number as usize * 16, &sums);
            self.device.write(place, &raw)?;
        }
        self.device.write(start, &table)?;
        let raw = self.superblock.raw.clone();
        self.device.write(self.superblock.place, &raw)?;
        self.dirty = false;
        Ok(())
    }

    /// Changes a sum in a group and in all.
    pub fn add(&mut self, number: u32, sum: Sum, more: i32) -> Result<()> {
        if more == 0 {
            return Ok(());
        }
        let order = self.superblock.order;
        let group = self.group(number)?;
        order.add32(&mut group.raw, SUMS + sum as usize, more);
        group.changed = true;
        self.dirty = true;
        self.changes += 1;
        order.add32(&mut self.superblock.raw, TOTALS + sum as usize, more);
        Ok(())
    }

    /// Fragments of a group.
    pub fn fragments_of(&mut self, number: u32) -> Result<u32> {
        let order = self.superblock.order;
        let span = self.superblock.span;
        Ok(order.u32(&self.group(number)?.raw, 20).min(span))
    }

    /// The bits of a block of a group that are free, of `fragments` bits; block `number` counts from the group's start.
    pub fn free_bits(&mut self, group: u32, number: u32) -> Result<u8> {
        let (order, fragments) = (self.superblock.order, self.superblock.fragments);
        let group = self.group(group)?;
        let map = order.u32(&group.raw, 96) as usize;
        let first = number * fragments;
        let byte = byte_at(&group.raw, map.saturating_add(first as usize / 8));
        Ok((byte >> (first % 8)) & mask(fragments))
    }

    /// Marks fragments of one block as free or in use; all of them have to be the other before.
    pub fn mark(&mut self, group: u32, first: u32, count: u32, free: bool) -> Result<()> {
        let (order, fragments) = (self.superblock.order, self.superblock.fragments);
        let (block, within) = (first / fragments, first % fragments);
        let bits = mask(count) << within;
        let old = self.free_bits(group, block)?;
        let twice = if free { old & bits } else { !old & bits };
        if within + count > fragments || twice != 0 {
            let message = format!(
                "fragment {first} of cylinder group {group} is {} twice: run fsck",
                if free { "freed" } else { "used" }
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let new = if free { old | bits } else { old & !bits };
        let raw = &mut self.group(group)?.raw;
        let at = (order.u32(raw, 96) as usize).saturating_add((block * fragments) as usize / 8);
        let shift = (block * fragments) % 8;
        if let Some(byte) = raw.get_mut(at) {
            *byte = *byte & !(mask(fragments) << shift) | new << shift;
        }
        let whole = mask(fragments);
        let loose = |bits: u8| if bits == whole { 0 } else { bits.count_ones() as i32 };
        for (bits, more) in [(old, -1), (new, 1)] {
            if bits != whole {
                self.add_runs(group, bits, more)?;
            }
        }
        self.add(group, Sum::Fragments, loose(new) - loose(old))?;
        let blocks = i32::from(new == whole) - i32::from(old == whole);
        self.add(group, Sum::Blocks, blocks)?;
        if blocks != 0 {
            self.add_rotation(group, block * fragments, blocks)?;
        }
        let group = self.group(group)?;
        if new == whole {
            group.first_free = group.first_free.min(block);
        }
        group.changed = true;
        self.dirty = true;
        self.changes += 1;
        Ok(())
    }

    /// Counts the runs of free fragments of a block that is neither free nor full.
    fn add_runs(&mut self, group: u32, bits: u8, more: i32) -> Result<()> {
        let (order, fragments) = (self.superblock.order, self.superblock.fragments);
        let raw = &mut self.group(group)?.raw;
        let mut run = 0;
        for at in 0..=fragments {
            if at < fragments && bits >> at & 1 != 0 {
                run += 1;
            } else if run > 0 {
                order.add32(raw, RUNS + run * 4, more);
                run = 0;
            }
        }
        Ok(())
    }

    /// Counts free blocks by cylinder and by position on it (cbtocylno, cbtorpos).
    fn add_rotation(&mut self, group: u32, first: u32, more: i32) -> Result<()> {
        let order = self.superblock.order;
        let number = |at: usize| u64::from(self.superblock.number(at));
        let (per_fragment, per_cylinder, per_track) = (number(124), number(172), number(168));
        let positions = if self.superblock.number(1356) == 1 { number(1360) } else { 8 };
        if per_cylinder == 0 || per_track == 0 {
            return Ok(());
        }
        let sector = u64::from(first) * per_fragment;
        let cylinder = sector / per_cylinder;
        let position = sector % per_cylinder % per_track * positions / per_track;
        let raw = &mut self.group(group)?.raw;
        let (totals, by_position) = (u64::from(order.u32(raw, 84)), u64::from(order.u32(raw, 88)));
        let end = u64::from(order.u32(raw, 92));
        let at = totals + cylinder * 4;
        // What is beyond the table belongs to no cylinder.
        if totals >= 168 && at + 4 <= by_position {
            order.add32(raw, at as usize, more);
        }
        let at = by_position + (cylinder * positions + position) * 2;
        if by_position >= 168 && at + 2 <= end {
            let count = order.u16(raw, at as usize);
            order.put16(raw, at as usize, count.wrapping_add_signed(more as i16));
        }
        Ok(())
    }

    /// Whether an inode of a group is in use, by its bit.
    pub fn inode_used(&mut self, group: u32, within: u32) -> Result<bool> {
        let order = self.superblock.order;
        let raw = &self.group(group)?.raw;
        let map = order.u32(raw, 92) as usize;
        Ok(byte_at(raw, map.saturating_add(within as usize / 8)) >> (within % 8) & 1 != 0)
    }

    /// Sets an inode's bit.
    pub fn mark_inode(&mut self, group: u32, within: u32, used: bool) -> Result<()> {
        let order = self.superblock.order;
        let one = self.group(group)?;
        let map = order.u32(&one.raw, 92) as usize;
        if let Some(byte) = one.raw.get_mut(map.saturating_add(within as usize / 8)) {
            let bit = 1 << (within % 8);
            *byte = if used { *byte | bit } else { *byte & !bit };
        }
        self.add(group, Sum::Inodes, if used { -1 } else { 1 })
    }
}

/// So many bits.
pub fn mask(count: u32) -> u8 {
    (u32::from(u8::MAX) >> 8u32.saturating_sub(count)) as u8
}
