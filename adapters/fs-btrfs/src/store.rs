//! Blocks of trees by their logical addresses: read, checked, kept, and written back.

use crate::block::{Block, Expected, LEVELS_MOST};
use crate::bytes::{part, put};
use crate::checksum::LENGTH_MOST;
use crate::chunk::Chunks;
use crate::key::{self, Key};
use crate::members::Members;
use crate::superblock::{Root, Superblock};
use crate::tree::Range;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use wherry_sdk::{Device, Error, READ_MOST, Result};

/// Bytes of blocks that are kept.
const KEPT_MOST: usize = 24 << 20;

/// The level of a block, of which there are few.
fn levels(address: u64, expected: Expected) -> Result<u8> {
    match expected.level {
        level if level < LEVELS_MOST => Ok(level),
        level => Err(Error::corrupt(address, format!("a tree has {level} levels: run btrfs check"))),
    }
}

/// The device as a space of logical addresses.
pub struct Store<'a> {
    pub device: Device<'a>,
    pub superblock: Superblock,
    pub members: Members,
    pub chunks: Chunks,
    blocks: HashMap<u64, Rc<Block>>,
    dirty: BTreeSet<u64>,
    /// Changes of blocks so far.
    pub changes: u64,
}

impl<'a> Store<'a> {
    /// Reads the chunks.
    pub fn open(mut device: Device<'a>, superblock: Superblock) -> Result<Self> {
        let members = Members::read(&mut device, &superblock)?;
        let chunks = Chunks::system(superblock.system_chunks(), &members)?;
        let (blocks, dirty) = (HashMap::new(), BTreeSet::new());
        let mut store = Self { device, superblock, members, chunks, blocks, dirty, changes: 0 };
        let mut items = Vec::new();
        let range = Range::of(key::CHUNK_OBJECT, key::CHUNK_ITEM);
        store.each(store.superblock.chunk_root(), range, &mut |key, item| {
            items.push((key.offset, item.to_vec()));
            Ok(true)
        })?;
        let mut chunks = Chunks::default();
        for (start, item) in items {
            chunks.add(start, &item, &store.members)?;
        }
        store.chunks = chunks;
        Ok(store)
    }

    /// A block, from whichever copy is sound.
    pub fn block(&mut self, address: u64, expected: Expected) -> Result<Rc<Block>> {
        if let Some(block) = self.blocks.get(&address) {
            let same = block.level() == expected.level && block.generation() == expected.generation;
            if !same || !block.begins_as(expected) {
                return Err(Error::corrupt(
                    address,
                    format!("the tree block at {address} is in two places: run btrfs check"),
                ));
            }
            return Ok(Rc::clone(block));
        }
        let node = self.superblock.node;
        let mut why = None;
        for place in self.chunks.places(address, u64::from(node))? {
            let read = self.device.get(place, node).and_then(|bytes| self.checked(bytes, address, expected));
            match read {
                Ok(block) => {
                    self.keep(address, &block);
                    return Ok(block);
                }
                Err(error) => {
                    why.get_or_insert(error);
                }
            }
        }
        Err(why.unwrap_or_else(|| Error::corrupt(address, "there is no copy of this block")))
    }

    fn checked(&self, bytes: Vec<u8>, address: u64, expected: Expected) -> Result<Rc<Block>> {
        let algorithm = self.superblock.algorithm;
        if algorithm.sum(part(&bytes, LENGTH_MOST, bytes.len())) != part(&bytes, 0, algorithm.length()) {
            let message = format!("the tree block at {address} has a wrong checksum: run btrfs check");
            return Err(Error::corrupt(address, message));
        }
        Block::parse(bytes, address, self.superblock.block_uuid(), expected).map(Rc::new)
    }

    fn keep(&mut self, address: u64, block: &Rc<Block>) {
        if self.blocks.len() * self.superblock.node as usize >= KEPT_MOST {
            let dirty = &self.dirty;
            self.blocks.retain(|address, _| dirty.contains(address));
        }
        self.blocks.insert(address, Rc::clone(block));
    }

