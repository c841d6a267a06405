//! Extent trees (Linux: Documentation/filesystems/ext4, "Extent Tree"). A tree only ever grows at its right end and
//! is only ever cut from there, so that nodes stay full and no node has to be split.

use crate::Ext4;
use crate::bytes::{part, put, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;
use crate::content::Run;
use crate::features;
use crate::inode::{AREA_LENGTH, Inode};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

const MAGIC: u16 = 0xf30a;
/// Header and entries have the same length, in bytes.
const ENTRY: usize = 12;
/// Four entries and 340 in each block are enough for 2^32 blocks at this depth.
const DEPTH_MOST: u16 = 5;
/// The longest initialised extent; a longer length means unwritten.
const LENGTH_MOST: u64 = 32768;

/// An extent: `count` blocks from `logical` on are at `physical`.
#[derive(Clone, Copy)]
struct Extent {
    logical: u64,
    count: u64,
    physical: u64,
    unwritten: bool,
}

fn entries(node: &[u8]) -> usize {
    usize::from(u16_at(node, 2))
}

fn set_entries(node: &mut [u8], count: usize) {
    put_u16(node, 2, count as u16);
}

fn room(node: &[u8]) -> usize {
    usize::from(u16_at(node, 4))
}

fn depth(node: &[u8]) -> u16 {
    u16_at(node, 6)
}

/// The first block that entry `index` covers.
fn logical(node: &[u8], index: usize) -> u64 {
    u64::from(u32_at(node, ENTRY * (index + 1)))
}

/// The block that index entry `index` points to.
fn child(node: &[u8], index: usize) -> u64 {
    let at = ENTRY * (index + 1);
    u64::from(u16_at(node, at + 8)) << 32 | u64::from(u32_at(node, at + 4))
}

fn extent(node: &[u8], index: usize) -> Extent {
    let at = ENTRY * (index + 1);
    let length = u64::from(u16_at(node, at + 4));
    let unwritten = length > LENGTH_MOST;
    let count = if unwritten { length - LENGTH_MOST } else { length };
    let physical = u64::from(u16_at(node, at + 6)) << 32 | u64::from(u32_at(node, at + 8));
    Extent { logical: logical(node, index), count, physical, unwritten }
}

fn put_extent(node: &mut [u8], index: usize, extent: &Extent) {
    let at = ENTRY * (index + 1);
    let shift = if extent.unwritten { LENGTH_MOST } else { 0 };
    put_u32(node, at, extent.logical as u32);
    put_u16(node, at + 4, (extent.count + shift) as u16);
    put_u16(node, at + 6, (extent.physical >> 32) as u16);
    put_u32(node, at + 8, extent.physical as u32);
}

fn put_index(node: &mut [u8], index: usize, logical: u64, child: u64) {
    let at = ENTRY * (index + 1);
    put_u32(node, at, logical as u32);
    put_u32(node, at + 4, child as u32);
    put_u16(node, at + 8, (child >> 32) as u16);
    put_u16(node, at + 10, 0);
}

/// An empty node.
fn fresh(length: usize, depth: u16) -> Vec<u8> {
    let mut node = vec![0; length];
    put_u16(&mut node, 0, MAGIC);
    put_u16(&mut node, 4, (length / ENTRY - 1) as u16);
    put_u16(&mut node, 6, depth);
    node
}

/// The last entry that does not begin behind `block`.
fn position(node: &[u8], block: u64) -> Option<usize> {
    let (mut low, mut high) = (0, entries(node));
    while low < high {
        let middle = (low + high) / 2;
        if logical(node, middle) <= block { low = middle + 1 } else { high = middle }
    }
    low.checked_sub(1)
}

/// Whether header and order of entries are right; `length` is the node's in bytes.
fn is_sound(node: &[u8], blocks: u64) -> bool {
    let header = u16_at(node, 0) == MAGIC
        && entries(node) <= room(node)
        && room(node) < node.len() / ENTRY
        && depth(node) <= DEPTH_MOST;
    if !header {
        return false;
    }
    let mut next = 0;
    for index in 0..entries(node) {
        let (start, end, physical, count) = if depth(node) == 0 {
            let extent = extent(node, index);
            (extent.logical, extent.logical + extent.count, extent.physical, extent.count)
        } else {
            (logical(node, index), logical(node, index) + 1, child(node, index), 1)
        };
        if start < next || count == 0 || physical == 0 || physical + count > blocks {
            return false;
        }
        next = end;
    }
    true
}

impl Ext4 {
    /// The root of a new file's tree.
    pub fn fresh_extent_root() -> Vec<u8> {
        fresh(AREA_LENGTH, 0)
    }

    fn extent_sum(&self, inode: &Inode, node: &[u8]) -> Option<(usize, u32)> {
        let at = ENTRY * (room(node) + 1);
        let sum = || (at, crc32c(self.inode_seed(inode), part(node, 0, at)));
        self.superblock.has(features::METADATA_CSUM).then(sum)
    }

    fn extent_root(&self, inode: &Inode) -> Result<Vec<u8>> {
        let root = inode.area().to_vec();
        if is_sound(&root, self.superblock.blocks) {
            return Ok(root);
        }
        let message = format!("inode {} has a damaged extent tree: run e2fsck", inode.number);
        Err(Error::new(ErrorKind::Corrupt, message))
    }

    /// A node below the root, which must have depth `wanted`.
    fn extent_node(&mut self, inode: &Inode, block: u64, wanted: u16) -> Result<Rc<Vec<u8>>> {
        let node = self.device.get(block)?;
        let problem = if depth(&node) != wanted {
            "has the wrong depth"
        } else if self.device.is_checked(block) {
            return Ok(node);
        } else if !is_sound(&node, self.superblock.blocks) {
            "is damaged"
        } else if self.extent_sum(inode, &node).is_some_and(|(at, sum)| sum != u32_at(&node, at)) {
            "has a wrong checksum"
        } else {
            self.device.mark_checked(block);
            return Ok(node);
        };
        let message = format!("block {block} of the extents of inode {} {problem}: run e2fsck", inode.number);
        Err(Error::corrupt(self.device.offset(block), message))
    }

    fn store_extent_node(&mut self, inode: &Inode, block: u64, mut node: Vec<u8>) -> Result<()> {
        if let Some((at, sum)) = self.extent_sum(inode, &node) {
            put_u32(&mut node, at, sum);
        }
        self.device.replace(block, node)
    }

    /// Where blocks from `block` on are: at most `most`, at least one.
    pub fn extent_run(&mut self, inode: &Inode, block: u64, most: u64) -> Result<Run> {
        let mut node = Rc::new(self.extent_root(inode)?);
        let mut end = block.saturating_add(most);
        loop {
            let found = position(&node, block);
            let next = found.map_or(0, |index| index + 1);
            if next < entries(&node) {
                end = end.min(logical(&node, next));
            }
            let hole = Run { count: end - block, physical: None };
            let Some(index) = found else { return Ok(hole) };
            if depth(&node) > 0 {
                node = self.extent_node(inode, child(&node, index), depth(&node) - 1)?;
                continue;
            }
            let extent = extent(&node, index);
            let within = block - extent.logical;
            if within >= extent.count {
                return Ok(hole);
            }
            let count = (extent.count - within).min(end - block);
            let physical = (!extent.unwritten).then_some(extent.physical + within);
            return Ok(Run { count, physical });
        }
    }

    /// Adds blocks behind the last extent.
    pub fn append_extent(
        &mut self,
        inode: &mut Inode,
        logical: u64,
        physical: u64,
        count: u64,
    ) -> Result<()> {
        if logical.saturating_add(count) > u64::from(u32::MAX) {
            return Err(Error::new(ErrorKind::NoSpace, "a file cannot have more than 2^32 blocks"));
        }
        let mut done = 0;
        while done < count {
            let piece = Extent {
                logical: logical + done,
                count: (count - done).min(LENGTH_MOST),
                physical: physical + done,
                unwritten: false,
            };
            done += self.append_piece(inode, &piece)?;
        }
        Ok(())
    }

    /// Adds as much of one extent as fits into the last one, or all of it as a new one; how many blocks were added.
    /// None means that the tree has got a further level, and room.
    fn append_piece(&mut self, inode: &mut Inode, piece: &Extent) -> Result<u64> {
        let mut path = vec![(None, self.extent_root(inode)?)];
        while let Some((_, node)) = path.last().filter(|(_, node)| depth(node) > 0) {
            let last = entries(node).checked_sub(1).ok_or_else(|| empty_index(inode))?;
            let (block, wanted) = (child(node, last), depth(node) - 1);
            let node = self.extent_node(inode, block, wanted)?.to_vec();
            path.push((Some(block), node));
        }
        let Some((place, mut leaf)) = path.pop() else { return Ok(0) };
        let used = entries(&leaf);
        if let Some(mut last) = used.checked_sub(1).map(|index| extent(&leaf, index)) {
            let follows =
                (last.logical + last.count, last.physical + last.count) == (piece.logical, piece.physical);
            let added = piece.count.min(LENGTH_MOST.saturating_sub(last.count));
            if follows && !last.unwritten && added > 0 {
                last.count += added;
                put_extent(&mut leaf, used - 1, &last);
                self.store_node(inode, place, leaf)?;
                return Ok(added);
            }
        }
        if used < room(&leaf) {
            put_extent(&mut leaf, used, piece);
            set_entries(&mut leaf, used + 1);
            self.store_node(inode, place, leaf)?;
            return Ok(piece.count);
        }
        while path.last().is_some_and(|(_, node)| entries(node) >= room(node)) {
            path.pop();
        }
        let Some((place, node)) = path.pop() else {
            self.deepen(inode, piece.physical)?;
            return Ok(0);
        };
        self.grow(inode, place, node, piece)?;
        Ok(piece.count)
    }

    /// The last leaf is full: a new branch for `piece` hangs from the lowest node that has room.
    fn grow(
        &mut self,
        inode: &mut Inode,
        place: Option<u64>,
        mut node: Vec<u8>,
        piece: &Extent,
    ) -> Result<()> {
        let mut below = self.fresh_leaf(inode, piece)?;
        for level in 1..depth(&node) {
            let mut branch = fresh(self.superblock.block_size as usize, level);
            put_index(&mut branch, 0, piece.logical, below);
            set_entries(&mut branch, 1);
            below = self.store_new_node(inode, piece.physical, branch)?;
        }
        let used = entries(&node);
        put_index(&mut node, used, piece.logical, below);
        set_entries(&mut node, used + 1);
        self.store_node(inode, place, node)
    }

    fn fresh_leaf(&mut self, inode: &mut Inode, piece: &Extent) -> Result<u64> {
        let mut leaf = fresh(self.superblock.block_size as usize, 0);
        put_extent(&mut leaf, 0, piece);
        set_entries(&mut leaf, 1);
        self.store_new_node(inode, piece.physical, leaf)
    }

    fn store_new_node(&mut self, inode: &mut Inode, goal: u64, node: Vec<u8>) -> Result<u64> {
        let (block, _) = self.allocate_blocks(goal, 1)?;
        inode.add_blocks(1, self.superblock.block_size);
        self.store_extent_node(inode, block, node)?;
        Ok(block)
    }

    /// Moves the root's entries into a new block below it.
    fn deepen(&mut self, inode: &mut Inode, goal: u64) -> Result<()> {
        let old = self.extent_root(inode)?;
        if depth(&old) >= DEPTH_MOST {
            return Err(Error::new(ErrorKind::NoSpace, "the file is too fragmented for its extent tree"));
        }
        let mut node = fresh(self.superblock.block_size as usize, depth(&old));
        put(&mut node, ENTRY, part(&old, ENTRY, ENTRY * entries(&old)));
        set_entries(&mut node, entries(&old));
        let block = self.store_new_node(inode, goal, node)?;
        let mut root = fresh(AREA_LENGTH, depth(&old) + 1);
        put_index(&mut root, 0, logical(&old, 0), block);
        set_entries(&mut root, 1);
        inode.set_area(&root);
        Ok(())
    }

    fn store_node(&mut self, inode: &mut Inode, place: Option<u64>, node: Vec<u8>) -> Result<()> {
        match place {
            Some(block) => self.store_extent_node(inode, block, node),
            None => {
                inode.set_area(&node);
                Ok(())
            }
        }
    }

    /// Frees everything from block `keep` on.
    pub fn cut_extents(&mut self, inode: &mut Inode, keep: u64) -> Result<()> {
        let mut root = self.extent_root(inode)?;
        self.cut_node(inode, &mut root, keep)?;
        if entries(&root) == 0 {
            root = fresh(AREA_LENGTH, 0);
        }
        // A tree that became small enough goes back into the inode, or e2fsck would offer to do that.
        while depth(&root) > 0 && entries(&root) == 1 {
            let block = child(&root, 0);
            let node = self.extent_node(inode, block, depth(&root) - 1)?;
            if entries(&node) >= AREA_LENGTH / ENTRY {
                break;
            }
            root = fresh(AREA_LENGTH, depth(&node));
            put(&mut root, ENTRY, part(&node, ENTRY, ENTRY * entries(&node)));
            set_entries(&mut root, entries(&node));
            self.free_blocks(block, 1)?;
            inode.add_blocks(-1, self.superblock.block_size);
        }
        inode.set_area(&root);
        Ok(())
    }

    fn cut_node(&mut self, inode: &mut Inode, node: &mut [u8], keep: u64) -> Result<()> {
        while let Some(last) = entries(node).checked_sub(1) {
            if depth(node) == 0 {
                let mut extent = extent(node, last);
                let kept = keep.saturating_sub(extent.logical).min(extent.count);
                if kept == extent.count {
                    return Ok(());
                }
                self.free_blocks(extent.physical + kept, extent.count - kept)?;
                inode.add_blocks(-((extent.count - kept) as i64), self.superblock.block_size);
                if kept > 0 {
                    extent.count = kept;
                    put_extent(node, last, &extent);
                    return Ok(());
                }
            } else {
                let block = child(node, last);
                let mut below = self.extent_node(inode, block, depth(node) - 1)?.to_vec();
                let before = below.clone();
                self.cut_node(inode, &mut below, keep)?;
                if entries(&below) > 0 {
                    if below != before {
                        self.store_extent_node(inode, block, below)?;
                    }
                    return Ok(());
                }
                self.free_blocks(block, 1)?;
                inode.add_blocks(-1, self.superblock.block_size);
            }
            set_entries(node, last);
        }
        Ok(())
    }
}

fn empty_index(inode: &Inode) -> Error {
    let message = format!("inode {} has an index of extents without entries: run e2fsck", inode.number);
    Error::new(ErrorKind::Corrupt, message)
}
