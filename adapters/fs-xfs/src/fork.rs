//! Forks that were changed: what they hold goes into the inode, or into a tree of blocks where it does not fit (XFS
//! Algorithms & Data Structures, "Data Fork", "Attribute Fork", "B+tree Extent List"; Linux:
//! fs/xfs/libxfs/xfs_inode_fork.c, xfs_bmap_btree.c, xfs_attr_leaf.c).

use crate::Xfs;
use crate::allocate::Owner;
use crate::bytes::{damaged, finish, put, put_be16, put_be32, put_be64};
use crate::extent::{Extent, HEADER, MAGICS, OWN, RECORD};
use crate::inode::{Format, Inode, Which};
use crate::record::{OF_ATTRIBUTES, OF_TREE, UNWRITTEN};
use crate::tree::shares;
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes that each fork needs at least where there are two: the root of a small tree, as Linux has it.
const DATA_LEAST: usize = 56;
const ATTRIBUTES_LEAST: usize = 40;
/// A device's number, with padding.
const DEVICE: usize = 8;
const NONE: u64 = u64::MAX;

/// What a fork holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// No fork of attributes.
    Nothing,
    /// A device's number.
    Device(Vec<u8>),
    /// Bytes in the inode.
    Local(Vec<u8>),
    /// Blocks.
    Mapped(Vec<Extent>),
}

impl Held {
    /// Bytes that it takes in the inode at best, and at least.
    fn takes(&self, which: Which) -> (usize, usize) {
        let least = if which == Which::Data { DATA_LEAST } else { ATTRIBUTES_LEAST };
        match self {
            Self::Nothing => (0, 0),
            Self::Device(_) => (DEVICE, DEVICE),
            // Other forms are to fit later, too.
            Self::Local(bytes) => (bytes.len().max(least), bytes.len().max(least)),
            Self::Mapped(extents) => (extents.len().saturating_mul(RECORD).max(least), least),
        }
    }
}

/// Where the fork of attributes begins in a room of so many bytes: all of both in the inode if that fits, else one of them in a
/// tree. None if not even that fits.
fn boundary(room: usize, data: &Held, attributes: &Held) -> Option<usize> {
    let (data_best, data_least) = data.takes(Which::Data);
    let (best, least) = attributes.takes(Which::Attributes);
    match (data, attributes) {
        (_, Held::Nothing) => return (data_least <= room).then_some(0),
        (Held::Device(_), _) => return (DEVICE + least <= room).then_some(DEVICE),
        _ => {}
    }
    let tries = [(data_best, best), (data_best, least), (data_least, best), (data_least, least)];
    tries.into_iter().find_map(|(data, attributes)| {
        let at = room.checked_sub(attributes)? / 8 * 8;
        (at >= data && at > 0).then_some(at)
    })
}

/// Whether an inode has room for both.
pub fn fits(inode: &Inode, data: &Held, attributes: &Held) -> bool {
    boundary(inode.room(), data, attributes).is_some()
}

/// A level of a tree in the making: the first block of the file below each block, and that block.
type Row = Vec<(u64, u64)>;

impl Xfs {
    /// What a fork holds, from the disk.
    pub fn held(&mut self, inode: &Inode, which: Which) -> Result<Held> {
        let fork = inode.fork(which);
        match (fork.format, which) {
            (Format::Nothing, Which::Data) => {
                Ok(Held::Device(fork.bytes.get(..4).unwrap_or_default().to_vec()))
            }
            (Format::Nothing, Which::Attributes) => Ok(Held::Nothing),
            (Format::Local, Which::Data) => {
                let length = usize::try_from(inode.size()).unwrap_or(usize::MAX).min(fork.bytes.len());
                Ok(Held::Local(fork.bytes.get(..length).unwrap_or_default().to_vec()))
            }
            (Format::Local, Which::Attributes) => {
                let length = usize::from(crate::bytes::be16_at(fork.bytes, 0)).min(fork.bytes.len());
                Ok(Held::Local(fork.bytes.get(..length).unwrap_or_default().to_vec()))
            }
            _ => Ok(Held::Mapped(self.extents(inode, which)?.to_vec())),
        }
    }