    /// Keeps a changed block until it is written back.
    pub fn change(&mut self, block: Block) -> Result<()> {
        if self.dirty.len() * self.superblock.node as usize >= 2 * KEPT_MOST {
            return Err(Error::new(wherry_sdk::ErrorKind::Limit, "too many changes in the trees at once"));
        }
        self.changes += 1;
        self.dirty.insert(block.address());
        self.blocks.insert(block.address(), Rc::new(block));
        Ok(())
    }

    /// Forgets a block that is free again.
    pub fn forget(&mut self, address: u64) {
        self.dirty.remove(&address);
        self.blocks.remove(&address);
    }

    /// Writes everything back, the superblock last.
    pub fn flush(&mut self) -> Result<()> {
        if self.changes == 0 {
            return Ok(());
        }
        for address in std::mem::take(&mut self.dirty) {
            let Some(block) = self.blocks.get(&address) else { continue };
            let mut bytes = block.bytes.clone();
            let sum = self.superblock.algorithm.sum(part(&bytes, LENGTH_MOST, bytes.len()));
            put(&mut bytes, 0, &[0; LENGTH_MOST]);
            put(&mut bytes, 0, &sum);
            for place in self.chunks.places(address, bytes.len() as u64)? {
                self.device.write(place, &bytes)?;
            }
        }
        for (place, copy) in self.members.copies(&self.superblock) {
            self.device.write(place, &copy)?;
        }
        self.changes = 0;
        Ok(())
    }

    /// Content that lies in one piece at an address, at most [`READ_MOST`] bytes, of the first copy for which `sound` holds.
    pub fn data(&mut self, address: u64, length: u64, sound: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        for place in self.chunks.places(address, length)? {
            let bytes = self.device.pass(place, length.min(u64::from(READ_MOST)) as u32)?;
            if sound(&bytes) {
                return Ok(bytes);
            }
        }
        Err(Error::corrupt(address, format!("the content at {address} has a wrong checksum in every copy")))
    }

    /// Writes content at an address into every copy.
    pub fn write_data(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let (mut address, mut bytes) = (address, bytes);
        while !bytes.is_empty() {
            let length = self.chunks.run(address).min(bytes.len() as u64);
            let (piece, rest) = bytes.split_at(length as usize);
            for place in self.chunks.places(address, length)? {
                self.device.write(place, piece)?;
            }
            (address, bytes) = (address + length, rest);
        }
        Ok(())
    }

    /// Calls `each` with the items of a tree in a range, in order, until it answers false.
    pub fn each(
        &mut self,
        root: Root,
        range: Range,
        each: &mut dyn FnMut(Key, &[u8]) -> Result<bool>,
    ) -> Result<()> {
        self.walk(root.block, root.expected(), range, each).map(|_| ())
    }

    fn walk(
        &mut self,
        address: u64,
        expected: Expected,
        range: Range,
        each: &mut dyn FnMut(Key, &[u8]) -> Result<bool>,
    ) -> Result<bool> {
        let level = levels(address, expected)?;
        let block = self.block(address, expected)?;
        let first = if level == 0 { block.lower(range.from) } else { block.child(range.from) };
        for slot in first..block.count() {
            if block.key(slot) > range.to {
                return Ok(false);
            }
            let on = if level == 0 {
                each(block.key(slot), block.item(slot))?
            } else {
                let child = block.pointer(slot);
                self.walk(child.block, child.expected(level), range, each)?
            };
            if !on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The last item whose key is not greater than `key`.
    pub fn before(&mut self, root: Root, key: Key) -> Result<Option<(Key, Vec<u8>)>> {
        self.before_in(root.block, root.expected(), key)
    }

    fn before_in(&mut self, address: u64, expected: Expected, key: Key) -> Result<Option<(Key, Vec<u8>)>> {
        let level = levels(address, expected)?;
        let block = self.block(address, expected)?;
        let behind = block.lower(key.next());
        for slot in (0..behind).rev() {
            if level == 0 {
                return Ok(Some((block.key(slot), block.item(slot).to_vec())));
            }
            let child = block.pointer(slot);
            // Only a damaged child is empty; then the one before it has the last key.
            if let Some(found) = self.before_in(child.block, child.expected(level), key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
