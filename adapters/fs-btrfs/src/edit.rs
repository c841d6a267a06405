//! Changes to the tree of files. Every change ends with all references counted; blocks reach the device by `sync`.

use crate::Btrfs;
use crate::bytes::{put_u64, u64_at};
use crate::checksum::name_hash;
use crate::directory::{Entry, Target, kind_number, pack_reference, parse, references};
use crate::inode::{APPEND_ONLY, IMMUTABLE, Inode, Place, VERITY};
use crate::key::{self, Key};
use crate::tree::Range;
use std::collections::BTreeMap;
use wherry_sdk::path::not_found;
use wherry_sdk::{Blob, Error, ErrorKind, Kind, Meta, Result, now_unix};

/// Names that one item of references can hold beside others, in bytes of the item.
const REFERENCES_MOST: usize = 1 << 10;
/// The longest name of an attribute.
const ATTRIBUTE_MOST: usize = 255;
/// That the counts of quota groups are to be made anew (BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT).
const INCONSISTENT: u64 = 4;

fn refuse<T>(kind: ErrorKind, message: String) -> Result<T> {
    Err(Error::new(kind, message))
}

fn now() -> i64 {
    i64::try_from(now_unix()).unwrap_or(i64::MAX)
}

/// Refuses objects that their owner protected by `chattr`, or sealed.
fn check_protection(path: &str, inode: &Inode, appending: bool) -> Result<()> {
    let flags = if appending { IMMUTABLE } else { IMMUTABLE | APPEND_ONLY };
    if inode.flags() & flags != 0 {
        let letter = if inode.flags() & IMMUTABLE != 0 { "i" } else { "a" };
        return refuse(
            ErrorKind::Denied,
            format!("{path} is protected: run chattr -{letter} on it in the guest"),
        );
    }
    if inode.flags() & VERITY != 0 && inode.kind() == Kind::File {
        return refuse(ErrorKind::Denied, format!("{path} is sealed by fs-verity: replace it in the guest"));
    }
    Ok(())
}

