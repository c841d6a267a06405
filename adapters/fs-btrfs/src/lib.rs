//! btrfs on one device or on several one behind the other, without being mounted by a kernel: read whole, and changed in place. Nothing on the device is trusted:
//! numbers are checked where they are read, every walk ends.

mod block;
mod bytes;
mod change;
mod checksum;
mod chunk;
mod compression;
mod content;
mod directory;
mod edit;
mod features;
mod file;
mod inode;
mod key;
mod log;
mod log_names;
mod log_replay;
mod members;
mod path;
mod reference;
mod space;
mod store;
mod subvolume;
mod sums;
mod superblock;
mod tree;
mod used;
mod xattr;

use change::Pending;
use content::Unpacked;
use directory::{Listing, Target};
use inode::{Inode, Place};
use space::Group;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use store::Store;
use superblock::Superblock;
use tree::Tree;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::{
    Blob, Device, Entry, EntryPage, Error, ErrorKind, Fact, FileSystem, Kind, Meta, Range, Result, Room,
    Writing, fact,
};

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 13;

/// A mounted file system.
pub struct Btrfs<'a> {
    store: Store<'a>,
    /// Trees by their numbers, as far as they were asked for.
    trees: HashMap<u64, Tree>,
    listings: HashMap<Place, Rc<Listing>>,
    /// What they take in memory, in bytes.
    kept: usize,
    unpacked: Option<Unpacked>,
    /// What is in use cannot be told for certain.
    doubt: bool,
    writing: Writing,
    /// Block groups by where they begin, once something was changed.
    groups: BTreeMap<u64, Group>,
    /// References that are to be counted.
    pending: VecDeque<Pending>,
    /// Blocks of trees that no other tree shares.
    own: HashSet<u64>,
}

/// What is at the empty directory of a snapshot whose origin has a subvolume there.
fn empty() -> Meta {
    let (kind, mode) = (Kind::Directory, 0o755);
    Meta { kind, size: 0, mode, uid: 0, gid: 0, mtime: 0, id: 2, links: 1, attributes: Vec::new() }
}

/// Why a log that has to be replayed is not.
fn not_replayed(error: &Error) -> Error {
    let message = format!(
        "the btrfs log has to be replayed, which cannot be done here: {}; shut the guest down cleanly, or mount and unmount the \
         file system once",
        error.message
    );
    Error::new(ErrorKind::Dirty, message)
}

