//! The log: what was synced after the trees were written last, as items for the trees of subvolumes (Linux: fs/btrfs/tree-log.c).
//!
//! Its blocks are in no tree of extents, so they are read whole before anything is changed.

use crate::Btrfs;
use crate::content::Extent;
use crate::key::{self, Key};
use crate::reference::Piece;
use crate::superblock::Root;
use crate::tree::{Range, Tree};
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes of all logs, each item with what keeping it takes.
const LOG_MOST: usize = 32 << 20;
const ITEM: usize = 64;

/// Items of a log by their keys.
pub type Items = BTreeMap<Key, Vec<u8>>;

/// The log of a subvolume.
pub struct Log {
    /// The number of the subvolume's tree.
    pub tree: u64,
    pub items: Items,
}

impl Log {
    /// The items of one kind that an object has.
    pub fn of(&self, object: u64, kind: u8) -> impl Iterator<Item = (&Key, &Vec<u8>)> {
        let Range { from, to } = Range::of(object, kind);
        self.items.range(from..=to)
    }
}

impl Btrfs<'_> {
    /// The logs of all subvolumes that are still there.
    pub fn logs(&mut self) -> Result<Vec<Log>> {
        let mut room = LOG_MOST;
        let root = self.store.superblock.log_root();
        let mut logs = Vec::new();
        for (key, item) in self.log_items(root, Range::of(key::LOG_OBJECT, key::ROOT_ITEM), &mut room)? {
            let tree = key.offset;
            if self.find_tree(tree)?.is_some_and(|tree| tree.references > 0) {
                let all = Range { from: Key::new(0, 0, 0), to: Key::new(u64::MAX, u8::MAX, u64::MAX) };
                let items = self.log_items(Tree::parse(&item).root, all, &mut room)?;
                logs.push(Log { tree, items });
            }
        }
        Ok(logs)
    }

    fn log_items(&mut self, root: Root, range: Range, room: &mut usize) -> Result<Items> {
        let mut items = Items::new();
        self.store.each(root, range, &mut |key, item| {
            let left = room.checked_sub(item.len() + ITEM);
            *room = left.ok_or_else(|| Error::new(ErrorKind::Limit, "the log is larger than 32 MiB"))?;
            items.insert(key, item.to_vec());
            Ok(true)
        })?;
        Ok(items)
    }

    /// Takes the content that only logs know of out of what is free, so that nothing else is put there.
    pub fn hold_content(&mut self, logs: &[Log]) -> Result<()> {
        let mut held = BTreeSet::new();
        for (key, item) in logs.iter().flat_map(|log| &log.items) {
            if key.kind != key::EXTENT_DATA {
                continue;
            }
            let Extent { address, stored: length, .. } = Extent::parse(*key, item)?;
            let known = address == 0 || self.extent(Piece::Data { address, length })?.is_some();
            if !known && held.insert((address, length)) {
                self.hold(address, length)?;
            }
        }
        Ok(())
    }
}