impl Btrfs<'_> {
    /// Runs one change.
    pub fn edit<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.writing.begin()?;
        let before = (self.device_changes(), self.store.changes);
        let result = self.change(act);
        let changed = before != (self.device_changes(), self.store.changes);
        if changed {
            self.listings.clear();
            self.kept = 0;
            self.unpacked = None;
        }
        self.writing.end(&result, changed);
        result
    }

    /// A change with all that follows from it: references, room, quota groups.
    pub fn change<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.open_groups()?;
        let done = act(self)?;
        self.settle()?;
        self.tell_quota()?;
        self.settle()?;
        Ok(done)
    }

    fn device_changes(&self) -> u64 {
        self.store.device.changes()
    }

    /// Counts of quota groups are left to the kernel, which is told that they are old.
    fn tell_quota(&mut self) -> Result<()> {
        if self.find_tree(key::QUOTA_TREE)?.is_none() {
            return Ok(());
        }
        let key = Key::new(0, key::QGROUP_STATUS, 0);
        if let Some(mut item) = self.item(key::QUOTA_TREE, key)? {
            let flags = u64_at(&item, 16);
            if flags & INCONSISTENT == 0 {
                put_u64(&mut item, 16, flags | INCONSISTENT);
                self.put_item(key::QUOTA_TREE, key, item)?;
            }
        }
        Ok(())
    }

    /// Refuses changes in a snapshot that may only be read.
    fn check_tree(&mut self, path: &str, tree: u64) -> Result<()> {
        match self.find_tree(tree)?.is_some_and(|tree| tree.is_read_only()) {
            true => Err(Error::unsupported(format!(
                "{path} is in a subvolume that may only be read: btrfs property set it rw in the guest"
            ))),
            false => Ok(()),
        }
    }

    fn put_inode(&mut self, inode: &Inode) -> Result<()> {
        let mut raw = inode.raw.clone();
        put_u64(&mut raw, 8, self.store.superblock.generation());
        let sequence = u64_at(&raw, 72).wrapping_add(1);
        put_u64(&mut raw, 72, sequence);
        self.put_item(inode.place.tree, Key::new(inode.place.number, key::INODE_ITEM, 0), raw)
    }

    /// What is there, which has to be an inode.
    fn found(&mut self, path: &str) -> Result<Inode> {
        let inode = self.resolve(path)?.ok_or_else(|| not_found(path))?;
        self.check_tree(path, inode.place.tree)?;
        Ok(inode)
    }

    fn file(&mut self, path: &str, appending: bool) -> Result<Inode> {
        let inode = self.found(path)?;
        if inode.kind() != Kind::File {
            return refuse(ErrorKind::InvalidInput, format!("{path} is not a regular file"));
        }
        check_protection(path, &inode, appending)?;
        Ok(inode)
    }

    /// The directory for a new name, which nobody has.
    fn free_name<'p>(&mut self, path: &'p str) -> Result<(Inode, &'p str)> {
        let (parent, name, found) = self.resolve_name(path)?;
        if found.is_some() {
            return refuse(ErrorKind::Exists, format!("{path} exists already"));
        }
        self.check_tree(path, parent.place.tree)?;
        check_protection(path, &parent, true)?;
        Ok((parent, name))
    }

    /// Creates a file, or replaces the content of one.
    pub fn write_file(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        let (_, _, found) = self.resolve_name(path)?;
        self.check_room(content.size())?;
        let mut inode = match found {
            Some(Target::Inode(_)) => self.file(path, false)?,
            Some(Target::Empty) => {
                return refuse(ErrorKind::InvalidInput, format!("{path} is not a regular file"));
            }
            None => {
                let (parent, name) = self.free_name(path)?;
                let mut inode = self.new_inode(&parent, Kind::File, like)?;
                self.set_content(&mut inode, content)?;
                return self.link_new(parent, name, inode, like);
            }
        };
        self.set_content(&mut inode, content)?;
        self.touch(&mut inode)
    }

    /// Overwrites a part of a file.
    pub fn modify_file(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        let appending = self.resolve(path)?.is_some_and(|inode| offset == inode.size());
        let mut inode = self.file(path, appending)?;
        if offset > inode.size() {
            let message = format!("{path} has {} bytes, so byte {offset} is beyond its end", inode.size());
            return refuse(ErrorKind::InvalidInput, message);
        }
        self.check_room(content.size())?;
        self.change_content(&mut inode, offset, content)?;
        self.touch(&mut inode)
    }

    fn touch(&mut self, inode: &mut Inode) -> Result<()> {
        inode.set_mtime(now());
        inode.set_ctime(now());
        self.put_inode(inode)
    }

    /// Makes a directory.
    pub fn new_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        let (parent, name) = self.free_name(path)?;
        let inode = self.new_inode(&parent, Kind::Directory, like)?;
        self.link_new(parent, name, inode, like)
    }

    /// Makes a symbolic link.
    pub fn new_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        if target.is_empty() || target.contains('\0') {
            return refuse(ErrorKind::InvalidInput, format!("{target:?} cannot be the target of a link"));
        }
        let (parent, name) = self.free_name(path)?;
        let mut inode = self.new_inode(&parent, Kind::Symlink, like)?;
        self.put_inline(&mut inode, target.as_bytes())?;
        self.link_new(parent, name, inode, like)
    }

    /// An inode with the next number, not stored yet.
    fn new_inode(&mut self, parent: &Inode, kind: Kind, like: Option<&Meta>) -> Result<Inode> {
        let tree = parent.place.tree;
        let root = self.root(tree)?;
        let last = self.store.before(root, Key::new(key::LAST_FREE, u8::MAX, u64::MAX))?;
        let number = last.map_or(key::FIRST_FREE, |(key, _)| key.object.max(key::FIRST_FREE)) + 1;
        if number > key::LAST_FREE {
            return refuse(ErrorKind::NoSpace, "the subvolume has no numbers for new files".into());
        }
        let usual = match kind {
            Kind::Directory => 0o755,
            Kind::Symlink => 0o777,
            Kind::File | Kind::Other => 0o644,
        };
        let generation = self.store.superblock.generation();
        let mode = like.map_or(usual, |like| like.mode);
        let mut inode = Inode::new(Place { tree, number }, kind, mode, generation, now());
        if let Some(like) = like {
            inode.set_owner(like.uid, like.gid);
            inode.set_mtime(like.mtime);
        }
        Ok(inode)
    }

    /// Stores a new inode under its name.
    fn link_new(&mut self, mut parent: Inode, name: &str, inode: Inode, like: Option<&Meta>) -> Result<()> {
        let mut raw = inode.clone();
        // It counts from nothing.
        put_u64(&mut raw.raw, 72, u64::MAX);
        self.put_inode(&raw)?;
        for (attribute, value) in like.iter().flat_map(|like| &like.attributes) {
            self.put_attribute(inode.place, attribute, value)?;
        }
        self.add_name(&mut parent, name, &inode)?;
        self.touch(&mut parent)
    }

    /// Gives an inode a name in a directory, whose size changes and which is not stored yet.
    fn add_name(&mut self, parent: &mut Inode, name: &str, inode: &Inode) -> Result<()> {
        let Place { tree, number: directory } = parent.place;
        let root = self.root(tree)?;
        let last = self.store.before(root, Key::new(directory, key::DIR_INDEX, u64::MAX))?;
        let last = last.filter(|(key, _)| (key.object, key.kind) == (directory, key::DIR_INDEX));
        let index = last.map_or(1, |(key, _)| key.offset).max(1) + 1;
        let entry = Entry {
            name: name.as_bytes().to_vec(),
            location: Key::new(inode.place.number, key::INODE_ITEM, 0),
            data: Vec::new(),
            kind: kind_number(inode.kind()),
        };
        self.add_back_reference(parent.place, index, &entry)?;
        self.add_entry(parent, index, &entry)
    }

    /// Has an inode know one more of its names.
    pub fn add_back_reference(&mut self, directory: Place, index: u64, entry: &Entry) -> Result<()> {
        let key = Key::new(entry.location.object, key::INODE_REF, directory.number);
        let mut item = self.item(directory.tree, key)?.unwrap_or_default();
        item.extend(pack_reference(index, &entry.name));
        if item.len() > REFERENCES_MOST {
            return Err(Error::unsupported(format!(
                "{} would be one of too many names of one file: add it in the guest",
                String::from_utf8_lossy(&entry.name)
            )));
        }
        self.put_item(directory.tree, key, item)
    }

    /// Lists a name in a directory, whose size changes and which is not stored yet.
    pub fn add_entry(&mut self, parent: &mut Inode, index: u64, entry: &Entry) -> Result<()> {
        let Place { tree, number: directory } = parent.place;
        let packed = entry.pack(self.store.superblock.generation());
        let by_hash = Key::new(directory, key::DIR_ITEM, name_hash(&entry.name));
        let mut entries = self.item(tree, by_hash)?.unwrap_or_default();
        entries.extend_from_slice(&packed);
        self.put_item(tree, by_hash, entries)?;
        self.put_item(tree, Key::new(directory, key::DIR_INDEX, index), packed)?;
        parent.set_size(parent.size() + 2 * entry.name.len() as u64);
        Ok(())
    }

    /// Takes a name away from an inode; the directory, whose size changes, is not stored yet.
    pub fn drop_name(&mut self, parent: &mut Inode, name: &[u8], place: Place) -> Result<()> {
        let (Place { tree, number: directory }, number) = (parent.place, place.number);
        let back = Key::new(number, key::INODE_REF, directory);
        let names = self.item(tree, back)?.map(|item| references(&item)).unwrap_or_default();
        let Some((index, _)) = names.iter().find(|(_, other)| other == name).cloned() else {
            return Err(Error::unsupported(format!(
                "{} is one of too many names of one file: remove it in the guest",
                String::from_utf8_lossy(name)
            )));
        };
        let rest = names.iter().filter(|(_, other)| other != name);
        let rest: Vec<u8> = rest.flat_map(|(index, other)| pack_reference(*index, other)).collect();
        if rest.is_empty() {
            self.remove_item(tree, back)?
        } else {
            self.put_item(tree, back, rest)?
        }
        self.remove_item(tree, Key::new(directory, key::DIR_INDEX, index))?;
        let by_hash = Key::new(directory, key::DIR_ITEM, name_hash(name));
        self.drop_entry(tree, by_hash, name)?;
        parent.set_size(parent.size().saturating_sub(2 * name.len() as u64));
        Ok(())
    }

    /// Takes one of the entries with the same hash away.
    pub fn drop_entry(&mut self, tree: u64, key: Key, name: &[u8]) -> Result<()> {
        let item = self.item(tree, key)?.unwrap_or_default();
        let (mut rest, mut at) = (Vec::new(), 0);
        for entry in parse(&item) {
            let length = crate::directory::HEAD + entry.name.len() + entry.data.len();
            if entry.name != name {
                rest.extend_from_slice(crate::bytes::part(&item, at, length));
            }
            at += length;
        }
        if rest.is_empty() { self.remove_item(tree, key) } else { self.put_item(tree, key, rest) }
    }

    fn is_empty(&mut self, directory: &Inode) -> Result<bool> {
        let Place { tree, number } = directory.place;
        Ok(self.items(tree, Range::of(number, key::DIR_INDEX))?.is_empty())
    }

    /// Removes a name, and the object if it was the last one.
    pub fn remove_name(&mut self, path: &str) -> Result<()> {
        let (mut parent, name, found) = self.resolve_name(path)?;
        let place = match found {
            Some(Target::Inode(place)) if place.tree == parent.place.tree => place,
            Some(_) => {
                return Err(Error::unsupported(format!("{path} is a subvolume: delete it in the guest")));
            }
            None => return Err(not_found(path)),
        };
        let inode = self.inode(place)?;
        self.check_tree(path, place.tree)?;
        check_protection(path, &parent, false)?;
        check_protection(path, &inode, false)
            .or_else(|error| if inode.flags() & VERITY != 0 { Ok(()) } else { Err(error) })?;
        if inode.kind() == Kind::Directory && !self.is_empty(&inode)? {
            return refuse(ErrorKind::InvalidInput, format!("{path} is not empty"));
        }
        self.drop_name(&mut parent, name.as_bytes(), place)?;
        self.drop_link(inode)?;
        self.touch(&mut parent)
    }

    /// One name fewer; without any the object goes.
    fn drop_link(&mut self, mut inode: Inode) -> Result<()> {
        if inode.links() > 1 && inode.kind() != Kind::Directory {
            inode.set_links(inode.links() - 1);
            inode.set_ctime(now());
            return self.put_inode(&inode);
        }
        self.destroy(inode)
    }

    /// Removes an object that has no name any more.
    pub fn destroy(&mut self, mut inode: Inode) -> Result<()> {
        self.cut_extents(&mut inode, 0, u64::MAX)?;
        let Place { tree, number } = inode.place;
        let keys: Vec<Key> =
            self.items(tree, Range::object(number))?.into_iter().map(|(key, _)| key).collect();
        keys.into_iter().try_for_each(|key| self.remove_item(tree, key))
    }

    /// Moves a name, in place of what has the new one.
    pub fn rename_name(&mut self, old: &str, new: &str) -> Result<()> {
        let (mut from, old_name, found) = self.resolve_name(old)?;
        let place = match found {
            Some(Target::Inode(place)) if place.tree == from.place.tree => place,
            Some(_) => {
                return Err(Error::unsupported(format!("{old} is a subvolume: rename it in the guest")));
            }
            None => return Err(not_found(old)),
        };
        let inode = self.inode(place)?;
        let (to, new_name, target) = self.resolve_name(new)?;
        if to.place.tree != place.tree {
            return Err(Error::unsupported(format!("{old} and {new} are in two subvolumes")));
        }
        if target == Some(Target::Inode(place)) {
            return Ok(());
        }
        self.check_tree(old, place.tree)?;
        for (path, one) in [(old, &from), (old, &inode), (new, &to)] {
            check_protection(path, one, false)?;
        }
        if inode.kind() == Kind::Directory && self.is_below(to.place, place)? {
            return refuse(ErrorKind::InvalidInput, format!("{new} is inside of {old}"));
        }
        if let Some(target) = target {
            let Target::Inode(there) = target else {
                return Err(Error::unsupported(format!("{new} is a subvolume: remove it in the guest")));
            };
            if there.tree != place.tree {
                return Err(Error::unsupported(format!("{new} is a subvolume: remove it in the guest")));
            }
            let replaced = self.inode(there)?;
            check_protection(new, &replaced, false)?;
            let (is, was) = (inode.kind() == Kind::Directory, replaced.kind() == Kind::Directory);
            if is != was {
                return refuse(ErrorKind::InvalidInput, format!("one of {old} and {new} is a directory"));
            }
            if was && !self.is_empty(&replaced)? {
                return refuse(ErrorKind::InvalidInput, format!("{new} is not empty"));
            }
            let mut to = to.clone();
            self.drop_name(&mut to, new_name.as_bytes(), there)?;
            self.put_inode(&to)?;
            self.drop_link(replaced)?;
        }
        if from.place == to.place {
            from = self.inode(from.place)?;
            self.drop_name(&mut from, old_name.as_bytes(), place)?;
            self.add_name(&mut from, new_name, &inode)?;
        } else {
            let mut to = self.inode(to.place)?;
            from = self.inode(from.place)?;
            self.drop_name(&mut from, old_name.as_bytes(), place)?;
            self.add_name(&mut to, new_name, &inode)?;
            self.touch(&mut to)?;
        }
        self.touch(&mut from)?;
        let mut inode = self.inode(place)?;
        inode.set_ctime(now());
        self.put_inode(&inode)
    }

    /// Whether a directory is `above` or lies in it.
    fn is_below(&mut self, mut place: Place, above: Place) -> Result<bool> {
        for _ in 0..1 << 12 {
            if place == above {
                return Ok(true);
            }
            match self.parent(place)? {
                Some((parent, _)) if parent != place.number => place.number = parent,
                _ => return Ok(false),
            }
        }
        refuse(ErrorKind::Corrupt, "directories lie in one another without end: run btrfs check".into())
    }

    /// Sets mode, owner, time and attributes.
    pub fn set_attributes(&mut self, path: &str, meta: &Meta) -> Result<()> {
        let mut inode = self.found(path)?;
        check_protection(path, &inode, false)
            .or_else(|error| if inode.flags() & VERITY != 0 { Ok(()) } else { Err(error) })?;
        let old: BTreeMap<String, Vec<u8>> = self.attributes(&inode)?.into_iter().collect();
        let new: BTreeMap<&str, &Vec<u8>> =
            meta.attributes.iter().map(|(name, value)| (name.as_str(), value)).collect();
        for name in old.keys().filter(|name| !new.contains_key(name.as_str())) {
            self.drop_attribute(inode.place, name)?;
        }
        for (name, value) in new.into_iter().filter(|(name, value)| old.get(*name) != Some(value)) {
            self.put_attribute(inode.place, name, value)?;
        }
        inode.set_permissions(meta.mode);
        inode.set_owner(meta.uid, meta.gid);
        inode.set_mtime(meta.mtime);
        inode.set_ctime(now());
        self.put_inode(&inode)
    }

    fn drop_attribute(&mut self, place: Place, name: &str) -> Result<()> {
        let key = Key::new(place.number, key::XATTR_ITEM, name_hash(name.as_bytes()));
        self.drop_entry(place.tree, key, name.as_bytes())
    }

    fn put_attribute(&mut self, place: Place, name: &str, value: &[u8]) -> Result<()> {
        let key = Key::new(place.number, key::XATTR_ITEM, name_hash(name.as_bytes()));
        let most = self.store.superblock.node as usize - crate::block::HEADER - crate::block::ITEM;
        if name.len() > ATTRIBUTE_MOST
            || !name.contains('.')
            || value.len() + name.len() + crate::directory::HEAD > most
        {
            return refuse(ErrorKind::InvalidInput, format!("the attribute {name} does not fit"));
        }
        let entry = Entry {
            name: name.as_bytes().to_vec(),
            location: Key::new(0, 0, 0),
            data: value.to_vec(),
            kind: 8,
        };
        let packed = entry.pack(self.store.superblock.generation());
        let others = self.item(place.tree, key)?.unwrap_or_default();
        if parse(&others).iter().any(|other| other.name == entry.name) {
            self.drop_entry(place.tree, key, name.as_bytes())?;
        }
        let mut item = self.item(place.tree, key)?.unwrap_or_default();
        item.extend(packed);
        self.put_item(place.tree, key, item)
    }

    /// Writes everything back.
    pub fn write_back(&mut self) -> Result<()> {
        if self.store.changes == 0 {
            return Ok(());
        }
        self.close_groups()?;
        // Groups are items of trees that this may have made grow.
        self.settle()?;
        self.close_groups()?;
        self.store.superblock.drop_cache();
        self.store.flush()
    }
}
