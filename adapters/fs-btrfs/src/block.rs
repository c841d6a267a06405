//! One block of a tree (Linux: `include/uapi/linux/btrfs_tree.h`, struct btrfs_header, btrfs_item, btrfs_key_ptr).

use crate::bytes::{byte_at, part, put, put_u32, put_u64, u32_at, u64_at};
use crate::key::{self, Key};
use wherry_sdk::{Error, Result};

/// Bytes of the header.
pub const HEADER: usize = 101;
/// Bytes of an item beside its data, and of a pointer to a child.
pub const ITEM: usize = 25;
pub const POINTER: usize = 33;
/// More levels than there can be.
pub const LEVELS_MOST: u8 = 8;

/// What a block is expected to be.
#[derive(Clone, Copy)]
pub struct Expected {
    pub level: u8,
    pub generation: u64,
    /// Its first key, as its parent says; a tree's root has no parent.
    pub first: Option<Key>,
}

/// A block whose items make sense.
#[derive(Clone, Debug)]
pub struct Block {
    pub bytes: Vec<u8>,
}

/// A pointer to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    pub key: Key,
    pub block: u64,
    pub generation: u64,
}

impl Pointer {
    /// What the child has to be, in a block of this level.
    pub fn expected(&self, level: u8) -> Expected {
        Expected { level: level.saturating_sub(1), generation: self.generation, first: Some(self.key) }
    }
}

impl Block {
    /// Checks everything that the rest relies on: counts, order, that data lie in the block and do not overlap.
    pub fn parse(bytes: Vec<u8>, address: u64, uuid: &[u8], expected: Expected) -> Result<Self> {
        let block = Self { bytes };
        let bad = |what: String| {
            Err(Error::corrupt(address, format!("the tree block at {address} {what}: run btrfs check")))
        };
        if u64_at(&block.bytes, 48) != address || part(&block.bytes, 32, 16) != uuid {
            return bad("belongs elsewhere".into());
        }
        if block.level() != expected.level || block.generation() != expected.generation {
            let (level, generation) = (block.level(), block.generation());
            let Expected { level: wanted, generation: made, .. } = expected;
            return bad(format!(
                "has level {level} and generation {generation} instead of {wanted} and {made}"
            ));
        }
        let (count, width) = (block.count(), if block.level() == 0 { ITEM } else { POINTER });
        if count > (block.bytes.len() - HEADER) / width {
            return bad(format!("has {count} items"));
        }
        if !block.begins_as(expected) {
            return bad("begins with another key than its parent says".into());
        }
        let mut end = block.bytes.len() - HEADER;
        for slot in 0..count {
            if slot > 0 && block.key(slot - 1) >= block.key(slot) {
                return bad(format!("has its items {} and {slot} in a wrong order", slot - 1));
            }
            if block.level() == 0 {
                let (offset, length) = block.place(slot);
                if offset.checked_add(length) != Some(end) || offset < count * ITEM {
                    return bad(format!("has item {slot} in a wrong place"));
                }
                end = offset;
            }
        }
        Ok(block)
    }

    /// Whether its first key is its parent's for it, without which searches would miss what is here; an empty one hides nothing.
    pub fn begins_as(&self, expected: Expected) -> bool {
        self.count() == 0 || expected.first.is_none_or(|key| self.key(0) == key)
    }

    /// An empty one.
    pub fn new(like: &Self, address: u64, level: u8, owner: u64, generation: u64) -> Self {
        let mut bytes = vec![0; like.bytes.len()];
        // UUIDs, flags and the revision of back references are those of all blocks; none of the flags is kept.
        put(&mut bytes, 32, part(&like.bytes, 32, 16));
        put_u64(&mut bytes, 48, address);
        put_u64(&mut bytes, 56, 1 << 56 | 1);
        put(&mut bytes, 64, part(&like.bytes, 64, 16));
        put_u64(&mut bytes, 80, generation);
        put_u64(&mut bytes, 88, owner);
        put(&mut bytes, 100, &[level]);
        Self { bytes }
    }

