//! Block maps of ext2 and ext3: twelve direct blocks, then one, two and three levels of tables (Linux:
//! Documentation/filesystems/ext4, "Direct/Indirect Block Addressing").

use crate::Ext4;
use crate::bytes::{put_u32, u32_at};
use crate::content::Run;
use crate::inode::{AREA, Inode};
use wherry_sdk::{Error, ErrorKind, Result};

const DIRECT: u64 = 12;
/// Freed runs that are collected before they are given back, so that neighbours are freed together.
const RUNS_MOST: usize = 256;

/// The way to a block: the slot in the inode, then the slot in each table.
struct Path {
    root: u64,
    slots: Vec<u64>,
}

/// Runs of blocks to be freed.
#[derive(Default)]
struct Freed {
    runs: Vec<(u64, u64)>,
    blocks: u64,
}

impl Freed {
    fn push(&mut self, block: u64) {
        self.blocks += 1;
        match self.runs.last_mut() {
            // Tables are walked from their end.
            Some((start, count)) if block + 1 == *start => (*start, *count) = (block, *count + 1),
            _ => self.runs.push((block, 1)),
        }
    }
}

impl Ext4 {
    fn slots_per_table(&self) -> u64 {
        u64::from(self.superblock.block_size) / 4
    }

    fn path(&self, block: u64) -> Result<Path> {
        let slots = self.slots_per_table();
        let mut rest = block;
        if rest < DIRECT {
            return Ok(Path { root: rest, slots: Vec::new() });
        }
        rest -= DIRECT;
        let mut span = 1;
        for level in 1..=3u64 {
            span *= slots;
            if rest < span {
                let mut unit = span / slots;
                let mut path = Path { root: DIRECT + level - 1, slots: Vec::new() };
                for _ in 0..level {
                    path.slots.push(rest / unit % slots);
                    unit = (unit / slots).max(1);
                }
                return Ok(path);
            }
            rest -= span;
        }
        Err(Error::new(ErrorKind::NoSpace, "the file is too long for a file system without extents"))
    }

