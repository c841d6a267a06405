//! Indexes: sorted trees of names, and of a few other keys. The first node is in the file's record, all others are blocks.
//!
//! Source: the Linux-NTFS documentation, "$INDEX_ROOT", "$INDEX_ALLOCATION", "Index Record", "Collation".

use crate::attribute::{ALLOCATION, ROOT};
use crate::bytes::{part, u16_at, u32_at, u64_at};
use crate::file::File;
use crate::fixup;
use crate::name::{Upcase, key_units};
use crate::volume::Volume;
use core::cmp::Ordering;
use std::collections::HashSet;
use wherry_sdk::{Error, ErrorKind, Result};

/// The index of names in a directory: `$I30`.
pub const NAMES: &[u16] = &[0x24, 0x49, 0x33, 0x30];
/// Levels of the deepest tree.
pub const LEVELS_MOST: usize = 16;
/// The entry has a node below it.
pub const SUB: u16 = 1;
/// The entry ends its node and has no key.
pub const LAST: u16 = 2;
/// Where the header of the entries is in the root's value, and in a block.
pub const ROOT_HEADER: usize = 0x10;
/// The same in a block.
pub const BLOCK_HEADER: usize = 0x18;
/// Bytes of the largest block.
pub const BLOCK_MOST: usize = 65536;

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{what}: run chkdsk"))
}

/// How keys are compared ([MS-FSCC] names none; the numbers are those of `$INDEX_ROOT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collation {
    /// names of files
    Names,
    /// numbers of 4 bytes, one after the other
    Numbers,
}

impl Collation {
    /// By its number on the volume.
    pub fn parse(number: u32) -> Result<Self> {
        match number {
            1 => Ok(Self::Names),
            0x10 | 0x13 => Ok(Self::Numbers),
            other => {
                Err(Error::unsupported(format!("an index is sorted by rule {other:#x}, which is unknown")))
            }
        }
    }

    /// The order of two keys.
    pub fn compare(self, upcase: &Upcase, left: &[u8], right: &[u8]) -> Ordering {
        match self {
            Self::Names => {
                let (left, right) =
                    (key_units(left).unwrap_or_default(), key_units(right).unwrap_or_default());
                upcase.collate(&left, &right)
            }
            Self::Numbers => {
                let numbers = |key: &[u8]| key.chunks(4).map(|four| u32_at(four, 0)).collect::<Vec<_>>();
                numbers(left).cmp(&numbers(right))
            }
        }
    }
}

/// An entry of a node.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// An entry that these bytes are, child included.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn flags(&self) -> u16 {
        u16_at(self.bytes, 12)
    }

    /// The file, in an index of names.
    pub fn reference(&self) -> u64 {
        u64_at(self.bytes, 0)
    }

    /// Whether it ends its node.
    pub fn is_last(&self) -> bool {
        self.flags() & LAST != 0
    }

    /// The key.
    pub fn key(&self) -> &'a [u8] {
        if self.is_last() { &[] } else { part(self.bytes, 16, usize::from(u16_at(self.bytes, 10))) }
    }

    /// The key, where the bytes are those of an entry without a node below, whatever the flags say.
    pub fn key_of_body(&self) -> &'a [u8] {
        part(self.bytes, 16, usize::from(u16_at(self.bytes, 10)))
    }

    /// The node below.
    pub fn child(&self) -> Option<u64> {
        let at = self.bytes.len().checked_sub(8)?;
        (self.flags() & SUB != 0).then(|| u64_at(self.bytes, at))
    }

    /// The bytes without the number of the node below.
    pub fn body(&self) -> &'a [u8] {
        let child = if self.flags() & SUB != 0 { 8 } else { 0 };
        part(self.bytes, 0, self.bytes.len() - child)
    }
}

/// The entries of a node, of which `header` is where their header begins. The last one is always `is_last`.
pub fn entries(node: &[u8], header: usize) -> Result<Vec<Entry<'_>>> {
    let first = header.saturating_add(u32_at(node, header) as usize);
    let end = header.saturating_add(u32_at(node, header + 4) as usize).min(node.len());
    let (mut list, mut at) = (Vec::new(), first);
    loop {
        let length = usize::from(u16_at(node, at.saturating_add(8)));
        let bytes = at.checked_add(length).filter(|next| *next <= end).and_then(|next| node.get(at..next));
        let entry = Entry { bytes: bytes.unwrap_or_default() };
        let child = if entry.flags() & SUB != 0 { 8 } else { 0 };
        let key = if entry.is_last() { 0 } else { usize::from(u16_at(entry.bytes, 10)) };
        if entry.bytes.len() < 16 + child + key || length % 8 != 0 {
            return Err(corrupt("an index has an entry of an impossible length"));
        }
        list.push(entry);
        if entry.is_last() {
            return Ok(list);
        }
        at += length;
    }
}