    /// The owner of a fork's block.
    pub fn fork_owner(inode: &Inode, which: Which, extent: &Extent) -> Owner {
        let flags = if which == Which::Attributes { OF_ATTRIBUTES } else { 0 };
        let unwritten = if extent.unwritten { UNWRITTEN } else { 0 };
        Owner { number: inode.number, offset: extent.start | flags | unwritten }
    }

    fn tree_owner(inode: &Inode, which: Which) -> Owner {
        let flags = if which == Which::Attributes { OF_ATTRIBUTES } else { 0 };
        Owner { number: inode.number, offset: OF_TREE | flags }
    }

    /// Gives the inode both forks anew; its blocks but those of trees are counted already. Fails, and changes nothing, where
    /// the two do not fit together (`limit`).
    pub fn set_forks(&mut self, inode: &mut Inode, data: &Held, attributes: &Held) -> Result<()> {
        let narrow = || Error::new(ErrorKind::Limit, format!("inode {} has no room for both", inode.number));
        let at = boundary(inode.room(), data, attributes).ok_or_else(narrow)?;
        let mut nodes = [Vec::new(), Vec::new()];
        for (nodes, which) in nodes.iter_mut().zip([Which::Data, Which::Attributes]) {
            *nodes = self.fork_nodes(inode, which)?;
        }
        inode.set_boundary(at);
        let room = inode.room();
        let areas = [if at == 0 { room } else { at }, if at == 0 { 0 } else { room - at }];
        let forks = [(Which::Data, data), (Which::Attributes, attributes)];
        for (((which, held), nodes), area) in forks.into_iter().zip(nodes).zip(areas) {
            self.set_fork(inode, which, held, nodes, area)?;
        }
        self.extents = None;
        Ok(())
    }

    fn set_fork(
        &mut self,
        inode: &mut Inode,
        which: Which,
        held: &Held,
        nodes: Vec<u64>,
        area: usize,
    ) -> Result<()> {
        let mut nodes = nodes;
        match held {
            Held::Nothing => {}
            Held::Device(bytes) => inode.set_fork(which, Format::Nothing, bytes, 0),
            Held::Local(bytes) => inode.set_fork(which, Format::Local, bytes, 0),
            Held::Mapped(extents) => {
                let count = extents.len() as u64;
                if count > inode.extents_most(which) {
                    let message = format!("inode {} would have more than {count} extents", inode.number);
                    return Err(Error::new(ErrorKind::Limit, message));
                }
                if extents.len() * RECORD <= area {
                    let bytes: Vec<u8> = extents.iter().flat_map(Extent::bytes).collect();
                    inode.set_fork(which, Format::Extents, &bytes, count);
                } else {
                    let root = self.build(inode, which, extents, &mut nodes, area)?;
                    inode.set_fork(which, Format::Btree, &root, count);
                }
            }
        }
        for block in nodes {
            self.release(block, 1, Self::tree_owner(inode, which))?;
            inode.count_blocks(-1);
        }
        Ok(())
    }

    /// One more block for the tree: of those that it had, else a new one.
    fn node(&mut self, inode: &mut Inode, which: Which, nodes: &mut std::vec::IntoIter<u64>) -> Result<u64> {
        if let Some(block) = nodes.next() {
            return Ok(block);
        }
        let goal = inode.number >> self.disk.superblock.inode_bits;
        let (block, _) = self.allocate(goal, 1, Self::tree_owner(inode, which))?;
        inode.count_blocks(1);
        Ok(block)
    }

