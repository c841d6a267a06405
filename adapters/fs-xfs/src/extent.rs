//! Where a fork's blocks are: lists and trees of extents (XFS Algorithms & Data Structures, "Data Extents"; Linux:
//! fs/xfs/libxfs/xfs_bmap_btree.h).

use crate::Xfs;
use crate::bytes::{Own, be16_at, be32_at, be64_at, check, damaged, part};
use crate::inode::{Format, Inode, Which};
use std::collections::HashSet;
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

const RECORD: usize = 16;
/// Levels of a tree, more than the largest file needs.
const LEVELS_MOST: u16 = 10;
/// Extents of one file that are kept: 2^21, which are 64 MiB, and 128 while they become more.
const EXTENTS_MOST: usize = 1 << 21;
/// Header of a block in version 4 and 5, in bytes.
const HEADER: usize = 24;
const HEADER_5: usize = 72;
const MAGIC: u32 = 0x424d_4150;
const MAGIC_5: u32 = 0x424d_4133;
const OWN: Own = Own { checksum: 64, sector: 24, uuid: 40, owner: 56 };

/// A run of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// the first block of the file, in blocks
    pub start: u64,
    /// the first block of the device, with its group in the upper bits
    pub block: u64,
    /// blocks
    pub count: u64,
    /// The blocks are there and count as zeroes.
    pub unwritten: bool,
}

impl Extent {
    fn parse(record: &[u8]) -> Self {
        let (high, low) = (be64_at(record, 0), be64_at(record, 8));
        Self {
            start: high << 1 >> 10,
            block: (high & 0x1ff) << 43 | low >> 21,
            count: low & 0x1f_ffff,
            unwritten: high >> 63 == 1,
        }
    }

    /// The first block of the file behind it.
    pub fn end(&self) -> u64 {
        self.start + self.count
    }
}

/// The extent that holds this block of a file, or the next one behind it.
pub fn at(extents: &[Extent], block: u64) -> Option<&Extent> {
    extents.get(extents.partition_point(|extent| extent.end() <= block))
}

/// A walk through one tree.
struct Walk {
    inode: Inode,
    seen: HashSet<u64>,
    found: Vec<Extent>,
}

impl Walk {
    fn refuse<T>(&self, why: &str) -> Result<T> {
        Err(damaged(self.inode.place, &format!("inode {}: {why}", self.inode.number)))
    }

    fn add(&mut self, superblock: &crate::superblock::Superblock, records: &[u8]) -> Result<()> {
        for record in records.chunks_exact(RECORD) {
            let extent = Extent::parse(record);
            let behind = self.found.last().is_none_or(|last| extent.start >= last.end());
            if !behind || extent.count == 0 {
                return self.refuse("extents are out of order");
            }
            // A file on the realtime device has another kind of numbers; it is never read.
            if !self.inode.is_realtime() && superblock.place(extent.block, extent.count).is_none() {
                return self.refuse("an extent lies outside of its group");
            }
            if self.found.len() >= EXTENTS_MOST {
                let message = format!("inode {} is in more than {EXTENTS_MOST} pieces", self.inode.number);
                return Err(Error::new(ErrorKind::Limit, message));
            }
            self.found.push(extent);
        }
        Ok(())
    }
}

