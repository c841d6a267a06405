//! What files hold: blocks that the inode names, and blocks of addresses of further ones.

use crate::Ufs;
use crate::inode::{DIRECT, INDIRECT, Inode};
use crate::superblock::Flavour;
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};

/// Content that is moved at once.
const PIECE: u64 = 1 << 20;

/// A place on the way to a block: slots in the inode and in blocks of addresses.
struct Way {
    /// In the inode.
    slot: usize,
    /// In each block of addresses, outermost first.
    inner: Vec<u64>,
}

impl Ufs<'_> {
    fn addresses(&self) -> u64 {
        let width = if self.superblock.flavour == Flavour::Bsd2 { 8 } else { 4 };
        u64::from(self.superblock.block) / width
    }

    /// The way to a block of a file.
    fn way(&self, block: u64) -> Result<Way> {
        if block < DIRECT as u64 {
            return Ok(Way { slot: block as usize, inner: Vec::new() });
        }
        let (count, mut rest) = (self.addresses(), block - DIRECT as u64);
        for level in 0..INDIRECT {
            let covered = count.saturating_pow(level as u32 + 1);
            if rest < covered {
                let inner = (0..=level).rev().map(|depth| rest / count.pow(depth as u32) % count).collect();
                return Ok(Way { slot: DIRECT + level, inner });
            }
            rest -= covered;
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("block {block} is beyond the longest file")))
    }

    fn check(&self, address: u64) -> Result<u64> {
        match address < self.superblock.size {
            true => Ok(address),
            false => {
                Err(Error::new(ErrorKind::Corrupt, format!("fragment {address} does not exist: run fsck")))
            }
        }
    }

    fn slot(&mut self, table: u64, slot: u64) -> Result<u64> {
        let fragment = u64::from(self.superblock.fragment);
        let order = self.superblock.order;
        let start = self.check(table)? * fragment;
        if self.superblock.flavour == Flavour::Bsd2 {
            let bytes = self.device.get(start + slot * 8, 8)?;
            return Ok(order.u64(&bytes, 0));
        }
        let bytes = self.device.get(start + slot * 4, 4)?;
        Ok(u64::try_from(order.i32(&bytes, 0)).unwrap_or(0))
    }

    /// The address of a block of a file, in fragments; 0 where it has none.
    pub fn find(&mut self, inode: &Inode, block: u64) -> Result<u64> {
        let way = self.way(block)?;
        let mut address = inode.address(way.slot);
        for slot in way.inner {
            if address == 0 {
                return Ok(0);
            }
            address = self.slot(address, slot)?;
        }
        if address == 0 { Ok(0) } else { self.check(address) }
    }

    /// Bytes of a block that are allocated, by the file's size (blksize).
    fn held(&self, size: u64, block: u64) -> u64 {
        let (unit, fragment) = (u64::from(self.superblock.block), u64::from(self.superblock.fragment));
        let start = block * unit;
        if block >= DIRECT as u64 || size >= start + unit {
            return unit;
        }
        (size - size.min(start)).next_multiple_of(fragment)
    }

    /// Up to `length` bytes, at most [`READ_MOST`].
    pub fn read_file(&mut self, inode: &Inode, offset: u64, length: u32) -> Result<Vec<u8>> {
        if let Some(target) = inode.short_target() {
            let from = (offset as usize).min(target.len());
            return Ok(wherry_sdk::bytes::part(target, from, length as usize).to_vec());
        }
        let (size, unit) = (inode.size(), u64::from(self.superblock.block));
        let end = offset.saturating_add(u64::from(length.min(READ_MOST))).min(size);
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            let block = at / unit;
            let take = (unit - at % unit).min(end - at);
            let address = self.find(inode, block)?;
            if address == 0 {
                bytes.resize(bytes.len() + take as usize, 0);
            } else {
                let start = address * u64::from(self.superblock.fragment) + at % unit;
                bytes.extend(self.device.get(start, take as u32)?);
            }
            at += take;
        }
        Ok(bytes)
    }

    /// Names a block of a file; blocks of addresses are made as needed.
    fn name(&mut self, inode: &mut Inode, block: u64, address: u32) -> Result<()> {
        let way = self.way(block)?;
        let order = self.superblock.order;
        let (fragment, fragments) = (u64::from(self.superblock.fragment), self.superblock.fragments);
        let sectors = i64::from(self.superblock.block / 512);
        let near = self.group_of_inode(inode.number);
        let zeros = vec![0; self.superblock.block as usize];
        let Some((last, tables)) = way.inner.split_last() else {
            inode.set_address(way.slot, address);
            return Ok(());
        };
        let mut table = inode.address(way.slot);
        if table == 0 {
            let new = self.take(near, fragments)?;
            self.device.write(u64::from(new) * fragment, &zeros)?;
            inode.set_address(way.slot, new);
            inode.add_sectors(sectors);
            table = new.into();
        }
        for slot in tables {
            let mut next = self.slot(table, *slot)?;
            if next == 0 {
                let new = self.take(near, fragments)?;
                self.device.write(u64::from(new) * fragment, &zeros)?;
                let mut bytes = [0; 4];
                order.put32(&mut bytes, 0, new);
                self.device.write(table * fragment + slot * 4, &bytes)?;
                inode.add_sectors(sectors);
                next = new.into();
            }
            table = next;
        }
        let mut bytes = [0; 4];
        order.put32(&mut bytes, 0, address);
        self.device.write(self.check(table)? * fragment + last * 4, &bytes)
    }

    /// Makes sure that a block has `wanted` bytes, all fragments or some; what it had is kept.
    fn grow(&mut self, inode: &mut Inode, block: u64, had: u64, wanted: u64) -> Result<u64> {
        let fragment = u64::from(self.superblock.fragment);
        let old = self.find(inode, block)?;
        if old != 0 && had >= wanted {
            return Ok(old);
        }
        let count = (wanted / fragment) as u32;
        let near = self.group_of_inode(inode.number);
        let new = self.take(near, count)?;
        let mut bytes = if old == 0 { Vec::new() } else { self.device.get(old * fragment, had as u32)? };
        bytes.resize(wanted as usize, 0);
        self.device.write(u64::from(new) * fragment, &bytes)?;
        self.name(inode, block, new)?;
        let mut more = wanted as i64;
        if old != 0 {
            self.give(old, (had / fragment) as u32)?;
            more -= had as i64;
        }
        inode.add_sectors(more / 512);
        Ok(new.into())
    }

    /// Writes from `offset` on, which is not beyond the end; the file grows as needed. The inode is not stored.
    pub fn write_range(&mut self, inode: &mut Inode, offset: u64, content: &dyn Blob) -> Result<()> {
        let (unit, fragment) = (u64::from(self.superblock.block), u64::from(self.superblock.fragment));
        let (old, end) = (inode.size(), offset.saturating_add(content.size()));
        let size = old.max(end);
        // The last block of the old size may have been fragments only.
        if size > old && !old.is_multiple_of(unit) {
            let block = old / unit;
            self.grow(inode, block, self.held(old, block), self.held(size, block))?;
        }
        let mut at = offset;
        while at < end {
            let block = at / unit;
            let take = (unit - at % unit).min(end - at);
            // What was there before has grown to this already.
            let had = if block * unit < old { self.held(size, block) } else { 0 };
            let address = self.grow(inode, block, had, self.held(size, block))?;
            let bytes = content.read(at - offset, take as u32)?;
            self.device.write(address * fragment + at % unit, &bytes)?;
            at += take;
        }
        inode.set_size(size);
        Ok(())
    }

    /// Gives all blocks back. The inode is not stored.
    pub fn cut(&mut self, inode: &mut Inode) -> Result<()> {
        if inode.short_target().is_some() {
            (0..DIRECT + INDIRECT).for_each(|slot| inode.set_address(slot, 0));
            inode.set_size(0);
            return Ok(());
        }
        let (unit, fragment) = (u64::from(self.superblock.block), u64::from(self.superblock.fragment));
        let size = inode.size();
        for block in 0..size.div_ceil(unit).min(DIRECT as u64) {
            let address = inode.address(block as usize);
            if address != 0 {
                let count = self.held(size, block) / fragment;
                self.give(self.check(address)?, count as u32)?;
            }
        }
        for level in 0..INDIRECT {
            self.cut_table(inode.address(DIRECT + level), level)?;
        }
        (0..DIRECT + INDIRECT).for_each(|slot| inode.set_address(slot, 0));
        inode.add_sectors(i64::MIN / 2);
        inode.set_size(0);
        Ok(())
    }

    fn cut_table(&mut self, table: u64, level: usize) -> Result<()> {
        if table == 0 {
            return Ok(());
        }
        let fragments = self.superblock.fragments;
        for slot in 0..self.addresses() {
            let address = self.slot(table, slot)?;
            match (address, level) {
                (0, _) => {}
                (address, 0) => self.give(self.check(address)?, fragments)?,
                (address, _) => self.cut_table(address, level - 1)?,
            }
        }
        self.give(table, fragments)
    }

    /// The content of something short, such as a directory.
    pub fn read_whole(&mut self, inode: &Inode, most: u64) -> Result<Vec<u8>> {
        let size = inode.size();
        if size > most {
            let message = format!("inode {} has {size} bytes, more than the {most} expected", inode.number);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        while (bytes.len() as u64) < size {
            bytes.extend(self.read_file(
                inode,
                bytes.len() as u64,
                (size - bytes.len() as u64).min(PIECE) as u32,
            )?);
        }
        Ok(bytes)
    }
}
