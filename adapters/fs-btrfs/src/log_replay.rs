//! Replaying the log as Linux does when it mounts (fs/btrfs/tree-log.c, btrfs_recover_log_trees, replay_one_buffer): inodes first, then
//! names that directories have, then what refers to names, attributes and content, and at last how many names each inode has.
//!
//! Nothing is written here: blocks that change are kept until `sync`.

use crate::Btrfs;
use crate::bytes::{put_u64, u32_at, u64_at};
use crate::change::file_reference;
use crate::content::{Extent, INLINE};
use crate::directory::parse;
use crate::features;
use crate::inode::{Inode, LENGTH, LINKS, Place};
use crate::key::{self, Key};
use crate::log::Log;
use crate::reference::Piece;
use crate::tree::Range;
use std::collections::BTreeSet;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// A log that is being replayed.
pub struct Replay<'r, 'a> {
    pub fs: &'r mut Btrfs<'a>,
    pub log: &'r Log,
    /// Inodes whose names are to be counted.
    pub recount: BTreeSet<u64>,
    /// Inodes that had no name when they were synced: they are left alone.
    nameless: BTreeSet<u64>,
}

/// An error of the log.
pub fn bad(key: Key, what: &str) -> Error {
    let Key { object, kind, offset } = key;
    Error::new(ErrorKind::Corrupt, format!("the log's item ({object}, {kind}, {offset}) {what}"))
}

impl Btrfs<'_> {
    /// Brings the trees to what was synced, in memory.
    pub fn replay(&mut self) -> Result<()> {
        self.store.superblock.check_writable()?;
        self.check_members()?;
        let logs = self.logs()?;
        self.change(|fs| {
            fs.hold_content(&logs)?;
            logs.iter().try_for_each(|log| fs.replay_log(log))
        })?;
        self.store.superblock.drop_log();
        // even where the trees say it all, the superblock has to
        self.store.changes += 1;
        Ok(())
    }

    fn replay_log(&mut self, log: &Log) -> Result<()> {
        let nameless =
            |(key, item): &(&Key, &Vec<u8>)| key.kind == key::INODE_ITEM && u32_at(item, LINKS) == 0;
        let nameless = log.items.iter().filter(nameless).map(|(key, _)| key.object).collect();
        let mut replay = Replay { fs: self, log, recount: BTreeSet::new(), nameless };
        replay.each(&[key::INODE_ITEM], Replay::inode)?;
        replay.each(&[key::DIR_INDEX], Replay::entry)?;
        let rest = [key::INODE_REF, key::INODE_EXTREF, key::XATTR_ITEM, key::EXTENT_DATA];
        replay.each(&rest, |replay, key, item| match key.kind {
            key::INODE_REF => replay.references(key, item),
            key::XATTR_ITEM => replay.fs.put_item(log.tree, key, item.to_vec()),
            key::EXTENT_DATA => replay.extent(key, item),
            _ => Err(Error::unsupported("a file has more names in one directory than an item holds")),
        })?;
        replay.count_names()
    }
}

impl Replay<'_, '_> {
    /// Calls `each` with the log's items of these kinds, in order.
    fn each(&mut self, kinds: &[u8], each: impl Fn(&mut Self, Key, &[u8]) -> Result<()>) -> Result<()> {
        for (key, item) in &self.log.items {
            if kinds.contains(&key.kind) && !self.nameless.contains(&key.object) {
                each(self, *key, item)?;
                self.fs.settle()?;
            }
        }
        Ok(())
    }

    pub fn place(&self, number: u64) -> Place {
        Place { tree: self.log.tree, number }
    }

    /// The inode of the subvolume with this number, if there is one.
    pub fn find(&mut self, number: u64) -> Result<Option<Inode>> {
        let place = self.place(number);
        let raw = self.fs.item(place.tree, Key::new(number, key::INODE_ITEM, 0))?;
        Ok(raw.filter(|raw| raw.len() >= LENGTH).map(|raw| Inode { place, raw }))
    }

    /// Stores an inode as it is.
    pub fn store(&mut self, inode: Inode) -> Result<()> {
        self.fs.put_item(inode.place.tree, Key::new(inode.place.number, key::INODE_ITEM, 0), inode.raw)
    }

    /// The inode itself; what the log says it has no more goes.
    fn inode(&mut self, key: Key, item: &[u8]) -> Result<()> {
        if item.len() != LENGTH {
            return Err(bad(key, "is no inode"));
        }
        self.drop_attributes(key.object)?;
        let logged = Inode { place: self.place(key.object), raw: item.to_vec() };
        if logged.kind() == Kind::Directory {
            self.drop_entries(key.object)?;
        }
        let mut inode = self.merged(logged)?;
        if inode.kind() == Kind::File {
            let sector = u64::from(self.fs.store.superblock.sector);
            let end = inode.size().checked_next_multiple_of(sector).unwrap_or(u64::MAX);
            self.fs.cut_extents(&mut inode, end, u64::MAX)?;
        }
        self.store(inode)?;
        self.recount.insert(key.object);
        Ok(())
    }