impl<'a> Btrfs<'a> {
    fn open(device: Device<'a>, superblock: Superblock) -> Result<Self> {
        superblock.check_readable()?;
        let (needed, size) = (superblock.device_size(), device.size());
        if needed > size {
            let message =
                format!("the file system has {needed} bytes and its device {size}: is the copy whole?");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let store = Store::open(device, superblock)?;
        let doubt = store.superblock.has_log()
            || store.members.count() != store.superblock.devices()
            || store.chunks.iter().any(|chunk| !chunk.is_here());
        Ok(Self {
            store,
            trees: HashMap::new(),
            listings: HashMap::new(),
            kept: 0,
            unpacked: None,
            doubt,
            writing: Writing::default(),
            groups: BTreeMap::new(),
            pending: VecDeque::new(),
            own: HashSet::new(),
        })
    }

    /// Refuses edits that would not reach all copies.
    fn check_members(&self) -> Result<()> {
        let (here, all) = (self.store.members.count(), self.store.superblock.devices());
        if here != all {
            let message = format!("{here} of its {all} devices are here: have all of them copied");
            return Err(Error::unsupported(message));
        }
        match self.store.chunks.iter().all(chunk::Chunk::is_here) {
            true => Ok(()),
            false => {
                Err(Error::unsupported("some of it has parity (RAID5, RAID6): edit from inside the guest"))
            }
        }
    }

    fn meta(&mut self, inode: &Inode, attributes: bool) -> Result<Meta> {
        let (uid, gid) = inode.owner();
        Ok(Meta {
            kind: inode.kind(),
            size: inode.size(),
            mode: inode.mode() & 0o7777,
            uid,
            gid,
            mtime: inode.mtime(),
            id: inode.place.id(),
            links: inode.links(),
            attributes: if attributes { self.attributes(inode)? } else { Vec::new() },
        })
    }

    fn of_kind(&mut self, path: &str, kind: Kind, what: &str) -> Result<Inode> {
        match self.resolve(path)? {
            Some(inode) if inode.kind() == kind => Ok(inode),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a {what}"))),
        }
    }

    /// What is known of subvolumes: the default one's path, and those of all.
    fn facts(&mut self) -> Result<Vec<Fact>> {
        let default = self.default_subvolume()?;
        let path = self.subvolume_path(default)?;
        let subvolumes = self.subvolumes()?;
        let mut facts = vec![fact("default-subvolume", path.unwrap_or_else(|| "/".into()))];
        if !subvolumes.is_empty() {
            let list: Vec<String> = subvolumes.iter().map(|(id, path)| format!("{id} {path}")).collect();
            facts.push(fact("subvolumes", list.join("\n")));
        }
        Ok(facts)
    }
}

impl FileSystem for Btrfs<'static> {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let Some(superblock) = superblock::read(device)? else { return Ok(None) };
        let mut facts = vec![fact("features", superblock.features())];
        facts.push(fact("checksum", superblock.algorithm.name()));
        if superblock.has_log() {
            facts.push(fact("journal", "has to be replayed"));
        }
        if superblock.devices() != 1 {
            facts.push(fact("devices", superblock.devices()));
        }
        let mut size = superblock.device_size();
        // What cannot be read here is told by the mount.
        if let Ok(mut opened) = Btrfs::open(Device::new(Box::new(device)), superblock.clone()) {
            size = size.max(opened.store.members.size());
            facts.extend(opened.facts().unwrap_or_default());
        }
        Ok(Some(Identity {
            kind: "btrfs".into(),
            uuid: Some(superblock.uuid()),
            label: superblock.label(),
            block: superblock.sector,
            size: size.min(device.size()),
            clean: !superblock.has_log(),
            facts,
        }))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        let Some(superblock) = superblock::read(device.as_ref())? else {
            return Err(Error::corrupt(superblock::PLACES[0], "there is no btrfs superblock here"));
        };
        if writable {
            superblock.check_writable()?;
        }
        let mut mounted = Self::open(Device::new(device), superblock.clone())?;
        if writable {
            mounted.check_members()?;
        }
        if superblock.has_log() {
            match mounted.replay() {
                Ok(()) => {}
                Err(error) if writable => return Err(not_replayed(&error)),
                // read as it is without the log
                Err(_) => mounted = Self::open(mounted.store.device, superblock)?,
            }
        }
        mounted.writing = Writing::new(writable);
        if mounted.inode(path::TOP)?.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::Corrupt, "the top is not a directory: run btrfs check"));
        }
        Ok(mounted)
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        match self.resolve(path)? {
            Some(inode) => self.meta(&inode, true).map_err(|error| error.within(path)),
            None => Ok(empty()),
        }
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let Some(directory) = self.resolve(path)? else {
            return Ok(EntryPage { entries: Vec::new(), next: None });
        };
        if directory.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a directory")));
        }
        let listing = self.listing(&directory).map_err(|error| error.within(path))?;
        let from = usize::try_from(start).unwrap_or(usize::MAX).min(listing.len());
        let most = most.clamp(1, ENTRIES_MOST) as usize;
        let mut entries = Vec::new();
        for (name, target) in listing.iter().skip(from).take(most) {
            let name = String::from_utf8_lossy(name).into_owned();
            let meta = match target {
                Target::Inode(place) => {
                    let inode =
                        self.inode(*place).map_err(|error| error.within(&format!("{path}/{name}")))?;
                    self.meta(&inode, false)?
                }
                Target::Empty => empty(),
            };
            entries.push(Entry { name, meta });
        }
        let behind = from + entries.len();
        Ok(EntryPage { entries, next: (behind < listing.len()).then_some(behind as u64) })
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let inode = self.of_kind(path, Kind::File, "regular file")?;
        self.read_file(&inode, offset, length).map_err(|error| error.within(path))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let inode = self.of_kind(path, Kind::Symlink, "symbolic link")?;
        let target = self.read_file(&inode, 0, 4096).map_err(|error| error.within(path))?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    fn room(&mut self) -> Result<Room> {
        let (total, used) = self.store.superblock.sizes();
        let total = total.min(self.store.device.size());
        Ok(Room { total, free: total.saturating_sub(used), free_files: None })
    }

    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.write_file(path, content, like)).map_err(|error| error.within(path))
    }

    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.edit(|fs| fs.modify_file(path, offset, content)).map_err(|error| error.within(path))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.edit(|fs| fs.rename_name(old, new))
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.edit(|fs| fs.remove_name(path))
    }

    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.new_directory(path, like))
    }

    fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.new_symlink(path, target, like))
    }

    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.edit(|fs| fs.set_attributes(path, meta))
    }

    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        self.used_ranges(start, most)
    }

    fn sync(&mut self) -> Result<()> {
        if !self.writing.is_allowed() {
            return Ok(());
        }
        self.writing.begin()?;
        self.write_back()
    }
}

/// The adapter.
pub type Driver = Btrfs<'static>;

wherry_sdk::register_filesystem_driver!(Driver, "../adapter.toml");
