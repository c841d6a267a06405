//! Where a fork's blocks are: lists and trees of extents (XFS Algorithms & Data Structures, "Data Extents"; Linux:
//! fs/xfs/libxfs/xfs_bmap_btree.h).

use crate::Xfs;
use crate::bytes::{Own, be16_at, be32_at, be64_at, check, damaged, part};
use crate::inode::{Format, Inode, Which};
use std::collections::HashSet;
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes of a record.
pub const RECORD: usize = 16;
/// The longest extent, in blocks.
pub const COUNT_MOST: u64 = (1 << 21) - 1;
/// Levels of a tree, more than the largest file needs.
const LEVELS_MOST: u16 = 10;
/// Extents of one file that are kept: 2^21, which are 64 MiB, and 128 while they become more.
const EXTENTS_MOST: usize = 1 << 21;
/// Header of a block in version 4 and 5, in bytes.
pub const HEADER: [usize; 2] = [24, 72];
/// Magic numbers.
pub const MAGICS: [u32; 2] = [0x424d_4150, 0x424d_4133];
pub const OWN: Own = Own { checksum: 64, sector: 24, uuid: 40, owner: 56, change: 32 };

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

    /// Whether the other one is its continuation.
    fn goes_on_in(&self, other: &Self) -> bool {
        self.end() == other.start
            && self.block + self.count == other.block
            && self.unwritten == other.unwritten
            && self.count + other.count <= COUNT_MOST
    }

    /// The record.
    pub fn bytes(&self) -> [u8; RECORD] {
        let high = u64::from(self.unwritten) << 63 | self.start << 9 & (u64::MAX >> 1) | self.block >> 43;
        let low = self.block << 21 | self.count & COUNT_MOST;
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
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

/// Takes `count` blocks from `start` on out of a list, and puts `new` in their place: what was taken out, in order.
pub fn replace(list: &mut Vec<Extent>, start: u64, count: u64, new: Option<Extent>) -> Vec<Extent> {
    let end = start.saturating_add(count);
    let first = list.partition_point(|extent| extent.end() <= start);
    let last = list.partition_point(|extent| extent.start < end).max(first);
    let cut = |extent: &Extent, from: u64, to: u64| {
        let (from, to) = (from.max(extent.start), to.min(extent.end()));
        (from < to).then(|| {
            let block = extent.block + (from - extent.start);
            Extent { start: from, block, count: to - from, unwritten: extent.unwritten }
        })
    };
    let hit: Vec<Extent> = list.get(first..last).unwrap_or_default().to_vec();
    let head = hit.first().and_then(|extent| cut(extent, 0, start));
    let tail = hit.last().and_then(|extent| cut(extent, end, u64::MAX));
    let mut middle: Vec<Extent> = Vec::new();
    let before = first.checked_sub(1).filter(|_| head.is_none());
    let behind = Some(last).filter(|last| tail.is_none() && *last < list.len());
    let mut range = first..last;
    let left = before.and_then(|at| list.get(at)).copied();
    let right = behind.and_then(|at| list.get(at)).copied();
    range.start -= usize::from(left.is_some());
    range.end += usize::from(right.is_some());
    for extent in [left, head, new, tail, right].into_iter().flatten() {
        match middle.last_mut() {
            Some(last) if last.goes_on_in(&extent) => last.count += extent.count,
            _ => middle.push(extent),
        }
    }
    list.splice(range, middle);
    hit.iter().filter_map(|extent| cut(extent, start, end)).collect()
}

/// A walk through one tree.
struct Walk {
    inode: Inode,
    seen: HashSet<u64>,
    /// blocks of the tree, the lowest level first within each branch
    nodes: Vec<u64>,
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
        let found = Rc::new(self.walk(inode, which)?.found);
        self.extents = Some(((inode.number, which), Rc::clone(&found)));
        Ok(found)
    }

    /// The blocks of a fork's tree of extents.
    pub fn fork_nodes(&mut self, inode: &Inode, which: Which) -> Result<Vec<u64>> {
        if inode.fork(which).format != Format::Btree {
            return Ok(Vec::new());
        }
        Ok(self.walk(inode, which)?.nodes)
    }

    fn walk(&mut self, inode: &Inode, which: Which) -> Result<Walk> {
        let fork = inode.fork(which);
        let mut walk =
            Walk { inode: inode.clone(), seen: HashSet::new(), nodes: Vec::new(), found: Vec::new() };
        match fork.format {
            Format::Nothing | Format::Local => {}
            Format::Extents => {
                let length = usize::try_from(fork.extents).ok().and_then(|count| count.checked_mul(RECORD));
                let Some(records) = length.and_then(|length| fork.bytes.get(..length)) else {
                    return walk.refuse("more extents than fit into it");
                };
                walk.add(&self.disk.superblock, records)?;
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
        Ok(walk)
    }

    /// A block of the tree, which must be of this level, and what is below it.
    fn descend(&mut self, walk: &mut Walk, block: u64, level: u16) -> Result<()> {
        let Some(place) = self.disk.superblock.place(block, 1) else {
            return walk.refuse("its tree of extents leaves the file system");
        };
        if !walk.seen.insert(block) {
            return walk.refuse("its tree of extents leads to a block twice");
        }
        let bytes = self.disk.device.get(place, self.disk.superblock.block_size)?;
        let fifth = self.disk.superblock.version == 5;
        let form = self.disk.superblock.form();
        let (magic, header) = (MAGICS[form], HEADER[form]);
        if fifth {
            check(&self.disk.superblock, &bytes, &OWN, place, walk.inode.number, "a block of extents")?;
        }
        let count = usize::from(be16_at(&bytes, 6));
        let most = (bytes.len() - header) / RECORD;
        if be32_at(&bytes, 0) != magic || be16_at(&bytes, 4) != level || count == 0 || count > most {
            return walk.refuse("a block of its tree of extents is damaged");
        }
        if level == 0 {
            walk.nodes.push(block);
            return walk.add(&self.disk.superblock, part(&bytes, header, count * RECORD));
        }
        for child in part(&bytes, header + most * 8, count * 8).chunks_exact(8) {
            self.descend(walk, be64_at(child, 0), level - 1)?;
        }
        walk.nodes.push(block);
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
                Some((self.disk.superblock.place(extent.block + (next - extent.start), take)?, take))
            });
            let missing = || {
                Error::new(ErrorKind::Corrupt, format!("block {next} of a fork is missing: run xfs_repair"))
            };
            let (place, take) = here.ok_or_else(missing)?;
            let length = take.saturating_mul(u64::from(self.disk.superblock.block_size));
            bytes.extend(self.disk.device.get(place, u32::try_from(length).unwrap_or(u32::MAX))?);
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
        assert_eq!(extent.bytes().as_slice(), record);
        let list = [extent, Extent { start: 20, ..extent }];
        assert_eq!(
            [0, 5, 7, 8, 22, 23].map(|block| at(&list, block).map(|found| found.start)),
            [Some(5), Some(5), Some(5), Some(20), Some(20), None]
        );
    }

    /// Against a list of single blocks.
    #[test]
    fn replaced() {
        let mut random = wherry_sdk::testing::Random::new(1);
        let (mut list, mut blocks) = (Vec::new(), std::collections::BTreeMap::new());
        for round in 0..2000 {
            let (start, count) = (random.below(40), 1 + random.below(9));
            let block = 1000 + start + 100 * random.below(2);
            let unwritten = random.below(4) == 0;
            let new = (random.below(3) > 0).then_some(Extent { start, block, count, unwritten });
            let out = replace(&mut list, start, count, new);
            for extent in out {
                for index in 0..extent.count {
                    let old = blocks.remove(&(extent.start + index));
                    assert_eq!(old, Some((extent.block + index, extent.unwritten)), "{round}");
                }
            }
            for index in 0..new.map_or(0, |new| new.count) {
                assert!(blocks.insert(start + index, (block + index, unwritten)).is_none());
            }
            let flat: Vec<_> = list
                .iter()
                .flat_map(|extent: &Extent| {
                    (0..extent.count)
                        .map(|index| (extent.start + index, (extent.block + index, extent.unwritten)))
                })
                .collect();
            assert!(flat.iter().copied().eq(blocks.clone()), "{round}");
            assert!(list.iter().zip(list.iter().skip(1)).all(|(one, next)| !one.goes_on_in(next)), "{round}");
        }
    }
}
