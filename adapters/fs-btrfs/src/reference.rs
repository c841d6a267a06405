//! Extent items: who refers to a piece of the file system (Linux: `include/uapi/linux/btrfs_tree.h`, struct btrfs_extent_item;
//! fs/btrfs/tree-checker.c, check_extent_item, for the order of references).

use crate::Btrfs;
use crate::bytes::{byte_at, part, put_u32, put_u64, u32_at, u64_at};
use crate::checksum::reference_hash;
use crate::key::{self, Key};
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes before the references: counted references, generation, flags; and what old items of tree blocks have besides.
const HEAD: usize = 24;
const OLD_BLOCK: usize = 18;
/// Flags.
const DATA: u64 = 1;
const TREE_BLOCK: u64 = 2;
/// All references from this block on name their parent block instead of a tree.
const FULL: u64 = 1 << 8;

/// Who refers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A tree to one of its blocks.
    Tree(u64),
    /// A block to another one.
    Block(u64),
    /// A file to its content; `offset`: where in the file the whole extent would begin.
    File { tree: u64, object: u64, offset: u64 },
    /// A leaf to content.
    Leaf(u64),
}

impl Reference {
    fn kind(self) -> u8 {
        match self {
            Self::Tree(_) => key::TREE_BLOCK_REF,
            Self::Block(_) => key::SHARED_BLOCK_REF,
            Self::File { .. } => key::EXTENT_DATA_REF,
            Self::Leaf(_) => key::SHARED_DATA_REF,
        }
    }

    /// What references of one kind are sorted by, and the offset of an item of its own.
    fn number(self) -> u64 {
        match self {
            Self::Tree(number) | Self::Block(number) | Self::Leaf(number) => number,
            Self::File { tree, object, offset } => reference_hash(tree, object, offset),
        }
    }

    /// The bytes of a reference in its item.
    fn pack(self, count: u32, inline: bool) -> Vec<u8> {
        let mut bytes = if inline { vec![self.kind()] } else { Vec::new() };
        match self {
            Self::Tree(number) | Self::Block(number) => {
                if inline {
                    bytes.extend(number.to_le_bytes());
                }
            }
            Self::File { tree, object, offset } => {
                [tree, object, offset].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
                bytes.extend(count.to_le_bytes());
            }
            Self::Leaf(number) => {
                if inline {
                    bytes.extend(number.to_le_bytes());
                }
                bytes.extend(count.to_le_bytes());
            }
        }
        bytes
    }

    /// The reference at a place, how often, and how many bytes it takes.
    fn at(bytes: &[u8], at: usize) -> Option<(Self, u32, usize)> {
        let number = u64_at(bytes, at + 1);
        match byte_at(bytes, at) {
            key::TREE_BLOCK_REF => Some((Self::Tree(number), 1, 9)),
            key::SHARED_BLOCK_REF => Some((Self::Block(number), 1, 9)),
            key::EXTENT_DATA_REF => {
                let (object, offset) = (u64_at(bytes, at + 9), u64_at(bytes, at + 17));
                Some((Self::File { tree: number, object, offset }, u32_at(bytes, at + 25), 29))
            }
            key::SHARED_DATA_REF => Some((Self::Leaf(number), u32_at(bytes, at + 9), 13)),
            _ => None,
        }
    }
}

/// What is known of a piece.
pub struct Extent {
    key: Key,
    head: Vec<u8>,
    inline: Vec<(Reference, u32)>,
}

impl Extent {
    fn parse(key: Key, item: &[u8]) -> Result<Self> {
        let bad = |what: &str| {
            let message = format!("the extent at {} {what}", key.object);
            Error::new(ErrorKind::Unsupported, format!("{message}: edit from inside the guest"))
        };
        let old = key.kind == key::EXTENT_ITEM && u64_at(item, 16) & TREE_BLOCK != 0;
        let length = if old { HEAD + OLD_BLOCK } else { HEAD };
        if item.len() < length {
            return Err(bad("is too short"));
        }
        let (mut at, mut inline) = (length, Vec::new());
        while at < item.len() {
            let found = Reference::at(item, at).filter(|(_, _, length)| at + length <= item.len());
            let (reference, count, length) =
                found.ok_or_else(|| bad("has references that are not known here"))?;
            inline.push((reference, count));
            at += length;
        }
        Ok(Self { key, head: part(item, 0, length).to_vec(), inline })
    }

    fn new(key: Key, generation: u64) -> Self {
        let mut head = vec![0; HEAD];
        put_u64(&mut head, 8, generation);
        put_u64(&mut head, 16, if key.kind == key::METADATA_ITEM { TREE_BLOCK } else { DATA });
        Self { key, head, inline: Vec::new() }
    }

    fn pack(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        self.inline.iter().for_each(|(reference, count)| bytes.extend(reference.pack(*count, true)));
        bytes
    }

    pub fn references(&self) -> u64 {
        u64_at(&self.head, 0)
    }

    fn count(&mut self, references: u64) {
        put_u64(&mut self.head, 0, references);
    }

    pub fn is_full(&self) -> bool {
        u64_at(&self.head, 16) & FULL != 0
    }
}

/// A piece of the file system: a block of a tree, or content.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    Block { address: u64, level: u8 },
    Data { address: u64, length: u64 },
}

impl Piece {
    pub fn address(self) -> u64 {
        match self {
            Self::Block { address, .. } | Self::Data { address, .. } => address,
        }
    }

