//! Objects that hold names and values (ZAP): small ones in one block, large ones in leaves that a hash of the name finds
//! (OpenZFS' include/sys/zap_impl.h, zap_leaf.h; module/zfs/zap.c, zap_leaf.c, zap_micro.c).

use crate::bytes::{Block, big, byte_at, part};
use crate::dnode::Dnode;
use crate::pool::Pool;
use std::collections::BTreeSet;
use wherry_sdk::{Error, ErrorKind, Result};

/// What the first number of a block says.
const MICRO: u64 = 1 << 63 | 3;
const HEADER: u64 = 1 << 63 | 1;
const LEAF: u64 = 1 << 63;
const HEADER_MAGIC: u64 = 0x2_f52a_b2ab;
const LEAF_MAGIC: u32 = 0x2ab_1eaf;
/// Bytes of an entry in a small one, and before the first.
const MICRO_ENTRY: usize = 64;
/// Bytes of a chunk in a leaf, the kinds of chunks, bytes of values in one.
const CHUNK: usize = 24;
const ENTRY: u8 = 252;
const ARRAY: u8 = 251;
const ARRAY_BYTES: usize = 21;
/// The last chunk of a chain.
const NO_CHUNK: u16 = 0xffff;
/// Keys that are numbers, and how the hash of a name is cut.
const HASH_64: u64 = 1;
const NUMBERS_AS_KEYS: u64 = 2;
/// A name and a value, in bytes; names are at most 1023 (longname), values of properties and layouts are short.
const NAME_MOST: usize = 1024;
const VALUE_MOST: usize = 16 << 10;
/// Bytes of one page of entries.
const PAGE_MOST: usize = 4 << 20;
/// Leaves of one object: more than ten million names.
const LEAVES_MOST: u64 = 1 << 18;
/// log2 of the pointers in a table.
const TABLE_MOST: u64 = 24;
/// Bits of a cursor that count entries in a block, which has fewer than a million.
const CURSOR: u32 = 24;
/// What is read of one object at once where all of it is wanted.
const ENTRIES_MOST: usize = 1 << 16;
/// ECMA-182, reflected (ZFS_CRC64_POLY).
const POLYNOMIAL: u64 = 0xc96c_5795_d787_0f42;

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Vec<u8>,
    /// Bytes of one number of the value.
    pub unit: usize,
    /// Big-endian numbers.
    pub value: Vec<u8>,
}

impl Entry {
    /// The first number.
    pub fn number(&self) -> u64 {
        big(&self.value, 0, self.unit)
    }

    pub fn text(&self) -> String {
        wherry_sdk::bytes::text(&self.value)
    }
}

/// Where the leaves of an object are.
#[derive(Clone, Debug)]
pub enum Form {
    Small,
    Large { table: Table, header: Header },
}

#[derive(Clone, Copy, Debug)]
pub struct Header {
    salt: u64,
    flags: u64,
    /// Names are compared in a normal form.
    normalised: bool,
}

/// The table of pointers to leaves: 2^shift numbers.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Where in the object it begins, in bytes.
    at: u64,
    shift: u32,
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a ZAP object {what}: run zpool scrub"))
}

fn hash(salt: u64, name: &[u8]) -> u64 {
    name.iter().fold(salt, |hash, byte| {
        let mut index = (hash ^ u64::from(*byte)) & 0xff;
        for _ in 0..8 {
            index = index >> 1 ^ if index & 1 != 0 { POLYNOMIAL } else { 0 };
        }
        hash >> 8 ^ index
    })
}

fn small(block: &Block) -> (Vec<Entry>, bool) {
    let entry = |at: usize| {
        let name = wherry_sdk::bytes::until_nul(part(&block.bytes, at + 14, 50)).to_vec();
        let value = block.u64(at).to_be_bytes().to_vec();
        (!name.is_empty()).then_some(Entry { name, unit: 8, value })
    };
    let places = (MICRO_ENTRY..block.len()).step_by(MICRO_ENTRY);
    (places.filter_map(entry).collect(), block.u64(16) != 0)
}