    /// The block number in a slot, which must lie in the file system.
    fn slot(&self, table: &[u8], slot: u64) -> Result<u64> {
        let block = u64::from(u32_at(table, slot as usize * 4));
        if block >= self.superblock.blocks {
            let message =
                format!("a block map names block {block} of {}: run e2fsck", self.superblock.blocks);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(block)
    }

    /// Where blocks from `block` on are: at most `most`, at least one.
    pub fn map_run(&mut self, inode: &Inode, block: u64, most: u64) -> Result<Run> {
        let Ok(path) = self.path(block) else { return Ok(Run { count: most, physical: None }) };
        let (mut slot, mut end) = (path.root, DIRECT);
        let mut table = std::rc::Rc::new(inode.area().to_vec());
        // What a missing table leaves out, in blocks.
        let mut span = self.slots_per_table().pow(path.slots.len() as u32);
        for next in &path.slots {
            let below = self.slot(&table, slot)?;
            if below == 0 {
                let within = path_offset(&path.slots, self.slots_per_table(), span);
                return Ok(Run { count: (span - within).min(most), physical: None });
            }
            table = self.device.get(below)?;
            span /= self.slots_per_table();
            (slot, end) = (*next, self.slots_per_table());
        }
        let first = self.slot(&table, slot)?;
        let mut count = 1;
        while count < most.min(end.saturating_sub(slot)) {
            let wanted = if first == 0 { 0 } else { first + count };
            if self.slot(&table, slot + count)? != wanted {
                break;
            }
            count += 1;
        }
        Ok(Run { count, physical: (first != 0).then_some(first) })
    }

    /// Enters blocks into the map, creating the tables that are missing.
    pub fn append_map(&mut self, inode: &mut Inode, logical: u64, physical: u64, count: u64) -> Result<()> {
        if physical.saturating_add(count) > u64::from(u32::MAX) {
            let message = "there is no free block that a block map of 32 bits could name";
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        let mut done = 0;
        while done < count {
            let path = self.path(logical + done)?;
            let Some((last, upper)) = path.slots.split_last() else {
                put_u32(&mut inode.raw, AREA + path.root as usize * 4, (physical + done) as u32);
                done += 1;
                continue;
            };
            let mut table = self.slot(inode.area(), path.root)?;
            if table == 0 {
                table = self.fresh_table(inode, physical)?;
                put_u32(&mut inode.raw, AREA + path.root as usize * 4, table as u32);
            }
            for slot in upper {
                let bytes = self.device.get(table)?;
                let mut below = self.slot(&bytes, *slot)?;
                drop(bytes);
                if below == 0 {
                    below = self.fresh_table(inode, physical)?;
                    put_u32(self.device.modify(table)?, *slot as usize * 4, below as u32);
                }
                table = below;
            }
            let fits = (count - done).min(self.slots_per_table() - last);
            let bytes = self.device.modify(table)?;
            for index in 0..fits {
                put_u32(bytes, (last + index) as usize * 4, (physical + done + index) as u32);
            }
            done += fits;
        }
        Ok(())
    }

    fn fresh_table(&mut self, inode: &mut Inode, goal: u64) -> Result<u64> {
        let (block, _) = self.allocate_blocks(goal, 1)?;
        self.device.replace(block, vec![0; self.superblock.block_size as usize])?;
        inode.add_blocks(1, self.superblock.block_size);
        Ok(block)
    }

    /// Frees everything from block `keep` on.
    pub fn cut_map(&mut self, inode: &mut Inode, keep: u64) -> Result<()> {
        let mut freed = Freed::default();
        let slots = self.slots_per_table();
        let starts = [DIRECT, DIRECT + slots, DIRECT + slots + slots * slots];
        for level in (1..=3u32).rev() {
            let root = DIRECT as usize + level as usize - 1;
            let start = starts.get(level as usize - 1).copied().unwrap_or(0);
            let table = self.slot(inode.area(), root as u64)?;
            if table != 0
                && start + slots.pow(level) > keep
                && self.cut_table(&mut freed, table, level, start, keep)?
            {
                put_u32(&mut inode.raw, AREA + root * 4, 0);
            }
        }
        for slot in (keep.min(DIRECT)..DIRECT).rev() {
            let block = self.slot(inode.area(), slot)?;
            if block != 0 {
                freed.push(block);
                put_u32(&mut inode.raw, AREA + slot as usize * 4, 0);
            }
        }
        self.give_back(&mut freed)?;
        inode.add_blocks(-(freed.blocks as i64), self.superblock.block_size);
        Ok(())
    }

    /// Cuts below one table, whose first block is `start`; true when the table itself is gone.
    fn cut_table(
        &mut self,
        freed: &mut Freed,
        table: u64,
        level: u32,
        start: u64,
        keep: u64,
    ) -> Result<bool> {
        let slots = self.slots_per_table();
        let span = slots.pow(level - 1);
        let first = keep.saturating_sub(start) / span;
        let before = self.device.get(table)?;
        let mut bytes = before.to_vec();
        for slot in (first..slots).rev() {
            let block = self.slot(&bytes, slot)?;
            if block == 0 {
                continue;
            }
            if level > 1 && !self.cut_table(freed, block, level - 1, start + slot * span, keep)? {
                continue;
            }
            if level == 1 {
                freed.push(block);
            }
            put_u32(&mut bytes, slot as usize * 4, 0);
            if freed.runs.len() > RUNS_MOST {
                self.give_back(freed)?;
            }
        }
        if bytes.iter().any(|byte| *byte != 0) {
            if bytes != *before {
                self.device.replace(table, bytes)?;
            }
            return Ok(false);
        }
        freed.push(table);
        Ok(true)
    }

    fn give_back(&mut self, freed: &mut Freed) -> Result<()> {
        for (start, count) in std::mem::take(&mut freed.runs) {
            self.free_blocks(start, count)?;
        }
        Ok(())
    }
}

/// How far into the `span` blocks of the tables on this way the block lies.
fn path_offset(slots: &[u64], per_table: u64, span: u64) -> u64 {
    let offset = slots.iter().fold(0u64, |sum, slot| sum.wrapping_mul(per_table).wrapping_add(*slot));
    offset % span.max(1)
}