impl Xfs {
    /// All extents of a fork, in order. A fork without blocks has none.
    pub fn extents(&mut self, inode: &Inode, which: Which) -> Result<Rc<Vec<Extent>>> {
        if let Some((key, extents)) = &self.extents
            && *key == (inode.number, which)
        {
            return Ok(Rc::clone(extents));
        }
        // Two such lists would not fit into an adapter's memory.
        self.extents = None;
        let fork = inode.fork(which);
        let mut walk = Walk { inode: inode.clone(), seen: HashSet::new(), found: Vec::new() };
        match fork.format {
            Format::Nothing | Format::Local => {}
            Format::Extents => {
                let length = usize::try_from(fork.extents).ok().and_then(|count| count.checked_mul(RECORD));
                let Some(records) = length.and_then(|length| fork.bytes.get(..length)) else {
                    return walk.refuse("more extents than fit into it");
                };
                walk.add(&self.superblock, records)?;
            }
            Format::Btree => {
                let (level, count) = (be16_at(fork.bytes, 0), usize::from(be16_at(fork.bytes, 2)));
                let most = fork.bytes.len().saturating_sub(4) / RECORD;
                if level == 0 || level > LEVELS_MOST || count == 0 || count > most {
                    return walk.refuse("the root of its extents is damaged");
                }
                for child in part(fork.bytes, 4 + most * 8, count * 8).chunks_exact(8) {
                    self.descend(&mut walk, be64_at(child, 0), level - 1)?;
                }
            }
        }
        if fork.format == Format::Btree && walk.found.len() as u64 != fork.extents {
            return walk.refuse("it has not as many extents as it says");
        }
        let found = Rc::new(walk.found);
        self.extents = Some(((inode.number, which), Rc::clone(&found)));
        Ok(found)
    }

    /// A block of the tree, which must be of this level, and what is below it.
    fn descend(&mut self, walk: &mut Walk, block: u64, level: u16) -> Result<()> {
        let Some(place) = self.superblock.place(block, 1) else {
            return walk.refuse("its tree of extents leaves the file system");
        };
        if !walk.seen.insert(block) {
            return walk.refuse("its tree of extents leads to a block twice");
        }
        let bytes = self.device.get(place, self.superblock.block_size)?;
        let fifth = self.superblock.version == 5;
        let (magic, header) = if fifth { (MAGIC_5, HEADER_5) } else { (MAGIC, HEADER) };
        if fifth {
            check(&self.superblock, &bytes, &OWN, place, walk.inode.number, "a block of extents")?;
        }
        let count = usize::from(be16_at(&bytes, 6));
        let most = (bytes.len() - header) / RECORD;
        if be32_at(&bytes, 0) != magic || be16_at(&bytes, 4) != level || count == 0 || count > most {
            return walk.refuse("a block of its tree of extents is damaged");
        }
        if level == 0 {
            return walk.add(&self.superblock, part(&bytes, header, count * RECORD));
        }
        for child in part(&bytes, header + most * 8, count * 8).chunks_exact(8) {
            self.descend(walk, be64_at(child, 0), level - 1)?;
        }
        Ok(())
    }

    /// The bytes of `count` blocks of a fork from block `from` on, which are metadata and must all be there; and where the
    /// first of them is on the device.
    pub fn fork_blocks(&mut self, extents: &[Extent], from: u64, count: u64) -> Result<(Vec<u8>, u64)> {
        let (mut bytes, mut first, mut next) = (Vec::new(), None, from);
        let end = from.saturating_add(count);
        while next < end {
            let extent = at(extents, next).filter(|extent| extent.start <= next && !extent.unwritten);
            let here = extent.and_then(|extent| {
                let take = (extent.end() - next).min(end - next);
                Some((self.superblock.place(extent.block + (next - extent.start), take)?, take))
            });
            let missing = || {
                Error::new(ErrorKind::Corrupt, format!("block {next} of a fork is missing: run xfs_repair"))
            };
            let (place, take) = here.ok_or_else(missing)?;
            let length = take.saturating_mul(u64::from(self.superblock.block_size));
            bytes.extend(self.device.get(place, u32::try_from(length).unwrap_or(u32::MAX))?);
            first = first.or(Some(place));
            next += take;
        }
        Ok((bytes, first.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let high: u64 = 1 << 63 | 5 << 9 | 1;
        let low: u64 = 7 << 21 | 3;
        let record = [high.to_be_bytes(), low.to_be_bytes()].concat();
        let extent = Extent::parse(&record);
        assert_eq!(extent, Extent { start: 5, block: 1 << 43 | 7, count: 3, unwritten: true });
        let list = [extent, Extent { start: 20, ..extent }];
        assert_eq!(
            [0, 5, 7, 8, 22, 23].map(|block| at(&list, block).map(|found| found.start)),
            [Some(5), Some(5), Some(5), Some(20), Some(20), None]
        );
    }
}
