//! Trees by their numbers, and their items.

use crate::Btrfs;
use crate::bytes::{byte_at, u32_at, u64_at};
use crate::key::{self, Key};
use crate::superblock::Root;
use wherry_sdk::{Error, ErrorKind, Result};

/// Items that are taken into memory at once.
const ITEMS_MOST: usize = 1 << 17;
/// Where a root item says that its subvolume may only be read.
const READ_ONLY: u64 = 1;

/// Keys from one to another, both included.
#[derive(Clone, Copy)]
pub struct Range {
    pub from: Key,
    pub to: Key,
}

impl Range {
    /// All items of an object.
    pub fn object(object: u64) -> Self {
        Self { from: Key::new(object, 0, 0), to: Key::new(object, u8::MAX, u64::MAX) }
    }

    /// All items of one kind of an object.
    pub fn of(object: u64, kind: u8) -> Self {
        Self { from: Key::new(object, kind, 0), to: Key::new(object, kind, u64::MAX) }
    }

    /// One key.
    pub fn one(key: Key) -> Self {
        Self { from: key, to: key }
    }
}

/// What a root item says (struct btrfs_root_item).
#[derive(Clone, Copy)]
pub struct Tree {
    pub root: Root,
    pub flags: u64,
    pub references: u32,
}

impl Tree {
    pub fn parse(item: &[u8]) -> Self {
        let root =
            Root { block: u64_at(item, 176), level: byte_at(item, 238), generation: u64_at(item, 160) };
        Self { root, flags: u64_at(item, 208), references: u32_at(item, 216) }
    }

    pub fn is_read_only(&self) -> bool {
        self.flags & READ_ONLY != 0
    }
}

impl Btrfs<'_> {
    /// The tree of this number; none if there is none.
    pub fn find_tree(&mut self, id: u64) -> Result<Option<Tree>> {
        if let Some(tree) = self.trees.get(&id) {
            return Ok(Some(*tree));
        }
        let mut found = None;
        let root = self.store.superblock.root();
        self.store.each(root, Range::of(id, key::ROOT_ITEM), &mut |_, item| {
            found = Some(Tree::parse(item));
            Ok(false)
        })?;
        if let Some(tree) = found {
            self.trees.insert(id, tree);
        }
        Ok(found)
    }

    /// Where a tree begins.
    pub fn root(&mut self, id: u64) -> Result<Root> {
        match id {
            key::ROOT_TREE => Ok(self.store.superblock.root()),
            key::CHUNK_TREE => Ok(self.store.superblock.chunk_root()),
            _ => match self.find_tree(id)? {
                Some(tree) => Ok(tree.root),
                None => Err(Error::new(ErrorKind::Corrupt, format!("tree {id} is missing: run btrfs check"))),
            },
        }
    }

    /// One item; none if it is not there.
    pub fn item(&mut self, tree: u64, key: Key) -> Result<Option<Vec<u8>>> {
        let root = self.root(tree)?;
        let mut found = None;
        self.store.each(root, Range::one(key), &mut |_, item| {
            found = Some(item.to_vec());
            Ok(false)
        })?;
        Ok(found)
    }

    /// The items in a range.
    pub fn items(&mut self, tree: u64, range: Range) -> Result<Vec<(Key, Vec<u8>)>> {
        let root = self.root(tree)?;
        let mut list = Vec::new();
        self.store.each(root, range, &mut |key, item| {
            if list.len() >= ITEMS_MOST {
                let message =
                    format!("object {} of tree {tree} has more than {ITEMS_MOST} items", key.object);
                return Err(Error::new(ErrorKind::Limit, message));
            }
            list.push((key, item.to_vec()));
            Ok(true)
        })?;
        Ok(list)
    }

    /// The last item whose key is not greater than `key`, of the object and kind of `key`.
    pub fn last_before(&mut self, tree: u64, key: Key) -> Result<Option<(Key, Vec<u8>)>> {
        let root = self.root(tree)?;
        self.store
            .before(root, key)
            .map(|found| found.filter(|(at, _)| (at.object, at.kind) == (key.object, key.kind)))
    }
}