    pub fn address(&self) -> u64 {
        u64_at(&self.bytes, 48)
    }

    pub fn generation(&self) -> u64 {
        u64_at(&self.bytes, 80)
    }

    pub fn owner(&self) -> u64 {
        u64_at(&self.bytes, 88)
    }

    pub fn level(&self) -> u8 {
        byte_at(&self.bytes, 100)
    }

    /// Items or pointers.
    pub fn count(&self) -> usize {
        u32_at(&self.bytes, 96) as usize
    }

    fn at(&self, slot: usize) -> usize {
        HEADER + slot * if self.level() == 0 { ITEM } else { POINTER }
    }

    pub fn key(&self, slot: usize) -> Key {
        Key::at(&self.bytes, self.at(slot))
    }

    /// Offset behind the header, and length of an item's data.
    fn place(&self, slot: usize) -> (usize, usize) {
        let at = self.at(slot);
        (u32_at(&self.bytes, at + 17) as usize, u32_at(&self.bytes, at + 21) as usize)
    }

    /// An item's data.
    pub fn item(&self, slot: usize) -> &[u8] {
        let (offset, length) = self.place(slot);
        part(&self.bytes, HEADER.saturating_add(offset), length)
    }

    /// The same, to be changed.
    pub fn item_mut(&mut self, slot: usize) -> &mut [u8] {
        let (offset, length) = self.place(slot);
        self.bytes.get_mut(HEADER + offset..HEADER + offset + length).unwrap_or_default()
    }

    pub fn pointer(&self, slot: usize) -> Pointer {
        let at = self.at(slot);
        let (block, generation) = (u64_at(&self.bytes, at + 17), u64_at(&self.bytes, at + 25));
        Pointer { key: self.key(slot), block, generation }
    }

    /// The first slot whose key is not less than `key`.
    pub fn lower(&self, key: Key) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The child that `key` would be in: the last one whose first key is not greater.
    pub fn child(&self, key: Key) -> usize {
        let lower = self.lower(key);
        if lower < self.count() && self.key(lower) == key { lower } else { lower.saturating_sub(1) }
    }

    pub fn items(&self) -> Vec<(Key, Vec<u8>)> {
        (0..self.count()).map(|slot| (self.key(slot), self.item(slot).to_vec())).collect()
    }

    pub fn pointers(&self) -> Vec<Pointer> {
        (0..self.count()).map(|slot| self.pointer(slot)).collect()
    }

    /// Bytes that items can have here, each with its entry of [`ITEM`] bytes.
    pub fn room(&self) -> usize {
        self.bytes.len() - HEADER
    }

    /// Makes these its items, which have to fit.
    pub fn set_items(&mut self, items: &[(Key, Vec<u8>)]) {
        let mut end = self.bytes.len() - HEADER;
        self.bytes.get_mut(HEADER..).unwrap_or_default().fill(0);
        put_u32(&mut self.bytes, 96, items.len() as u32);
        for (slot, (key, data)) in items.iter().enumerate() {
            end = end.saturating_sub(data.len());
            let at = HEADER + slot * ITEM;
            key.put(&mut self.bytes, at);
            put_u32(&mut self.bytes, at + key::LENGTH, end as u32);
            put_u32(&mut self.bytes, at + key::LENGTH + 4, data.len() as u32);
            put(&mut self.bytes, HEADER + end, data);
        }
    }

    /// Makes these its pointers, which have to fit.
    pub fn set_pointers(&mut self, pointers: &[Pointer]) {
        self.bytes.get_mut(HEADER..).unwrap_or_default().fill(0);
        put_u32(&mut self.bytes, 96, pointers.len() as u32);
        for (slot, pointer) in pointers.iter().enumerate() {
            let at = HEADER + slot * POINTER;
            pointer.key.put(&mut self.bytes, at);
            put_u64(&mut self.bytes, at + 17, pointer.block);
            put_u64(&mut self.bytes, at + 25, pointer.generation);
        }
    }
}
