//! Blocks of directories and of attributes in the making: they are written into a fork at a block of it, and hashes of names
//! lead to leaves through nodes (XFS Algorithms & Data Structures, "Directory/Attribute Btree"; Linux:
//! fs/xfs/libxfs/xfs_da_btree.c).

use crate::Xfs;
use crate::bytes::{Own, damaged, field, put, put_be16, put_be32, seal};
use crate::extent::{Extent, at, replace};
use crate::inode::{Inode, Which};
use crate::tree::shares;
use wherry_sdk::Result;

/// Where version 5 keeps what tells leaves and nodes from others.
pub const OWN: Own = Own { checksum: 12, sector: 16, uuid: 32, owner: 48, change: 24 };
/// Magic numbers of nodes, their headers' lengths and where these count, in version 4 and 5.
const NODE: [u16; 2] = [0xfebe, 0x3ebe];
const HEADER: [usize; 2] = [16, 64];
pub const COUNTS: [usize; 2] = [12, 56];

/// The hash of a name.
pub fn hash(name: &[u8]) -> u32 {
    let (whole, rest) = name.as_chunks::<4>();
    let hash = whole.iter().fold(0u32, |hash, [a, b, c, d]| {
        u32::from(*a) << 21 ^ u32::from(*b) << 14 ^ u32::from(*c) << 7 ^ u32::from(*d) ^ hash.rotate_left(28)
    });
    rest.iter().fold(hash, |hash, byte| u32::from(*byte) ^ hash.rotate_left(7))
}

/// The hash of a name where case does not count.
pub fn folded_hash(name: &[u8]) -> u32 {
    name.iter().fold(0u32, |hash, byte| u32::from(byte.to_ascii_lowercase()) ^ hash.rotate_left(7))
}

/// A block of a fork, in the making: its number in the fork and its bytes.
pub struct Block {
    pub number: u64,
    pub bytes: Vec<u8>,
}

/// Links a block with those before and behind it.
pub fn link(block: &mut [u8], magic: u16, before: u64, behind: u64) {
    put_be32(block, 0, behind as u32);
    put_be32(block, 4, before as u32);
    put_be16(block, 8, magic);
}

/// How many children a node of so many bytes has.
fn node_most(size: usize, form: usize) -> usize {
    ((size - HEADER[form]) / 8).max(2)
}

/// How many nodes are above so many leaves.
pub fn nodes_above(leaves: usize, size: usize, form: usize) -> usize {
    let (mut row, mut all) = (leaves, 0);
    while row > 1 {
        row = row.div_ceil(node_most(size, form));
        all += row;
    }
    all
}

/// The nodes above leaves, each at the next of `numbers`; the root at `root`.
pub fn nodes(
    leaves: &[(u32, u64)],
    size: usize,
    form: usize,
    root: u64,
    numbers: &mut impl Iterator<Item = u64>,
) -> Vec<Block> {
    let (mut row, mut all, mut level) = (leaves.to_vec(), Vec::new(), 0);
    while row.len() > 1 {
        level += 1;
        let counts = shares(row.len(), node_most(size, form));
        let places: Vec<u64> =
            if counts.len() == 1 { vec![root] } else { numbers.take(counts.len()).collect() };
        let at = |index: Option<usize>| index.and_then(|index| places.get(index)).copied().unwrap_or(0);
        let (mut above, mut rest) = (Vec::new(), row.as_slice());
        for (index, count) in counts.iter().enumerate() {
            let (children, behind) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
            rest = behind;
            let mut bytes = vec![0; size];
            link(&mut bytes, NODE[form], at(index.checked_sub(1)), at(index.checked_add(1)));
            put_be16(&mut bytes, COUNTS[form], *count as u16);
            put_be16(&mut bytes, COUNTS[form] + 2, level);
            for (slot, (hash, number)) in children.iter().enumerate() {
                put_be32(&mut bytes, HEADER[form] + slot * 8, *hash);
                put_be32(&mut bytes, HEADER[form] + slot * 8 + 4, *number as u32);
            }
            let last = children.last().map_or(0, |child| child.0);
            above.push((last, at(Some(index))));
            all.push(Block { number: at(Some(index)), bytes });
        }
        row = above;
    }
    all
}

impl Xfs {
    /// Writes a block of several smaller ones, wherever they are.
    pub fn put_fork_block(
        &mut self,
        inode: &Inode,
        map: &[Extent],
        number: u64,
        bytes: &mut [u8],
        own: &Own,
    ) -> Result<()> {
        let unit = self.disk.superblock.block_size as usize;
        let missing =
            || damaged(inode.place, &format!("inode {} lacks a block that it should have", inode.number));
        let place = |fs: &Self, block: u64| {
            let extent = at(map, block).filter(|extent| extent.start <= block)?;
            fs.disk.superblock.place(extent.block + (block - extent.start), 1)
        };
        let first = place(self, number).ok_or_else(missing)?;
        seal(&mut self.disk, bytes, own, first, &inode.number.to_be_bytes())?;
        for (index, piece) in bytes.chunks(unit).enumerate() {
            let place = place(self, number + index as u64).ok_or_else(missing)?;
            self.disk.device.put(place, piece)?;
        }
        Ok(())
    }

    /// Lets a fork have exactly the blocks from `start` on, `count` of them, among those before `end`.
    pub fn fit_blocks(
        &mut self,
        inode: &mut Inode,
        which: Which,
        map: &mut Vec<Extent>,
        (start, end): (u64, u64),
        count: u64,
    ) -> Result<()> {
        let keep = start + count;
        for extent in replace(map, keep, end - keep, None) {
            self.release(extent.block, extent.count, Self::fork_owner(inode, which, &extent))?;
            inode.count_blocks(-(extent.count as i64));
        }
        let mut block = start;
        while block < keep {
            let next = at(map, block).copied();
            if let Some(extent) = next.filter(|extent| extent.start <= block) {
                block = extent.end();
                continue;
            }
            let most = next.map_or(keep, |next| next.start.min(keep)) - block;
            let new = self.new_extent(inode, which, map, block, most)?;
            replace(map, new.start, new.count, Some(new));
            block = new.end();
        }
        Ok(())
    }
}

/// Room in a block's header for what leaves and free blocks begin with.
pub fn headed(size: usize, header: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    put(&mut bytes, header, field(body, 0, body.len()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As xfs_db's `hash` command says.
    #[test]
    fn hashes() {
        assert_eq!((hash(b"."), hash(b".."), hash(b"fstab")), (0x2e, 0x172e, 0x6e7d_30e4));
        assert_eq!(folded_hash(b"A"), folded_hash(b"a"));
    }
}