    /// The subvolume's inode as the log has it (overwrite_item): bytes are counted as extents are replayed, and a directory's
    /// size as names are.
    fn merged(&mut self, logged: Inode) -> Result<Inode> {
        let newest = self.fs.store.superblock.generation();
        let generation = u64_at(&logged.raw, 0);
        let there = self.find(logged.place.number)?;
        let mut inode = logged.clone();
        match there {
            // logged only so that it exists
            Some(there) if generation == 0 => {
                inode = there;
                if logged.kind() == Kind::File && inode.kind() == Kind::File && logged.size() != 0 {
                    inode.set_size(logged.size());
                }
            }
            Some(there) => {
                inode.set_bytes(there.bytes());
                if logged.kind() == Kind::Directory && there.kind() == Kind::Directory {
                    inode.set_size(there.size());
                }
            }
            None => {
                inode.set_bytes(0);
                if logged.kind() == Kind::Directory {
                    inode.set_size(0);
                }
            }
        }
        // The transaction of the log is not ended here: its changes belong to the last one that was.
        for at in [0, 8] {
            let made = u64_at(&inode.raw, at);
            put_u64(&mut inode.raw, at, if made == 0 { newest } else { made.min(newest) });
        }
        Ok(inode)
    }

    /// Takes away the attributes that a logged inode has no more (replay_xattr_deletes).
    fn drop_attributes(&mut self, number: u64) -> Result<()> {
        let tree = self.log.tree;
        for (key, item) in self.fs.items(tree, Range::of(number, key::XATTR_ITEM))? {
            let logged = self.log.items.get(&key).map(|item| parse(item)).unwrap_or_default();
            for entry in parse(&item) {
                if !logged.iter().any(|other| other.name == entry.name) {
                    self.fs.drop_entry(tree, key, &entry.name)?;
                }
            }
        }
        Ok(())
    }

    /// A piece of a file (replay_one_extent).
    fn extent(&mut self, key: Key, item: &[u8]) -> Result<()> {
        let extent = Extent::parse(key, item)?;
        let tree = self.log.tree;
        let mut item = item.to_vec();
        let made = u64_at(&item, 0).min(self.fs.store.superblock.generation());
        put_u64(&mut item, 0, made);
        if self.fs.item(tree, key)?.as_ref() == Some(&item) {
            return Ok(());
        }
        let mut inode = self.find(key.object)?.ok_or_else(|| bad(key, "is of an inode that is missing"))?;
        if extent.address != 0 {
            // counted first: what is taken away below may be the same, which must not be free in between
            let piece = Piece::Data { address: extent.address, length: extent.stored };
            self.fs.note(piece, file_reference(tree, key.object, &extent), true);
        }
        let sector = u64::from(self.fs.store.superblock.sector);
        self.fs.cut_extents(&mut inode, extent.at, extent.room_end(sector))?;
        let hole = extent.kind != INLINE && extent.address == 0;
        if !(hole && self.fs.store.superblock.has(features::NO_HOLES)) {
            self.fs.put_item(tree, key, item)?;
        }
        if !hole {
            inode.set_bytes(inode.bytes().saturating_add(extent.length));
        }
        self.store(inode)?;
        self.fs.settle()?;
        self.sums(&extent)
    }

    /// The sums of an extent's content.
    fn sums(&mut self, extent: &Extent) -> Result<()> {
        if extent.address == 0 {
            return Ok(());
        }
        let (from, to) = match extent.compression {
            0 => (extent.address + extent.offset, extent.address + extent.offset + extent.length),
            _ => (extent.address, extent.address + extent.stored),
        };
        let (sector, size) =
            (u64::from(self.fs.store.superblock.sector), self.fs.store.superblock.algorithm.length());
        let at = |address| Key::new(key::CSUM_OBJECT, key::EXTENT_CSUM, address);
        let log = self.log;
        for (key, item) in log.items.range(at(0)..at(to)).rev() {
            let end = key.offset.saturating_add((item.len() / size) as u64 * sector);
            let (first, last) = (key.offset.max(from), end.min(to));
            // those before do not reach as far, unless they are damaged
            if first >= last {
                break;
            }
            let place = |address: u64| ((address - key.offset) / sector) as usize * size;
            let sums = item.get(place(first)..place(last)).unwrap_or_default();
            self.fs.put_sums(first, sums)?;
        }
        Ok(())
    }

    /// Sets how many names inodes have; those without one go, and what was in them too (fixup_inode_link_counts).
    fn count_names(&mut self) -> Result<()> {
        while let Some(number) = self.recount.pop_last() {
            let Some(mut inode) = self.find(number)? else { continue };
            let names = self.names_of(number)?;
            if names > 0 {
                inode.set_links(names);
                self.store(inode)?;
                continue;
            }
            if inode.kind() == Kind::Directory {
                self.drop_all_entries(number)?;
                let Some(emptied) = self.find(number)? else { continue };
                inode = emptied;
            }
            self.fs.destroy(inode)?;
            self.fs.settle()?;
        }
        Ok(())
    }
}