    fn key(self) -> Key {
        match self {
            Self::Block { address, level } => Key::new(address, key::METADATA_ITEM, level.into()),
            Self::Data { address, length } => Key::new(address, key::EXTENT_ITEM, length),
        }
    }
}

impl Btrfs<'_> {
    /// What the tree of extents knows of a piece.
    pub fn extent(&mut self, piece: Piece) -> Result<Option<Extent>> {
        let node = u64::from(self.store.superblock.node);
        let old =
            matches!(piece, Piece::Block { .. }).then(|| Key::new(piece.address(), key::EXTENT_ITEM, node));
        for key in [Some(piece.key()), old].into_iter().flatten() {
            if let Some(item) = self.item(key::EXTENT_TREE, key)? {
                return Extent::parse(key, &item).map(Some);
            }
        }
        Ok(None)
    }

    /// Marks a block so that what it refers to is referred to by the block and not by a tree.
    pub fn set_full(&mut self, piece: Piece) -> Result<()> {
        let mut extent = self.known(piece)?;
        let flags = u64_at(&extent.head, 16);
        put_u64(&mut extent.head, 16, flags | FULL);
        self.put_item(key::EXTENT_TREE, extent.key, extent.pack())
    }

    fn known(&mut self, piece: Piece) -> Result<Extent> {
        let missing = || {
            let message =
                format!("the extent at {} is not in the tree of extents: run btrfs check", piece.address());
            Error::new(ErrorKind::Corrupt, message)
        };
        self.extent(piece)?.ok_or_else(missing)
    }

    /// One more reference to a piece; true if it is the first one.
    pub fn add_reference(&mut self, piece: Piece, reference: Reference) -> Result<bool> {
        let generation = self.store.superblock.generation();
        let found = self.extent(piece)?;
        let is_new = found.is_none();
        let mut extent = found.unwrap_or_else(|| Extent::new(piece.key(), generation));
        let references = extent.references();
        extent.count(references + 1);
        if let Some((_, count)) = extent.inline.iter_mut().find(|(other, _)| *other == reference) {
            *count += 1;
        } else if let Some((key, mut item)) = self.own_item(piece, reference)? {
            let at = item.len().saturating_sub(4);
            let count = u32_at(&item, at) + 1;
            put_u32(&mut item, at, count);
            self.put_item(key::EXTENT_TREE, key, item)?;
        } else {
            let order = |one: &(Reference, u32)| (one.0.kind(), !one.0.number());
            let new = (reference, 1);
            let slot = extent.inline.partition_point(|other| order(other) < order(&new));
            extent.inline.insert(slot, new);
            if extent.pack().len() > self.item_most() {
                extent.inline.remove(slot);
                let key = Key::new(piece.address(), reference.kind(), reference.number());
                self.put_item(key::EXTENT_TREE, key, reference.pack(1, false))?;
            }
        }
        self.put_item(key::EXTENT_TREE, extent.key, extent.pack())?;
        Ok(is_new)
    }

    /// One reference fewer; true if it was the last one, so that the piece is free.
    pub fn drop_reference(&mut self, piece: Piece, reference: Reference) -> Result<bool> {
        let mut extent = self.known(piece)?;
        let missing = || {
            let message = format!(
                "the extent at {} is referred to by more than it knows: run btrfs check",
                piece.address()
            );
            Error::new(ErrorKind::Corrupt, message)
        };
        if let Some(slot) = extent.inline.iter().position(|(other, _)| *other == reference) {
            match extent.inline.get_mut(slot) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => drop(extent.inline.remove(slot)),
            }
        } else {
            let (key, mut item) = self.own_item(piece, reference)?.ok_or_else(missing)?;
            let at = item.len().saturating_sub(4);
            let counted = matches!(reference, Reference::File { .. } | Reference::Leaf(_));
            match u32_at(&item, at) {
                count if counted && count > 1 => {
                    put_u32(&mut item, at, count - 1);
                    self.put_item(key::EXTENT_TREE, key, item)?;
                }
                _ => self.remove_item(key::EXTENT_TREE, key)?,
            }
        }
        let references = extent.references().checked_sub(1).ok_or_else(missing)?;
        extent.count(references);
        if references > 0 {
            self.put_item(key::EXTENT_TREE, extent.key, extent.pack())?;
            return Ok(false);
        }
        self.remove_item(key::EXTENT_TREE, extent.key)?;
        Ok(true)
    }

    /// A reference that has an item of its own.
    fn own_item(&mut self, piece: Piece, reference: Reference) -> Result<Option<(Key, Vec<u8>)>> {
        let key = Key::new(piece.address(), reference.kind(), reference.number());
        let Some(item) = self.item(key::EXTENT_TREE, key)? else { return Ok(None) };
        let counted = matches!(reference, Reference::File { .. } | Reference::Leaf(_));
        let count = u32_at(&item, item.len().saturating_sub(4));
        if counted && item != reference.pack(count, false) {
            let message = format!(
                "two references to the extent at {} have one hash: edit from inside the guest",
                piece.address()
            );
            return Err(Error::unsupported(message));
        }
        Ok(Some((key, item)))
    }

    /// The most bytes of an extent item (BTRFS_MAX_EXTENT_ITEM_SIZE).
    fn item_most(&self) -> usize {
        (self.store.superblock.node as usize - crate::block::HEADER) / 16 - crate::block::ITEM
    }
}