    /// Writes the tree of a list of extents: its root, which has room for `area` bytes. Blocks that it does not need any more
    /// are left in `nodes`.
    fn build(
        &mut self,
        inode: &mut Inode,
        which: Which,
        extents: &[Extent],
        nodes: &mut Vec<u64>,
        area: usize,
    ) -> Result<Vec<u8>> {
        let form = self.disk.superblock.form();
        let most = (self.disk.superblock.block_size as usize - HEADER[form]) / RECORD;
        let roots = area.saturating_sub(4) / RECORD;
        if roots == 0 {
            return Err(damaged(inode.place, "an inode is too small for a tree"));
        }
        let mut old = std::mem::take(nodes).into_iter();
        let mut pieces: Vec<(u64, Vec<u8>)> = packed(extents, most)
            .map(|part| {
                (part.first().map_or(0, |extent| extent.start), part.iter().flat_map(Extent::bytes).collect())
            })
            .collect();
        let mut level = 0;
        let row = loop {
            let mut row = Row::new();
            for (start, _) in &pieces {
                row.push((*start, self.node(inode, which, &mut old)?));
            }
            for (index, ((_, body), (_, block))) in pieces.iter().zip(&row).enumerate() {
                let at =
                    |index: Option<usize>| index.and_then(|index| row.get(index)).map_or(NONE, |at| at.1);
                let neighbours = (at(index.checked_sub(1)), at(index.checked_add(1)));
                self.put_node(inode, *block, level, neighbours, body)?;
            }
            level += 1;
            if row.len() <= roots {
                break row;
            }
            pieces = packed(&row, most)
                .map(|part| (part.first().map_or(0, |one| one.0), children(part, most)))
                .collect();
        };
        nodes.extend(old);
        let mut root = vec![0; 4];
        put_be16(&mut root, 0, level);
        put_be16(&mut root, 2, row.len() as u16);
        root.extend(children(&row, roots));
        Ok(root)
    }

    fn put_node(
        &mut self,
        inode: &Inode,
        block: u64,
        level: u16,
        neighbours: (u64, u64),
        body: &[u8],
    ) -> Result<()> {
        let place = self.disk.superblock.place(block, 1);
        let place = place.ok_or_else(|| damaged(inode.place, "a tree of extents leaves the file system"))?;
        let form = self.disk.superblock.form();
        let size = self.disk.superblock.block_size as usize;
        // A node's body ends with its children, a leaf's with its records.
        let count = if level == 0 {
            body.len() / RECORD
        } else {
            (body.len() - (size - HEADER[form]) / RECORD * 8) / 8
        };
        let mut bytes = vec![0; size];
        put_be32(&mut bytes, 0, MAGICS[form]);
        put_be16(&mut bytes, 4, level);
        put_be16(&mut bytes, 6, count as u16);
        put_be64(&mut bytes, 8, neighbours.0);
        put_be64(&mut bytes, 16, neighbours.1);
        put(&mut bytes, HEADER[form], body);
        finish(&mut self.disk, &mut bytes, &OWN, place, &inode.number.to_be_bytes())
    }
}

/// Keys, room up to `most` of them, and children.
fn children(row: &[(u64, u64)], most: usize) -> Vec<u8> {
    let mut body: Vec<u8> = row.iter().flat_map(|(start, _)| start.to_be_bytes()).collect();
    body.resize(most * 8, 0);
    body.extend(row.iter().flat_map(|(_, block)| block.to_be_bytes()));
    body
}

/// Pieces of a list that are full, but for the last two, which are at least half full.
fn packed<T>(list: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let blocks = list.len().div_ceil(most).max(1);
    let (full, rest) = list.split_at(blocks.saturating_sub(2) * most);
    let counts = shares(rest.len(), most);
    let first = counts.first().copied().unwrap_or(0);
    full.chunks(most.max(1)).chain(rest.chunks(first.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let list: Vec<u32> = (0..25).collect();
        let sizes = |count: usize| packed(&list[..count], 4).map(<[u32]>::len).collect::<Vec<_>>();
        assert_eq!((sizes(3), sizes(4), sizes(5)), (vec![3], vec![4], vec![3, 2]));
        assert_eq!((sizes(9), sizes(25)), (vec![4, 3, 2], vec![4, 4, 4, 4, 4, 3, 2]));
    }

    #[test]
    fn boundaries() {
        let mapped =
            |count| Held::Mapped(vec![Extent { start: 0, block: 0, count: 1, unwritten: false }; count]);
        let local = |length| Held::Local(vec![0; length]);
        assert_eq!(boundary(336, &mapped(21), &Held::Nothing), Some(0));
        assert_eq!(boundary(336, &mapped(2), &local(50)), Some(280));
        assert_eq!(boundary(336, &mapped(20), &local(50)), Some(280));
        assert_eq!(boundary(336, &mapped(2), &local(300)), None);
        assert_eq!(
            (boundary(336, &local(300), &mapped(1)), boundary(336, &local(290), &mapped(1))),
            (None, Some(296))
        );
        assert_eq!(boundary(336, &local(2), &local(290)), None);
        assert_eq!(boundary(156, &Held::Device(vec![0; 4]), &local(50)), Some(8));
    }
}
