//! Directory indexes (Linux: Documentation/filesystems/ext4, "Hash Tree Directories"). Block 0 is the root, and looks
//! like a block with two records; inner nodes look like an empty block.

use crate::Ext4;
use crate::bytes::{byte_at, part, put, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;
use crate::directory::{Found, New, Records, damaged, needed};
use crate::features;
use crate::hash::Hasher;
use crate::inode::{self, Inode};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

/// Where entries begin in the root and in a node, in bytes; the first one's hash is replaced by limit and count.
const ROOT: usize = 32;
const NODE: usize = 8;
/// Fields of the root.
const HASH_VERSION: usize = 28;
const INFO_LENGTH: usize = 29;
const LEVELS: usize = 30;
const ENTRY: usize = 8;
/// Steps that one insertion may need: a new level, a split on each level, a split of the leaf, and some spare.
const STEPS_MOST: usize = 12;
const FULL: &str = "the directory's index is full: remove files or switch on the feature large_dir";

/// A node on the way to a leaf.
#[derive(Clone, Copy)]
struct Frame {
    /// block of the directory
    logical: u64,
    /// where its entries begin
    start: usize,
    count: usize,
    limit: usize,
    /// the entry that leads on
    index: usize,
}

fn key(bytes: &[u8], start: usize, index: usize) -> u32 {
    if index == 0 { 0 } else { u32_at(bytes, start + index * ENTRY) }
}

fn target(bytes: &[u8], start: usize, index: usize) -> u64 {
    // The upper four bits are reserved for other uses.
    u64::from(u32_at(bytes, start + index * ENTRY + 4) & 0x0fff_ffff)
}

fn put_count(bytes: &mut [u8], start: usize, limit: usize, count: usize) {
    put_u16(bytes, start, limit as u16);
    put_u16(bytes, start + 2, count as u16);
}

impl Ext4 {
    /// Whether the directory has an index that this file system's features allow.
    pub fn is_indexed(&self, directory: &Inode) -> bool {
        directory.has(inode::INDEX)
            && !directory.has(inode::INLINE_DATA)
            && self.superblock.has(features::DIR_INDEX)
    }

    fn limit(&self, start: usize) -> usize {
        let tail = usize::from(self.superblock.has(features::METADATA_CSUM));
        (self.superblock.block_size as usize - start) / ENTRY - tail
    }

    fn levels_most(&self) -> u8 {
        if self.superblock.has(features::LARGEDIR) { 2 } else { 1 }
    }

    /// Where a block's index entries begin, none for a leaf.
    pub fn index_offset(&self, directory: &Inode, logical: u64, bytes: &[u8]) -> Option<usize> {
        if !self.is_indexed(directory) {
            return None;
        }
        if logical == 0 {
            return Some(ROOT);
        }
        let first = Records::new(bytes, true).next().flatten()?;
        (first.inode == 0 && first.length == bytes.len()).then_some(NODE)
    }

    /// Where the checksum of an index block is, and what it should be; none when its counts make no sense.
    pub fn index_sum(&self, directory: &Inode, bytes: &[u8], start: usize) -> Option<(usize, u32)> {
        let (limit, count) = (usize::from(u16_at(bytes, start)), usize::from(u16_at(bytes, start + 2)));
        if limit != self.limit(start) || count > limit {
            return None;
        }
        let tail = start + limit * ENTRY;
        let sum = crc32c(self.inode_seed(directory), part(bytes, 0, start + count * ENTRY));
        Some((tail + 4, crc32c(crc32c(sum, part(bytes, tail, 4)), &[0; 4])))
    }

    /// Writes the checksum of an index block.
    pub fn stamp_index(&self, directory: &Inode, logical: u64, bytes: &mut [u8]) {
        let start = if logical == 0 { ROOT } else { NODE };
        if self.superblock.has(features::METADATA_CSUM)
            && let Some((at, sum)) = self.index_sum(directory, bytes, start)
        {
            put_u32(bytes, at, sum);
        }
    }

    fn store_index(&mut self, directory: &Inode, logical: u64, mut bytes: Vec<u8>) -> Result<()> {
        self.stamp_index(directory, logical, &mut bytes);
        let (block, _) = self.directory_block(directory, logical)?;
        self.device.replace(block, bytes)
    }

    /// The hash of the directory's index, none when it is of a kind that is not known here.
    fn hasher(&mut self, directory: &Inode) -> Result<Option<Hasher>> {
        let (_, root) = self.directory_block(directory, 0)?;
        let version = byte_at(&root, HASH_VERSION);
        let known = version <= 2 && byte_at(&root, INFO_LENGTH) == 8 && !directory.has(inode::CASEFOLD);
        let (unsigned, seed) = (self.superblock.hash_unsigned(), self.superblock.hash_seed());
        Ok(known.then_some(Hasher { version, unsigned, seed }))
    }

    fn frame(&mut self, directory: &Inode, logical: u64, hash: u32) -> Result<(Frame, Rc<Vec<u8>>)> {
        let (_, bytes) = self.directory_block(directory, logical)?;
        let start = if logical == 0 { ROOT } else { NODE };
        let (limit, count) = (usize::from(u16_at(&bytes, start)), usize::from(u16_at(&bytes, start + 2)));
        if limit != self.limit(start) || count == 0 || count > limit {
            return Err(damaged(directory, "has a damaged index"));
        }
        let (mut low, mut high) = (1, count);
        while low < high {
            let middle = (low + high) / 2;
            if key(&bytes, start, middle) > hash { high = middle } else { low = middle + 1 }
        }
        Ok((Frame { logical, start, count, limit, index: low - 1 }, bytes))
    }

    /// The way from the root to the leaf for `hash`, and the leaf.
    fn probe(&mut self, directory: &Inode, hash: u32) -> Result<(Vec<Frame>, u64)> {
        let (_, root) = self.directory_block(directory, 0)?;
        let levels = byte_at(&root, LEVELS);
        if levels > self.levels_most() {
            return Err(damaged(directory, "has too many levels of index"));
        }
        let (mut frames, mut logical) = (Vec::new(), 0);
        for _ in 0..=levels {
            let (frame, bytes) = self.frame(directory, logical, hash)?;
            logical = target(&bytes, frame.start, frame.index);
            frames.push(frame);
            if logical == 0 || logical >= self.directory_blocks(directory)? {
                return Err(damaged(directory, "has an index that points outside of it"));
            }
        }
        Ok((frames, logical))
    }

    /// The next leaf, when names with the same hash go on there.
    fn next_leaf(&mut self, directory: &Inode, frames: &mut Vec<Frame>, hash: u32) -> Result<Option<u64>> {
        let depth = frames.len();
        while frames.last().is_some_and(|frame| frame.index + 1 >= frame.count) {
            frames.pop();
        }
        let Some(frame) = frames.last_mut() else { return Ok(None) };
        frame.index += 1;
        let frame = *frame;
        let (_, bytes) = self.directory_block(directory, frame.logical)?;
        if key(&bytes, frame.start, frame.index) != hash | 1 {
            return Ok(None);
        }
        let mut logical = target(&bytes, frame.start, frame.index);
        while frames.len() < depth {
            let (mut below, bytes) = self.frame(directory, logical, 0)?;
            below.index = 0;
            logical = target(&bytes, below.start, 0);
            frames.push(below);
        }
        Ok(Some(logical))
    }

    /// Finds a name through the index; none when the index cannot be used.
    pub fn find_indexed(&mut self, directory: &Inode, name: &[u8]) -> Result<Option<Option<Found>>> {
        if matches!(name, b"." | b"..") {
            return Ok(None);
        }
        let Some(hash) = self.hasher(directory)?.and_then(|hasher| hasher.hash(name)) else {
            return Ok(None);
        };
        let (mut frames, mut leaf) = self.probe(directory, hash)?;
        for _ in 0..self.directory_blocks(directory)? {
            if let Some(found) = self.find_in_block(directory, leaf, name)? {
                return Ok(Some(Some(found)));
            }
            match self.next_leaf(directory, &mut frames, hash)? {
                Some(next) => leaf = next,
                None => break,
            }
        }
        Ok(Some(None))
    }

    /// Adds an entry to an indexed directory.
    pub fn insert_indexed(&mut self, directory: &mut Inode, entry: &New<'_>) -> Result<()> {
        let hasher = self.hasher(directory)?;
        let hash = hasher.and_then(|hasher| hasher.hash(entry.name));
        let (Some(hasher), Some(hash)) = (hasher, hash) else {
            let message =
                format!("directory inode {} has an unknown hash: insert in the guest", directory.number);
            return Err(Error::unsupported(message));
        };
        // Each step makes room in one place, then the way is looked up anew.
        for _ in 0..STEPS_MOST {
            let (frames, leaf) = self.probe(directory, hash)?;
            if self.insert_in_block(directory, leaf, entry)? {
                return Ok(());
            }
            match frames.iter().rposition(|frame| frame.count < frame.limit) {
                Some(level) if level + 1 == frames.len() => {
                    if let Some(frame) = frames.get(level) {
                        self.split_leaf(directory, frame, leaf, &hasher)?;
                    }
                }
                Some(level) => {
                    if let (Some(above), Some(full)) = (frames.get(level), frames.get(level + 1)) {
                        self.split_node(directory, above, full)?;
                    }
                }
                None if frames.len() <= usize::from(self.levels_most()) => self.add_level(directory)?,
                None => return Err(Error::new(ErrorKind::NoSpace, FULL)),
            }
        }
        Err(damaged(directory, "has an index without room after splitting"))
    }

    /// Enters a new block behind the entry that the frame points at.
    fn insert_target(&mut self, directory: &Inode, frame: &Frame, hash: u32, block: u64) -> Result<()> {
        let (_, bytes) = self.directory_block(directory, frame.logical)?;
        let mut bytes = bytes.to_vec();
        let at = frame.start + (frame.index + 1) * ENTRY;
        let behind = part(&bytes, at, (frame.count - frame.index - 1) * ENTRY).to_vec();
        put(&mut bytes, at + ENTRY, &behind);
        put_u32(&mut bytes, at, hash);
        put_u32(&mut bytes, at + 4, block as u32);
        put_count(&mut bytes, frame.start, frame.limit, frame.count + 1);
        self.store_index(directory, frame.logical, bytes)
    }

    /// A node with these entries, given as the bytes of an array of entries.
    fn pack_node(&self, directory: &Inode, entries: &[u8]) -> Vec<u8> {
        let size = self.superblock.block_size as usize;
        let mut bytes = vec![0; size];
        put_u16(&mut bytes, 4, if size >= 65536 { 0xffff } else { size as u16 });
        put(&mut bytes, NODE, entries);
        put_count(&mut bytes, NODE, self.limit(NODE), entries.len() / ENTRY);
        // Any block but the root.
        self.stamp_index(directory, 1, &mut bytes);
        bytes
    }

    /// Moves the upper half of a full node's entries to a new node.
    fn split_node(&mut self, directory: &mut Inode, above: &Frame, full: &Frame) -> Result<()> {
        let (_, bytes) = self.directory_block(directory, full.logical)?;
        let mut bytes = bytes.to_vec();
        let stay = full.count / 2;
        let moved = part(&bytes, full.start + stay * ENTRY, (full.count - stay) * ENTRY).to_vec();
        let hash = u32_at(&moved, 0);
        let node = self.pack_node(directory, &moved);
        let block = self.append_block(directory, node)?;
        put_count(&mut bytes, full.start, full.limit, stay);
        self.store_index(directory, full.logical, bytes)?;
        self.insert_target(directory, above, hash, block)
    }

    /// Moves all entries of the full root to a new node below it.
    fn add_level(&mut self, directory: &mut Inode) -> Result<()> {
        let (_, root) = self.directory_block(directory, 0)?;
        let mut root = root.to_vec();
        let count = usize::from(u16_at(&root, ROOT + 2));
        let node = self.pack_node(directory, part(&root, ROOT, count * ENTRY));
        let block = self.append_block(directory, node)?;
        let levels = byte_at(&root, LEVELS);
        put(&mut root, LEVELS, &[levels + 1]);
        put_count(&mut root, ROOT, self.limit(ROOT), 1);
        put_u32(&mut root, ROOT + 4, block as u32);
        self.store_index(directory, 0, root)
    }

    /// Moves the entries with the greater hashes of a full leaf to a new one.
    fn split_leaf(&mut self, directory: &mut Inode, frame: &Frame, leaf: u64, hasher: &Hasher) -> Result<()> {
        let (block, bytes) = self.directory_block(directory, leaf)?;
        let mut entries = Vec::new();
        for record in Records::new(&bytes, self.is_typed()) {
            let record = record.ok_or_else(|| damaged(directory, "has a damaged record"))?;
            if record.inode != 0 {
                let hash = hasher.hash(record.name).unwrap_or(0);
                entries.push((
                    hash,
                    New { name: record.name, inode: record.inode, file_type: record.file_type },
                ));
            }
        }
        if entries.len() < 2 {
            return Err(damaged(directory, "has a leaf that cannot be split"));
        }
        entries.sort_by_key(|(hash, _)| *hash);
        let half = entries.iter().map(|(_, entry)| needed(entry.name.len())).sum::<usize>() / 2;
        let mut size = 0;
        let fits = |(_, entry): &&(u32, New<'_>)| {
            size += needed(entry.name.len());
            size <= half
        };
        let split = entries.iter().take_while(fits).count().clamp(1, entries.len() - 1);
        let hashes: Vec<u32> = entries.iter().map(|(hash, _)| *hash).collect();
        let mut stay: Vec<New<'_>> = entries.into_iter().map(|(_, entry)| entry).collect();
        let moved = stay.split_off(split);
        let (stay, moved) = (self.pack_leaf(directory, &stay), self.pack_leaf(directory, &moved));
        let hash = hashes.get(split).copied().unwrap_or(0);
        let continued = hashes.get(split - 1) == Some(&hash);
        self.device.replace(block, stay)?;
        let new = self.append_block(directory, moved)?;
        self.insert_target(directory, frame, hash | u32::from(continued), new)
    }

    /// Turns the only block of a directory into a root with one leaf.
    pub fn make_index(&mut self, directory: &mut Inode) -> Result<()> {
        let (block, bytes) = self.directory_block(directory, 0)?;
        let mut entries = Vec::new();
        let mut parent = None;
        for record in Records::new(&bytes, self.is_typed()) {
            let record = record.ok_or_else(|| damaged(directory, "has a damaged record"))?;
            match record.name {
                _ if record.inode == 0 => {}
                b"." => {}
                b".." => parent = Some(record.inode),
                name => entries.push(New { name, inode: record.inode, file_type: record.file_type }),
            }
        }
        let parent = parent.ok_or_else(|| damaged(directory, "has no entry for its parent"))?;
        let leaf = self.pack_leaf(directory, &entries);
        let new = self.append_block(directory, leaf)?;
        let size = self.superblock.block_size as usize;
        let mut root = vec![0; size];
        self.put_record(&mut root, 0, 12, &New { name: b".", inode: directory.number, file_type: 2 });
        self.put_record(&mut root, 12, size - 12, &New { name: b"..", inode: parent, file_type: 2 });
        let version = self.superblock.hash_version();
        put(&mut root, HASH_VERSION, &[if version <= 2 { version } else { 1 }, 8, 0, 0]);
        put_count(&mut root, ROOT, self.limit(ROOT), 1);
        put_u32(&mut root, ROOT + 4, new as u32);
        directory.set_flag(inode::INDEX, true);
        self.stamp_index(directory, 0, &mut root);
        self.device.replace(block, root)
    }
}
