//! Chunks of inodes: which are free, and new ones (XFS Algorithms & Data Structures, "Inode Management", "Sparse Inodes";
//! Linux: fs/xfs/libxfs/xfs_ialloc.c).

use crate::Xfs;
use crate::bytes::damaged;
use crate::device::Disk;
use crate::features;
use crate::group::{Group, OWNER_INODES};
use crate::inode::Inode;
use crate::record::Record;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result};

/// Inodes of one record.
const CHUNK: u64 = 64;
/// Inodes that one bit of a record's holes stands for.
const HOLE: u64 = 4;
/// All inodes of a chunk missing.
const HOLES: u64 = 0xffff;
/// Records that are looked at in one group for a free inode where no tree lists those.
const CHUNKS_MOST: usize = 1 << 20;

/// A record, as what it says.
struct Chunk {
    record: Record,
    sparse: bool,
}

impl Chunk {
    /// The inodes that are there and free, one bit each.
    fn free(&self) -> u64 {
        if !self.sparse {
            return self.record.owner;
        }
        let holes = self.record.count >> 16;
        let there = |bit: &u64| holes >> (bit / HOLE) & 1 == 0;
        let mask = (0..CHUNK).filter(there).fold(0u64, |mask, bit| mask | 1 << bit);
        self.record.owner & mask
    }

    /// With this inode free or in use, and the count of free ones right.
    fn with(&self, bit: u64, free: bool) -> Record {
        let owner = if free { self.record.owner | 1 << bit } else { self.record.owner & !(1 << bit) };
        let record = Record { owner, ..self.record };
        let count = u64::from(Self { record, sparse: self.sparse }.free().count_ones());
        let kept = if self.sparse { record.count >> 8 << 8 } else { 0 };
        Record { count: kept | count, ..record }
    }
}

impl Group {
    /// The first chunk from inode `from` of the group on that has a free inode.
    fn free_chunk(&mut self, disk: &mut Disk, from: u64, sparse: bool) -> Result<Option<Record>> {
        let mut key = [from, 0, 0];
        for _ in 0..CHUNKS_MOST {
            let tree = self.free_chunks.as_mut().unwrap_or(&mut self.chunks);
            let Some(record) = tree.at_or_behind(disk, key)? else { return Ok(None) };
            if (Chunk { record, sparse }).free() != 0 {
                return Ok(Some(record));
            }
            key = [record.start + 1, 0, 0];
        }
        Ok(None)
    }

    /// The chunk that holds an inode of the group.
    fn chunk_of(&mut self, disk: &mut Disk, inode: u64) -> Result<Record> {
        let found = self.chunks.at_or_before(disk, [inode, 0, 0])?;
        found
            .filter(|found| inode < found.start + CHUNK)
            .ok_or_else(|| self.damaged("an inode is in no chunk"))
    }

    /// Writes a chunk's record into both trees.
    fn set_chunk(&mut self, disk: &mut Disk, old: &Record, new: Record, sparse: bool) -> Result<()> {
        self.changed = true;
        self.chunks.replace(disk, old, new)?;
        let free = |record: &Record| Chunk { record: *record, sparse }.free() != 0;
        let Some(tree) = &mut self.free_chunks else { return Ok(()) };
        if free(old) {
            tree.remove(disk, old)?;
        }
        if free(&new) {
            tree.insert(disk, new)?;
        }
        Ok(())
    }
}

impl Xfs {
    /// An inode's number as its group and its number in there.
    fn split_inode(&self, number: u64) -> (u32, u64) {
        let bits = self.disk.superblock.group_bits + self.disk.superblock.inode_bits;
        (u32::try_from(number >> bits).unwrap_or(u32::MAX), number & ((1 << bits) - 1))
    }

    /// The number in the whole file system of an inode of a group.
    pub fn join_inode(&self, group: u32, inode: u64) -> u64 {
        u64::from(group) << (self.disk.superblock.group_bits + self.disk.superblock.inode_bits) | inode
    }

    fn is_sparse(&self) -> bool {
        self.disk.superblock.has(features::SPARSE)
    }

