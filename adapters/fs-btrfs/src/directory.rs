//! Directories: items by the hash of a name and by a running number (struct btrfs_dir_item), and subvolumes in them.

use crate::Btrfs;
use crate::bytes::{byte_at, part, put_u16, put_u64, u16_at, u64_at};
use crate::checksum::name_hash;
use crate::inode::{Inode, Place};
use crate::key::{self, Key};
use crate::tree::Range;
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// Bytes of an entry before its name.
pub const HEAD: usize = 30;
/// Entries of one item: names with the same hash.
const ENTRIES_MOST: usize = 1 << 10;
/// Listings that are kept, by what they take in bytes.
const KEPT_MOST: usize = 16 << 20;

/// A directory in a subvolume's tree, or what stands where a snapshot has no subvolume of its origin: an empty directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Inode(Place),
    Empty,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Vec<u8>,
    /// An inode of the same tree, or another tree.
    pub location: Key,
    /// An attribute's value.
    pub data: Vec<u8>,
    pub kind: u8,
}

impl Entry {
    /// The bytes of a new entry.
    pub fn pack(&self, generation: u64) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        self.location.put(&mut bytes, 0);
        put_u64(&mut bytes, 17, generation);
        put_u16(&mut bytes, 25, self.data.len() as u16);
        put_u16(&mut bytes, 27, self.name.len() as u16);
        bytes[29] = self.kind;
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(&self.data);
        bytes
    }
}

/// The entries of one item, each with its bytes.
pub fn parse(item: &[u8]) -> Vec<Entry> {
    let mut list = Vec::new();
    let mut at = 0;
    while at + HEAD <= item.len() && list.len() < ENTRIES_MOST {
        let (data, name) = (usize::from(u16_at(item, at + 25)), usize::from(u16_at(item, at + 27)));
        let entry = Entry {
            name: part(item, at + HEAD, name).to_vec(),
            location: Key::at(item, at),
            data: part(item, at + HEAD + name, data).to_vec(),
            kind: byte_at(item, at + 29),
        };
        at += HEAD + name + data;
        list.push(entry);
    }
    list
}

/// The number by which directories list an object.
pub fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::File | Kind::Other => 1,
        Kind::Directory => 2,
        Kind::Symlink => 7,
    }
}

/// Names of a directory with what they lead to.
pub type Listing = Vec<(Vec<u8>, Target)>;

impl Btrfs<'_> {
    /// What a name leads to; none if it is not there.
    pub fn lookup(&mut self, directory: Place, name: &[u8]) -> Result<Option<Target>> {
        let key = Key::new(directory.number, key::DIR_ITEM, name_hash(name));
        let Some(item) = self.item(directory.tree, key)? else { return Ok(None) };
        match parse(&item).into_iter().find(|entry| entry.name == name) {
            Some(entry) => self.target(directory.tree, entry.location).map(Some),
            None => Ok(None),
        }
    }

    /// What an entry's location is.
    fn target(&mut self, tree: u64, location: Key) -> Result<Target> {
        if location.kind != key::ROOT_ITEM {
            return Ok(Target::Inode(Place { tree, number: location.object }));
        }
        // A snapshot has the name, and its own tree has no subvolume there.
        let reference = Key::new(tree, key::ROOT_REF, location.object);
        let known = self.item(key::ROOT_TREE, reference)?.is_some();
        let subvolume = self.find_tree(location.object)?.filter(|tree| known && tree.references > 0);
        Ok(match subvolume {
            Some(_) => Target::Inode(Place { tree: location.object, number: key::FIRST_FREE }),
            None => Target::Empty,
        })
    }

    /// All entries, in the order in which they were made.
    pub fn listing(&mut self, directory: &Inode) -> Result<Rc<Listing>> {
        if let Some(listing) = self.listings.get(&directory.place) {
            return Ok(Rc::clone(listing));
        }
        let Place { tree, number } = directory.place;
        let mut list = Listing::new();
        for (_, item) in self.items(tree, Range::of(number, key::DIR_INDEX))? {
            for entry in parse(&item).into_iter().take(1) {
                if matches!(entry.name.as_slice(), b"" | b"." | b"..")
                    || entry.name.iter().any(|byte| b"/\0".contains(byte))
                {
                    let message = format!("directory {number} has a name that cannot be: run btrfs check");
                    return Err(Error::new(ErrorKind::Corrupt, message));
                }
                let target = self.target(tree, entry.location)?;
                list.push((entry.name, target));
            }
        }
        let takes = list.iter().map(|(name, _)| name.len() + 48).sum::<usize>();
        if self.kept + takes > KEPT_MOST {
            self.listings.clear();
            self.kept = 0;
        }
        let listing = Rc::new(list);
        if takes <= KEPT_MOST {
            self.kept += takes;
            self.listings.insert(directory.place, Rc::clone(&listing));
        }
        Ok(listing)
    }

    /// The directory that an inode lies in and its name there, as the first of its references says.
    pub fn parent(&mut self, place: Place) -> Result<Option<(u64, Vec<u8>)>> {
        let items = self.items(place.tree, Range::of(place.number, key::INODE_REF))?;
        Ok(items.first().map(|(key, item)| {
            let length = usize::from(u16_at(item, 8));
            (key.offset, part(item, 10, length).to_vec())
        }))
    }
}

/// The bytes of one name in a reference item.
pub fn pack_reference(index: u64, name: &[u8]) -> Vec<u8> {
    let mut bytes = index.to_le_bytes().to_vec();
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(name);
    bytes
}

/// The running number and the names of a reference item: (number, name), one after the other (struct btrfs_inode_ref).
pub fn references(item: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut list = Vec::new();
    let mut at = 0;
    while at + 10 <= item.len() {
        let length = usize::from(u16_at(item, at + 8));
        list.push((u64_at(item, at), part(item, at + 10, length).to_vec()));
        at += 10 + length;
    }
    list
}