/// What is fixed for an index.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub collation: Collation,
    /// bytes of a block
    pub block: usize,
    /// bytes that a block's number counts
    pub unit: u64,
}

/// Whether an index may have blocks of so many bytes.
pub fn is_block_size(size: usize) -> bool {
    size.is_power_of_two() && (512..=BLOCK_MOST).contains(&size)
}

impl Volume<'_> {
    /// The rules of a file's index.
    pub fn index_shape(&self, file: &File, name: &[u16]) -> Result<Shape> {
        let root = file.value(ROOT, name)?;
        let block = u32_at(root, 8) as usize;
        if !is_block_size(block) {
            return Err(corrupt("an index has blocks of an impossible size"));
        }
        let unit = self.boot.index_unit(block);
        Ok(Shape { collation: Collation::parse(u32_at(root, 4))?, block, unit })
    }

    /// A block of an index, with its update sequence resolved.
    pub fn index_block(&mut self, file: &File, name: &[u16], shape: Shape, number: u64) -> Result<Vec<u8>> {
        let stored = file.get(ALLOCATION, name).and_then(|blocks| blocks.clusters());
        let stored = stored.ok_or_else(|| corrupt("an index has no blocks where they are expected"))?;
        let offset = number.checked_mul(shape.unit).filter(|offset| *offset < stored.size);
        let offset = offset.ok_or_else(|| corrupt("an index leads behind its last block"))?;
        let mut bytes = self.stored_bytes(stored, offset, shape.block)?;
        let right = bytes.starts_with(b"INDX") && fixup::apply(&mut bytes) && u64_at(&bytes, 0x10) == number;
        if !right {
            let message = format!("block {number} of the index of file record {} is none", file.number);
            return Err(corrupt(&message));
        }
        Ok(bytes)
    }

    /// Looks a name up without case; where names differ in nothing else, the exact one wins. Returns the file's
    /// reference and the name as it is stored.
    pub fn find(&mut self, directory: &File, name: &[u16]) -> Result<Option<(u64, Vec<u16>)>> {
        let found = self.descend(directory, name, Upcase::compare)?;
        match &found {
            Some((_, stored)) if stored != name => {
                Ok(self.descend(directory, name, Upcase::collate)?.or(found))
            }
            _ => Ok(found),
        }
    }

    fn descend(
        &mut self,
        directory: &File,
        name: &[u16],
        order: impl Fn(&Upcase, &[u16], &[u16]) -> Ordering,
    ) -> Result<Option<(u64, Vec<u16>)>> {
        let shape = self.index_shape(directory, NAMES)?;
        let mut node = directory.value(ROOT, NAMES)?.to_vec();
        let mut header = ROOT_HEADER;
        for _ in 0..LEVELS_MOST {
            let list = entries(&node, header)?;
            let stored = |entry: &Entry<'_>| key_units(entry.key()).unwrap_or_default();
            let before = |entry: &Entry<'_>| {
                !entry.is_last() && order(&self.upcase, name, &stored(entry)) == Ordering::Greater
            };
            let entry = list.get(list.partition_point(before));
            let entry = entry.ok_or_else(|| corrupt("an index node has no end"))?;
            if !entry.is_last() && order(&self.upcase, name, &stored(entry)) == Ordering::Equal {
                return Ok(Some((entry.reference(), stored(entry))));
            }
            let next = entry.child();
            let Some(number) = next else { return Ok(None) };
            node = self.index_block(directory, NAMES, shape, number)?;
            header = BLOCK_HEADER;
        }
        Err(corrupt("an index is deeper than it can be"))
    }

    /// Every entry of an index in order; `visit` gets the file's reference and the key.
    pub fn walk(&mut self, file: &File, name: &[u16], visit: &mut dyn FnMut(u64, &[u8])) -> Result<()> {
        let shape = self.index_shape(file, name)?;
        let root = file.value(ROOT, name)?.to_vec();
        let mut walk = Walk { file, name, shape, seen: HashSet::new(), visit };
        walk.node(self, &root, ROOT_HEADER, 0)
    }
}

/// A walk over all nodes of an index.
struct Walk<'w> {
    file: &'w File,
    name: &'w [u16],
    shape: Shape,
    seen: HashSet<u64>,
    visit: &'w mut dyn FnMut(u64, &[u8]),
}

impl Walk<'_> {
    fn node(&mut self, volume: &mut Volume<'_>, node: &[u8], header: usize, level: usize) -> Result<()> {
        for entry in entries(node, header)? {
            if let Some(child) = entry.child() {
                if !self.seen.insert(child) || level >= LEVELS_MOST {
                    return Err(corrupt("an index leads to the same block twice, or too deep"));
                }
                let block = volume.index_block(self.file, self.name, self.shape, child)?;
                self.node(volume, &block, BLOCK_HEADER, level + 1)?;
            }
            if !entry.is_last() {
                (self.visit)(entry.reference(), entry.key());
            }
        }
        Ok(())
    }
}