    /// Takes a free inode, near `parent` if there is one: its number.
    pub fn allocate_inode(&mut self, parent: u64) -> Result<u64> {
        let (home, near) = self.split_inode(parent);
        let (sparse, groups) = (self.is_sparse(), self.disk.superblock.groups);
        let near = near.saturating_sub(CHUNK - 1);
        for fresh in [false, true] {
            for step in 0..groups {
                let number = ((u64::from(home) + u64::from(step)) % u64::from(groups)) as u32;
                if fresh && !self.make_chunk(number)? && !self.make_part(number)? {
                    continue;
                }
                let near = if step == 0 { near } else { 0 };
                let (group, disk) = self.group(number)?;
                let mut found = group.free_chunk(disk, near, sparse)?;
                if found.is_none() && near > 0 {
                    found = group.free_chunk(disk, 0, sparse)?;
                }
                if let Some(record) = found {
                    let chunk = Chunk { record, sparse };
                    let bit = u64::from(chunk.free().trailing_zeros());
                    let whole = group.chunk_of(disk, record.start)?;
                    if whole != record {
                        return Err(group.damaged("its two trees of inodes differ"));
                    }
                    group.set_chunk(disk, &record, chunk.with(bit, false), sparse)?;
                    group.count_inodes(0, -1);
                    disk.superblock.count_inodes(0, -1);
                    return Ok(self.join_inode(number, record.start + bit));
                }
            }
        }
        Err(Error::new(
            ErrorKind::NoSpace,
            "there is no free inode, and no room for more: make room in the guest",
        ))
    }

    /// Gives an inode back.
    pub fn free_inode(&mut self, number: u64) -> Result<()> {
        let (home, inode) = self.split_inode(number);
        let sparse = self.is_sparse();
        let (group, disk) = self.group(home)?;
        let record = group.chunk_of(disk, inode)?;
        let bit = inode - record.start;
        let chunk = Chunk { record, sparse };
        if record.owner >> bit & 1 == 1 {
            return Err(group.damaged("an inode that has a name is free"));
        }
        group.set_chunk(disk, &record, chunk.with(bit, true), sparse)?;
        group.count_inodes(0, 1);
        disk.superblock.count_inodes(0, 1);
        Ok(())
    }

    /// Whether so many more inodes may be made.
    fn may_have(&self, inodes: u64) -> bool {
        let superblock = &self.disk.superblock;
        let most = u128::from(superblock.blocks) * u128::from(superblock.inodes_most()) / 100;
        let most = most << superblock.inode_bits;
        most == 0 || u128::from(superblock.inodes() + inodes) <= most
    }

    /// Makes a part of a chunk of inodes in a group, where there is no room for a whole one; false if there is none.
    fn make_part(&mut self, number: u32) -> Result<bool> {
        let superblock = &self.disk.superblock;
        let (bits, blocks, alignment) =
            (superblock.inode_bits, superblock.inode_part(), superblock.inode_alignment());
        let (inodes, end) = (blocks << bits, u64::from(superblock.blocks_of(number)));
        let right =
            alignment << bits == CHUNK && (HOLE..CHUNK).contains(&inodes) && alignment % blocks.max(1) == 0;
        if !right || !self.may_have(inodes) {
            return Ok(false);
        }
        let (group, disk) = self.group(number)?;
        if group.spare() < blocks {
            return Ok(false);
        }
        let Some(start) = group.find_aligned(disk, blocks, blocks)? else { return Ok(false) };
        // All of the chunk has to be in the group, behind its headers.
        let whole = start / alignment * alignment;
        if whole == 0 || whole + alignment > end {
            return Ok(false);
        }
        group.take(disk, start, blocks)?;
        group.own(disk, Record { start, count: blocks, owner: OWNER_INODES, offset: 0 })?;
        let first = (start - whole) << bits;
        let there = (first / HOLE..(first + inodes) / HOLE).fold(0u64, |mask, bit| mask | 1 << bit);
        let empty = Record { start: whole << bits, count: HOLES << 16, owner: u64::MAX, offset: 0 };
        let old = group.chunks.at_or_before(disk, [empty.start, 0, 0])?;
        let old = old.filter(|old| old.start == empty.start);
        let before = old.unwrap_or(empty);
        let (holes, count, free) = (before.count >> 16, before.count >> 8 & 0xff, before.count & 0xff);
        if holes & there != there {
            return Err(group.damaged("inodes are where blocks are free"));
        }
        let count = (holes & !there) << 16 | (count + inodes) << 8 | (free + inodes);
        let new = Record { count, ..before };
        match old {
            Some(old) => group.set_chunk(disk, &old, new, true)?,
            None => {
                group.chunks.insert(disk, new)?;
                group.free_chunks.as_mut().map_or(Ok(()), |tree| tree.insert(disk, new))?;
            }
        }
        group.count_inodes(inodes as i64, inodes as i64);
        disk.superblock.count_inodes(inodes as i64, inodes as i64);
        disk.superblock.count_blocks(-(blocks as i64));
        let first = self.join_inode(number, start << bits);
        self.write_chunk(first, inodes)?;
        Ok(true)
    }

