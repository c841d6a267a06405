//! Where logical addresses are on the devices (Linux: `include/uapi/linux/btrfs_tree.h`, struct btrfs_chunk).

use crate::bytes::{u16_at, u64_at};
use crate::key::{self, Key};
use crate::members::Members;
use std::cmp::Ordering;
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

/// Bytes of a stripe (BTRFS_STRIPE_LEN).
pub const UNIT: u64 = 64 << 10;

/// A chunk, and where its copies begin.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub start: u64,
    pub length: u64,
    kind: u64,
    /// Stripes lie in turns; each has copies, of which at least one is here. One turn: it is not striped. None: something is missing.
    turns: Vec<Vec<u64>>,
}

impl Chunk {
    /// Whether all of it can be read.
    pub fn is_here(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Where it begins, if it lies there in one piece; with copies on the same device there are several.
    pub fn whole(&self) -> &[u64] {
        if let [only] = self.turns.as_slice() { only } else { &[] }
    }

    /// Bytes from byte `within` on that lie in one piece.
    fn run(&self, within: u64) -> u64 {
        let left = self.length.saturating_sub(within);
        if self.turns.len() > 1 { left.min(UNIT - within % UNIT) } else { left }
    }

    /// The copies of a byte (Linux: fs/btrfs/volumes.c, btrfs_map_block).
    fn copies(&self, within: u64) -> Vec<u64> {
        let turns = self.turns.len() as u64;
        if turns < 2 {
            return self.whole().iter().map(|copy| copy + within).collect();
        }
        let (stripe, rest) = (within / UNIT, within % UNIT);
        let turn = self.turns.get((stripe % turns) as usize).map(Vec::as_slice).unwrap_or_default();
        turn.iter().map(|copy| copy + stripe / turns * UNIT + rest).collect()
    }

    /// What of it lies where, every copy.
    pub fn columns(&self) -> Vec<Column> {
        let turns = self.turns.len() as u64;
        let of_turn = |(turn, copies): (u64, &Vec<u64>)| {
            let column = |base: &u64| Column {
                chunk: self.start,
                base: *base,
                length: self.length / turns,
                turn,
                turns,
            };
            copies.iter().map(column).collect::<Vec<_>>()
        };
        (0..turns).zip(&self.turns).flat_map(of_turn).collect()
    }

    /// The logical ranges of which a copy lies between two places.
    pub fn back(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let turns = (self.turns.len() as u64).max(1);
        let depth = self.length / turns;
        let mut list = Vec::new();
        for (turn, copies) in (0_u64..).zip(&self.turns) {
            for copy in copies {
                let (first, last) = (from.max(*copy), to.min(copy + depth));
                if first >= last {
                    continue;
                }
                if turns == 1 {
                    list.push((self.start + (first - copy), last - first));
                    continue;
                }
                for row in (first - copy) / UNIT..(last - copy).div_ceil(UNIT) {
                    list.push((self.start + (row * turns + turn) * UNIT, UNIT));
                }
            }
        }
        list
    }
}

/// What of a chunk lies on a device: all of it, or every so many stripes.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The address where the chunk begins.
    pub chunk: u64,
    /// Where the column begins on the device, and its bytes.
    pub base: u64,
    pub length: u64,
    /// Which stripe of how many in turn it has.
    turn: u64,
    turns: u64,
}

impl Column {
    /// Where an address of the chunk is, or else the first one behind it that lies here.
    pub fn place(&self, address: u64) -> u64 {
        let within = address.saturating_sub(self.chunk);
        let (stripe, rest) = (within / UNIT, within % UNIT);
        let row = stripe / self.turns * UNIT;
        let within = match (stripe % self.turns).cmp(&self.turn) {
            Ordering::Less => row,
            Ordering::Equal => row + rest,
            Ordering::Greater => row + UNIT,
        };
        self.base.saturating_add(within)
    }

    /// The address of what is at a place of the column.
    pub fn logical(&self, place: u64) -> u64 {
        let within = place.saturating_sub(self.base);
        self.chunk + (within / UNIT * self.turns + self.turn) * UNIT + within % UNIT
    }
}

