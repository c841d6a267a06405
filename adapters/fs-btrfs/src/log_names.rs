//! Names in the log: entries of directories, and what inodes say of their names.

use crate::bytes::u64_at;
use crate::directory::{Entry, parse, references};
use crate::inode::Inode;
use crate::key::{self, Key};
use crate::log_replay::{Replay, bad};
use crate::tree::Range;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// The entry of a directory's item with this name.
fn named(item: Option<Vec<u8>>, name: &[u8]) -> Option<Entry> {
    parse(&item.unwrap_or_default()).into_iter().find(|entry| entry.name == name)
}

impl Replay<'_, '_> {
    /// Takes away the names that a logged directory has no more (replay_dir_deletes): of ranges of running numbers the log has all
    /// names that are left (struct btrfs_dir_log_item).
    pub fn drop_entries(&mut self, directory: u64) -> Result<()> {
        let at = |index| Key::new(directory, key::DIR_INDEX, index);
        let log = self.log;
        let mut seen = 0;
        for (range, item) in log.of(directory, key::DIR_LOG_INDEX) {
            let (first, last) = (range.offset.max(seen), u64_at(item, 0));
            // ranges do not overlap, unless they are damaged
            seen = seen.max(last.saturating_add(1));
            if first > last {
                continue;
            }
            for (key, item) in self.fs.items(log.tree, Range { from: at(first), to: at(last) })? {
                for entry in parse(&item).into_iter().take(1) {
                    if named(log.items.get(&key).cloned(), &entry.name).is_none() {
                        self.unlink(directory, &entry)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes all names away from a directory that has none itself.
    pub fn drop_all_entries(&mut self, directory: u64) -> Result<()> {
        let tree = self.log.tree;
        for (_, item) in self.fs.items(tree, Range::of(directory, key::DIR_INDEX))? {
            for entry in parse(&item).into_iter().take(1) {
                self.unlink(directory, &entry)?;
            }
        }
        Ok(())
    }

    /// Takes a name away; whether its inode has others is seen at the end.
    fn unlink(&mut self, directory: u64, entry: &Entry) -> Result<()> {
        let number = entry.location.object;
        if entry.location.kind != key::INODE_ITEM {
            return Err(Error::unsupported(format!("a subvolume was removed from directory {directory}")));
        }
        let mut parent = self.directory(directory)?;
        self.fs.drop_name(&mut parent, &entry.name, self.place(number))?;
        self.store(parent)?;
        self.recount.insert(number);
        Ok(())
    }

    fn directory(&mut self, number: u64) -> Result<Inode> {
        let found = self.find(number)?.filter(|inode| inode.kind() == Kind::Directory);
        found
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("the log's directory {number} is missing")))
    }

    fn by_name(&mut self, directory: u64, name: &[u8]) -> Result<Option<Entry>> {
        let key = Key::new(directory, key::DIR_ITEM, crate::checksum::name_hash(name));
        Ok(named(self.fs.item(self.log.tree, key)?, name))
    }

    fn by_index(&mut self, directory: u64, index: u64, name: &[u8]) -> Result<Option<Entry>> {
        let key = Key::new(directory, key::DIR_INDEX, index);
        Ok(named(self.fs.item(self.log.tree, key)?, name))
    }

    /// An entry that a logged directory has (replay_one_dir_item).
    pub fn entry(&mut self, key: Key, item: &[u8]) -> Result<()> {
        let Key { object: directory, offset: index, .. } = key;
        let entry = parse(item).into_iter().next().ok_or_else(|| bad(key, "has no name"))?;
        let same = |other: &Option<Entry>| {
            other.as_ref().is_some_and(|other| (other.location, other.kind) == (entry.location, entry.kind))
        };
        let exists = entry.location.kind == key::INODE_ITEM && self.find(entry.location.object)?.is_some();
        let there = self.by_name(directory, &entry.name)?;
        let is_named = same(&there);
        if let Some(other) = there.filter(|_| !is_named) {
            if !exists {
                return Ok(());
            }
            self.unlink(directory, &other)?;
        }
        let there = self.by_index(directory, index, &entry.name)?;
        let is_listed = same(&there);
        if let Some(other) = there.filter(|_| !is_listed) {
            if !exists {
                return Ok(());
            }
            self.unlink(directory, &other)?;
        }
        // An entry that its inode in the log knows as well is made with that; one of another number stays.
        if is_named || is_listed || !exists || self.is_logged(entry.location.object, directory, &entry.name) {
            return Ok(());
        }
        self.fs.add_back_reference(self.place(directory), index, &entry)?;
        self.link(directory, index, &entry)?;
        self.recount.insert(entry.location.object);
        Ok(())
    }

    /// Whether the log has a back reference of an inode to a name (backref_in_log).
    fn is_logged(&self, number: u64, directory: u64, name: &[u8]) -> bool {
        let item = self.log.items.get(&Key::new(number, key::INODE_REF, directory));
        item.is_some_and(|item| references(item).iter().any(|(_, other)| other == name))
    }

    /// Puts a name into a directory, whose number must be free.
    fn link(&mut self, directory: u64, index: u64, entry: &Entry) -> Result<()> {
        let key = Key::new(directory, key::DIR_INDEX, index);
        if self.fs.item(self.log.tree, key)?.is_some() {
            return Err(bad(key, "has the number of another name"));
        }
        let mut parent = self.directory(directory)?;
        self.fs.add_entry(&mut parent, index, entry)?;
        self.store(parent)
    }

    /// The names of an inode in one directory (add_inode_ref).
    pub fn references(&mut self, key: Key, item: &[u8]) -> Result<()> {
        let Key { object: number, offset: directory, .. } = key;
        // The top's name in itself is in no directory. Where a directory is neither in the log nor in the subvolume, the name is
        // not to be had.
        if number == directory || self.find(directory)?.is_none() {
            return Ok(());
        }
        let inode = self.find(number)?.ok_or_else(|| bad(key, "is of an inode that is missing"))?;
        let logged = references(item);
        let location = Key::new(number, key::INODE_ITEM, 0);
        for (index, name) in &logged {
            let is_there = |entry: Option<Entry>| entry.is_some_and(|entry| entry.location == location);
            let listed = self.by_index(directory, *index, name)?;
            if is_there(self.by_name(directory, name)?) && is_there(listed) {
                continue;
            }
            self.drop_unknown(number, directory, &logged)?;
            if let Some(other) = self.by_index(directory, *index, name)? {
                self.unlink(directory, &other)?;
            }
            if let Some(other) = self.by_name(directory, name)? {
                self.unlink(directory, &other)?;
            }
            let (name, kind) = (name.clone(), kind_of(&inode));
            self.link(directory, *index, &Entry { name, location, data: Vec::new(), kind })?;
        }
        self.drop_unknown(number, directory, &logged)?;
        self.fs.put_item(self.log.tree, key, item.to_vec())
    }

    /// Takes away the names of an inode in a directory that its back references in the log lack.
    fn drop_unknown(&mut self, number: u64, directory: u64, logged: &[(u64, Vec<u8>)]) -> Result<()> {
        let key = Key::new(number, key::INODE_REF, directory);
        let known = self.fs.item(self.log.tree, key)?.map(|item| references(&item)).unwrap_or_default();
        for (_, name) in known {
            if !logged.iter().any(|(_, other)| *other == name) {
                let location = Key::new(number, key::INODE_ITEM, 0);
                self.unlink(directory, &Entry { name, location, data: Vec::new(), kind: 0 })?;
            }
        }
        Ok(())
    }

    /// How many names an inode has.
    pub fn names_of(&mut self, number: u64) -> Result<u32> {
        let tree = self.log.tree;
        if !self.fs.items(tree, Range::of(number, key::INODE_EXTREF))?.is_empty() {
            return Err(Error::unsupported("a file has more names in one directory than an item holds"));
        }
        let items = self.fs.items(tree, Range::of(number, key::INODE_REF))?;
        let names = items.iter().map(|(_, item)| references(item).len()).sum::<usize>();
        u32::try_from(names).map_err(|_| Error::unsupported("a file has too many names"))
    }
}

/// The number by which directories list an inode (fs_ftype_to_dtype's inverse): files, directories, devices, pipes, sockets, links.
fn kind_of(inode: &Inode) -> u8 {
    match inode.mode() & 0o170_000 {
        0o040_000 => 2,
        0o020_000 => 3,
        0o060_000 => 4,
        0o010_000 => 5,
        0o140_000 => 6,
        0o120_000 => 7,
        _ => 1,
    }
}