/// The bytes of a chain of chunks.
fn chain(block: &Block, chunks: usize, first: u16, length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    let mut next = first;
    while bytes.len() < length {
        let at = chunks + usize::from(next) * CHUNK;
        if next == NO_CHUNK || byte_at(&block.bytes, at) != ARRAY {
            return Err(bad("has a chain of chunks that is broken"));
        }
        bytes.extend_from_slice(part(&block.bytes, at + 1, ARRAY_BYTES.min(length - bytes.len())));
        next = block.u16(at + 22);
    }
    Ok(bytes)
}

/// All entries of a leaf.
fn leaf(block: &Block, numbers: bool) -> Result<Vec<Entry>> {
    let hashes = block.len() / 32;
    let chunks = 48 + hashes * 2;
    let mut entries = Vec::new();
    if block.u64(0) != LEAF || block.u32(24) != LEAF_MAGIC {
        return Err(bad("has a leaf that is none"));
    }
    let (mut at, mut room) = (chunks, block.len());
    while at + CHUNK <= block.len() {
        if byte_at(&block.bytes, at) == ENTRY {
            let unit = usize::from(byte_at(&block.bytes, at + 1));
            let name_unit = if numbers { 8 } else { 1 };
            let name = usize::from(block.u16(at + 6)) * name_unit;
            let value = usize::from(block.u16(at + 10)) * unit;
            if !matches!(unit, 1 | 2 | 4 | 8) || name > NAME_MOST || value > VALUE_MOST {
                return Err(bad("has an entry that makes no sense"));
            }
            let mut name = chain(block, chunks, block.u16(at + 4), name)?;
            if !numbers && name.last() == Some(&0) {
                name.pop();
            }
            let value = chain(block, chunks, block.u16(at + 8), value)?;
            // No chunk belongs to two entries.
            room = room.checked_sub(name.len() + value.len()).ok_or_else(|| bad("has chains that meet"))?;
            entries.push(Entry { name, unit, value });
        }
        at += CHUNK;
    }
    Ok(entries)
}