/// All chunks by where they begin.
#[derive(Default)]
pub struct Chunks {
    map: BTreeMap<u64, Chunk>,
}

impl Chunks {
    /// The chunks that the superblock lists, which hold the tree of all chunks.
    pub fn system(list: &[u8], members: &Members) -> Result<Self> {
        let mut chunks = Self::default();
        let mut at = 0;
        while at + key::LENGTH < list.len() {
            let key = Key::at(list, at);
            let item = list.get(at + key::LENGTH..).unwrap_or_default();
            if key.kind != key::CHUNK_ITEM {
                return Err(Error::corrupt(0, "the superblock's list of chunks holds something else"));
            }
            chunks.add(key.offset, item, members)?;
            at += key::LENGTH + HEAD + STRIPE * usize::from(u16_at(item, 44));
        }
        Ok(chunks)
    }

    /// Adds an item of the tree of chunks.
    pub fn add(&mut self, start: u64, item: &[u8], members: &Members) -> Result<()> {
        let (length, kind, count) = (u64_at(item, 0), u64_at(item, 24), usize::from(u16_at(item, 44)));
        let bad = |what: &str| Error::corrupt(start, format!("the chunk at {start} {what}: run btrfs check"));
        if length == 0 || start.checked_add(length).is_none() || item.len() < HEAD + STRIPE * count.max(1) {
            return Err(bad("makes no sense"));
        }
        let turns = turns(item, members).map_err(|error| bad(&error.message))?;
        if turns.len() > 1 && !length.is_multiple_of(turns.len() as u64 * UNIT) {
            return Err(bad("has stripes that make no sense"));
        }
        let before = self.map.range(..start).next_back().map(|(_, chunk)| chunk.start + chunk.length);
        let after = self.map.range(start + 1..).next().map(|(after, _)| *after);
        if before.is_some_and(|end| end > start) || after.is_some_and(|after| after < start + length) {
            return Err(bad("overlaps another one"));
        }
        if self.map.len() >= CHUNKS_MOST {
            return Err(bad("is one too many"));
        }
        self.map.insert(start, Chunk { start, length, kind, turns });
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
        if !chunk.is_here() {
            let message = match chunk.kind & (RAID5 | RAID6) {
                0 => format!(
                    "address {address} is on another device: have all of the file system's devices copied"
                ),
                _ => format!(
                    "address {address} has parity: RAID5 and RAID6 are not read, convert it with btrfs balance"
                ),
            };
            return Err(Error::unsupported(message));
        }
        if length > chunk.run(within) {
            return Err(missing("and what follows leave their stripe: run btrfs check"));
        }
        Ok(chunk.copies(within))
    }

    /// Bytes from an address on that lie in one piece; all, where there is no chunk.
    pub fn run(&self, address: u64) -> u64 {
        self.of(address).map_or(u64::MAX, |chunk| chunk.run(address - chunk.start))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.map.values()
    }
}

/// The copies of each stripe in turn; none if a stripe has no copy here, or there is parity.
fn turns(item: &[u8], members: &Members) -> Result<Vec<Vec<u64>>> {
    let (length, unit, kind) = (u64_at(item, 0), u64_at(item, 16), u64_at(item, 24));
    let (count, twins) = (usize::from(u16_at(item, 44)), usize::from(u16_at(item, 46)));
    let copies = match kind & (RAID0 | RAID10 | RAID5 | RAID6) {
        0 => count,
        RAID0 => 1,
        RAID10 => twins,
        _ => 0,
    };
    if kind & (RAID5 | RAID6) != 0 || count == 0 {
        return Ok(Vec::new());
    }
    if copies == 0 || !count.is_multiple_of(copies) || count > copies && unit != UNIT {
        return Err(Error::corrupt(0, "has stripes that make no sense"));
    }
    let depth = length / (count / copies) as u64;
    let mut turns = Vec::new();
    for first in (0..count).step_by(copies) {
        let mut here = Vec::new();
        for number in first..first + copies {
            let at = HEAD + STRIPE * number;
            here.extend(members.place(u64_at(item, at), u64_at(item, at + 8), depth)?);
        }
        if here.is_empty() {
            return Ok(Vec::new());
        }
        turns.push(here);
    }
    Ok(turns)
}
