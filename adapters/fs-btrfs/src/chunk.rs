//! Where logical addresses are on this device (Linux: `include/uapi/linux/btrfs_tree.h`, struct btrfs_chunk).

use crate::bytes::{u16_at, u64_at};
use crate::key::{self, Key};
use std::collections::BTreeMap;
use wherry_sdk::{Error, Result};

/// What a chunk holds.
pub const DATA: u64 = 1;
pub const METADATA: u64 = 4;
const RAID0: u64 = 1 << 3;
const RAID10: u64 = 1 << 6;
const RAID5: u64 = 1 << 7;
const RAID6: u64 = 1 << 8;
/// A chunk without its stripes, and a stripe.
const HEAD: usize = 48;
const STRIPE: usize = 32;
/// As many as make sense: 1 MiB each would be 64 TiB.
const CHUNKS_MOST: usize = 1 << 20;

/// A chunk, and where its copies begin on this device.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub start: u64,
    pub length: u64,
    /// Offsets in bytes; empty if no whole copy is here.
    pub copies: Vec<u64>,
}

/// All chunks by where they begin.
#[derive(Default)]
pub struct Chunks {
    map: BTreeMap<u64, Chunk>,
}

impl Chunks {
    /// The chunks that the superblock lists, which hold the tree of all chunks.
    pub fn system(list: &[u8], device: u64, size: u64) -> Result<Self> {
        let mut chunks = Self::default();
        let mut at = 0;
        while at + key::LENGTH < list.len() {
            let key = Key::at(list, at);
            let item = list.get(at + key::LENGTH..).unwrap_or_default();
            if key.kind != key::CHUNK_ITEM {
                return Err(Error::corrupt(0, "the superblock's list of chunks holds something else"));
            }
            chunks.add(key.offset, item, device, size)?;
            at += key::LENGTH + HEAD + STRIPE * usize::from(u16_at(item, 44));
        }
        Ok(chunks)
    }

    /// Adds an item of the tree of chunks, of which stripes on `device` of `size` bytes count.
    pub fn add(&mut self, start: u64, item: &[u8], device: u64, size: u64) -> Result<()> {
        let (length, kind, count) = (u64_at(item, 0), u64_at(item, 24), usize::from(u16_at(item, 44)));
        let bad = |what: &str| Error::corrupt(start, format!("the chunk at {start} {what}: run btrfs check"));
        if length == 0 || start.checked_add(length).is_none() || item.len() < HEAD + STRIPE * count.max(1) {
            return Err(bad("makes no sense"));
        }
        let whole = kind & (RAID5 | RAID6) == 0 && (kind & (RAID0 | RAID10) == 0 || count == 1);
        let mut copies = Vec::new();
        for number in 0..count {
            let at = HEAD + STRIPE * number;
            let offset = u64_at(item, at + 8);
            if whole && u64_at(item, at) == device {
                if offset.checked_add(length).is_none_or(|end| end > size) {
                    return Err(bad("lies beyond the end of the device"));
                }
                copies.push(offset);
            }
        }
        let before = self.map.range(..start).next_back().map(|(_, chunk)| chunk.start + chunk.length);
        let after = self.map.range(start + 1..).next().map(|(after, _)| *after);
        if before.is_some_and(|end| end > start) || after.is_some_and(|after| after < start + length) {
            return Err(bad("overlaps another one"));
        }
        if self.map.len() >= CHUNKS_MOST {
            return Err(bad("is one too many"));
        }
        self.map.insert(start, Chunk { start, length, copies });
        Ok(())
    }

    /// The chunk that holds an address.
    pub fn of(&self, address: u64) -> Option<&Chunk> {
        let (_, chunk) = self.map.range(..=address).next_back()?;
        (address - chunk.start < chunk.length).then_some(chunk)
    }

    /// The places on the device of `length` bytes from an address.
    pub fn places(&self, address: u64, length: u64) -> Result<Vec<u64>> {
        let missing = |what: &str| Error::corrupt(address, format!("address {address} {what}"));
        let chunk = self.of(address).ok_or_else(|| missing("belongs to no chunk: run btrfs check"))?;
        let within = address - chunk.start;
        if length > chunk.length - within {
            return Err(missing("and what follows leave their chunk: run btrfs check"));
        }
        if chunk.copies.is_empty() {
            let message = format!("address {address} is on another device, or striped over several");
            return Err(Error::unsupported(message));
        }
        Ok(chunk.copies.iter().map(|copy| copy + within).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.map.values()
    }
}