    /// Makes a new chunk of inodes in a group; false if there is no room.
    fn make_chunk(&mut self, number: u32) -> Result<bool> {
        let superblock = &self.disk.superblock;
        let inodes = CHUNK.max(1 << superblock.inode_bits);
        let blocks = (inodes >> superblock.inode_bits).max(1);
        let (bits, alignment) = (superblock.inode_bits, superblock.inode_alignment());
        if !self.may_have(inodes) {
            return Ok(false);
        }
        let sparse = self.is_sparse();
        let (group, disk) = self.group(number)?;
        if group.spare() < blocks {
            return Ok(false);
        }
        let Some(start) = group.find_aligned(disk, blocks, alignment)? else { return Ok(false) };
        group.take(disk, start, blocks)?;
        group.own(disk, Record { start, count: blocks, owner: OWNER_INODES, offset: 0 })?;
        let first = start << bits;
        for chunk in 0..inodes / CHUNK {
            let count = if sparse { CHUNK << 8 | CHUNK } else { CHUNK };
            let record = Record { start: first + chunk * CHUNK, count, owner: u64::MAX, offset: 0 };
            group.chunks.insert(disk, record)?;
            if let Some(tree) = &mut group.free_chunks {
                tree.insert(disk, record)?;
            }
        }
        group.count_inodes(inodes as i64, inodes as i64);
        group.note_chunk(first as u32);
        disk.superblock.count_inodes(inodes as i64, inodes as i64);
        disk.superblock.count_blocks(-(blocks as i64));
        let first = self.join_inode(number, first);
        self.write_chunk(first, inodes)?;
        Ok(true)
    }

    /// Inodes that were never used, from this one on.
    fn write_chunk(&mut self, first: u64, count: u64) -> Result<()> {
        let place = self.disk.superblock.inode_place(first)?;
        let mut bytes = Vec::new();
        for number in first..first + count {
            let generation = crc32c(number as u32, &wherry_sdk::now_unix().to_le_bytes());
            bytes.extend(Inode::blank(&self.disk, number, generation));
        }
        if bytes.len() > READ_MOST as usize {
            return Err(damaged(place, "a chunk of inodes has an impossible size"));
        }
        self.disk.device.put(place, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_not_free() {
        // The upper half is missing, and counts as free.
        let record = Record { start: 0, count: 0xff00 << 16 | 32 << 8 | 2, owner: !0u64 << 30, offset: 0 };
        let chunk = Chunk { record, sparse: true };
        assert_eq!(chunk.free(), 3 << 30);
        let used = chunk.with(31, false);
        assert_eq!((used.count, used.owner), (0xff00 << 16 | 32 << 8 | 1, !0u64 << 30 & !(1 << 31)));
        let whole =
            Chunk { record: Record { start: 0, count: 64, owner: u64::MAX, offset: 0 }, sparse: false };
        assert_eq!(whole.with(0, false).count, 63);
    }
}