impl Pool<'_> {
    /// What form an object has.
    pub fn zap_form(&mut self, dnode: &Dnode) -> Result<Form> {
        let block = self.block(dnode, 0)?.ok_or_else(|| bad("is empty"))?;
        if block.u64(0) == MICRO {
            return Ok(Form::Small);
        }
        if block.u64(0) != HEADER || block.u64(8) != HEADER_MAGIC {
            return Err(bad("begins with something else"));
        }
        let (start, blocks, shift) = (block.u64(16), block.u64(24), block.u64(32));
        let half = block.len() as u64 / 2;
        let at = if blocks == 0 { Some(half) } else { start.checked_mul(dnode.block) };
        let room = if blocks == 0 { half } else { blocks.saturating_mul(dnode.block) };
        let at = at.filter(|at| {
            shift <= TABLE_MOST
                && 8u64 << shift <= room
                && at.checked_add(room).is_some_and(|end| end <= dnode.size())
        });
        let at = at.ok_or_else(|| bad("has a table that makes no sense"))?;
        let header = Header { salt: block.u64(80), flags: block.u64(96), normalised: block.u64(88) != 0 };
        Ok(Form::Large { table: Table { at, shift: shift as u32 }, header })
    }

    fn pointer_to_leaf(&mut self, dnode: &Dnode, table: Table, index: u64) -> Result<u64> {
        Ok(self.content(dnode, table.at + index * 8, 8)?.u64(0))
    }

    fn zap_leaf(&mut self, dnode: &Dnode, number: u64, flags: u64) -> Result<Vec<Entry>> {
        match self.block(dnode, number)? {
            Some(block) if number != 0 => leaf(&block, flags & NUMBERS_AS_KEYS != 0),
            _ => Err(bad("has a leaf that is missing")),
        }
    }

    /// The numbers of all leaves, in the order of the table.
    fn leaves(&mut self, dnode: &Dnode, table: Table) -> Result<Vec<u64>> {
        let (mut list, mut seen, mut last) = (Vec::new(), BTreeSet::new(), 0);
        let (mut at, end) = (table.at, table.at + (8u64 << table.shift));
        while at < end {
            let piece = self.content(dnode, at, (end - at).min(1 << 17) as usize)?;
            if piece.len() < 8 {
                return Err(bad("has a table that is cut off"));
            }
            for slot in (0..piece.len()).step_by(8) {
                let number = piece.u64(slot);
                if number != last && seen.insert(number) {
                    list.push(number);
                }
                last = number;
            }
            if seen.len() as u64 > LEAVES_MOST {
                return Err(bad("has too many leaves"));
            }
            at += piece.len() as u64 / 8 * 8;
        }
        Ok(list)
    }

    /// Entries from a cursor on (0 first), a leaf or more at a time, with what the cursor is behind each; false at the end.
    pub fn zap_page(&mut self, dnode: &Dnode, start: u64, most: usize) -> Result<(Vec<(Entry, u64)>, bool)> {
        let (first, skip) = (start >> CURSOR, (start & ((1 << CURSOR) - 1)) as usize);
        let (leaves, flags) = match self.zap_form(dnode)? {
            Form::Small => (vec![0], None),
            Form::Large { table, header } => (self.leaves(dnode, table)?, Some(header.flags)),
        };
        let (mut page, mut taken) = (Vec::new(), 0);
        for (number, place) in leaves.iter().enumerate().skip(usize::try_from(first).unwrap_or(usize::MAX)) {
            let entries = match flags {
                Some(flags) => self.zap_leaf(dnode, *place, flags)?,
                None => self.block(dnode, 0)?.map(|block| small(&block).0).unwrap_or_default(),
            };
            let skip = if number as u64 == first { skip } else { 0 };
            for (index, entry) in entries.into_iter().enumerate().skip(skip) {
                if page.len() >= most || taken > PAGE_MOST {
                    return Ok((page, true));
                }
                taken += entry.name.len() + entry.value.len() + 64;
                page.push((entry, (number as u64) << CURSOR | (index as u64 + 1)));
            }
        }
        Ok((page, false))
    }

    /// All entries; more than 65536, or 4 MiB, are refused.
    pub fn zap_all(&mut self, dnode: &Dnode) -> Result<Vec<Entry>> {
        match self.zap_page(dnode, 0, ENTRIES_MOST)? {
            (page, false) => Ok(page.into_iter().map(|(entry, _)| entry).collect()),
            (_, true) => Err(bad("is too large to be read at once")),
        }
    }

    /// The entry of that name; where names are compared in a normal form, ASCII's case may not count.
    pub fn zap_find(&mut self, dnode: &Dnode, name: &[u8]) -> Result<Option<Entry>> {
        let same = |entry: &Entry| entry.name == name;
        let alike = |entry: &Entry| entry.name.eq_ignore_ascii_case(name);
        let (entries, normalised) = match self.zap_form(dnode)? {
            Form::Small => self.block(dnode, 0)?.map(|block| small(&block)).unwrap_or_default(),
            Form::Large { header, .. } if header.normalised => (self.zap_all(dnode)?, true),
            Form::Large { table, header } => {
                let kept = if header.flags & HASH_64 != 0 { 48 } else { 28 };
                let hash = hash(header.salt, name) >> (64 - kept) << (64 - kept);
                let index = hash.checked_shr(64 - table.shift).unwrap_or(0);
                let number = self.pointer_to_leaf(dnode, table, index)?;
                (self.zap_leaf(dnode, number, header.flags)?, false)
            }
        };
        let exact = entries.iter().find(|entry| same(entry));
        Ok(exact.or_else(|| entries.iter().find(|entry| normalised && alike(entry))).cloned())
    }

    /// A number by its name.
    pub fn zap_number(&mut self, dnode: &Dnode, name: &str) -> Result<Option<u64>> {
        Ok(self.zap_find(dnode, name.as_bytes())?.map(|entry| entry.number()))
    }
}
