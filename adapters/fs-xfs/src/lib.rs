//! XFS file systems, read and changed without being mounted by a kernel.
//!
//! The device is the host's copy-on-write overlay, which the host throws away when anything fails; so changes need no log:
//! it stays as clean as it is. Nothing on the device is trusted: numbers are checked where they are read, every walk ends.

mod acl;
mod allocate;
mod bytes;
mod chunk;
mod content;
mod da_block;
mod device;
mod directory;
mod directory_form;
mod edit;
mod extent;
mod features;
mod fork;
mod group;
mod inode;
mod log;
mod log_intent;
mod log_item;
mod log_replay;
mod path;
mod record;
mod superblock;
mod tree;
mod used;
mod xattr;
mod xattr_form;

use device::{Device, Disk};
use directory::Listing;
use extent::Extent;
use group::Group;
use inode::{Inode, Which};
use log::State;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use superblock::Superblock;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::{
    Blob, Entry, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, Range, Result, Room, Writing, fact,
};

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 13;

/// The extents of one fork of an inode.
type Kept = ((u64, Which), Rc<Vec<Extent>>);

/// A mounted file system.
pub struct Xfs {
    disk: Disk,
    writing: Writing,
    /// The groups that are being changed.
    groups: BTreeMap<u32, Group>,
    /// Something has to be written, and something was changed by the present call.
    changed: bool,
    touched: bool,
    /// The log need not be replayed.
    clean: bool,
    /// The extents that were read last.
    extents: Option<Kept>,
    /// Names by the inode of their directory.
    listings: HashMap<u64, Rc<Listing>>,
    /// What they take in memory, in bytes.
    kept: usize,
    /// Blocks that changed directories will need when they are written.
    promised: u64,
}

const EXTERNAL: &str =
    "the XFS log is on another device: XFS is not changed without it; prepare the guest on the source";

/// Why a log that has to be replayed is not.
fn not_replayed(error: &Error) -> Error {
    let message = format!(
        "the XFS log has to be replayed, which cannot be done exactly here: {}; shut the guest down cleanly, or mount and \
         unmount the file system once",
        error.message
    );
    Error { kind: ErrorKind::Dirty, message, at: error.at }
}

impl Xfs {
    fn meta(&mut self, inode: &Inode, attributes: bool) -> Result<Meta> {
        let (uid, gid) = inode.owner();
        Ok(Meta {
            kind: inode.kind(),
            size: inode.size(),
            mode: inode.permissions(),
            uid,
            gid,
            mtime: inode.mtime(),
            id: inode.number,
            links: inode.links(),
            attributes: if attributes { self.attributes(inode)? } else { Vec::new() },
        })
    }
}

impl Xfs {
    /// Takes back what a replay for reading has come to.
    fn forget_replay(&mut self) -> Result<()> {
        self.disk.device.forget();
        self.groups.clear();
        self.extents = None;
        let raw = self.disk.device.get(0, self.disk.superblock.sector_size)?;
        self.disk.superblock = Superblock::parse(raw, self.disk.device.size())?;
        Ok(())
    }
}

impl FileSystem for Xfs {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let Some(raw) = superblock::read(device)? else { return Ok(None) };
        let superblock = Superblock::parse(raw, device.size())?;
        let state = log::state(device, &superblock)?;
        let mut facts = vec![fact("features", superblock.features().join(","))];
        match state {
            State::Clean => {}
            State::Dirty => facts.push(fact("journal", "has to be replayed")),
            State::External => facts.push(fact("journal", "on another device")),
        }
        if superblock.realtime_blocks() > 0 {
            facts.push(fact("realtime", "on another device, not read"));
        }
        if let Some(doubt) = superblock.doubt() {
            facts.push(fact("doubt", doubt));
        }
        Ok(Some(Identity {
            kind: "xfs".into(),
            uuid: superblock.uuid(),
            label: superblock.label(),
            block: superblock.block_size,
            size: superblock.size(),
            clean: state == State::Clean && superblock.doubt().is_none(),
            facts,
        }))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        let Some(raw) = superblock::read(device.as_ref())? else {
            return Err(Error::corrupt(0, "there is no XFS superblock here"));
        };
        let superblock = Superblock::parse(raw, device.size())?;
        superblock.check_readable()?;
        let state = log::state(device.as_ref(), &superblock)?;
        if writable {
            superblock.check_writable()?;
            if state == State::External {
                return Err(Error::unsupported(EXTERNAL));
            }
            if !device.writable() {
                return Err(Error::new(ErrorKind::Denied, "the device is read-only: mount it for reading"));
            }
        }
        let clean = state == State::Clean || writable;
        let disk = Disk { device: Device::new(device, writable), superblock };
        let mut mounted = Self {
            disk,
            writing: Writing::new(writable),
            groups: BTreeMap::new(),
            changed: false,
            touched: false,
            clean,
            extents: None,
            listings: HashMap::new(),
            kept: 0,
            promised: 0,
        };
        if state == State::Dirty {
            let replayed = mounted.replay();
            match replayed {
                Err(error) if writable => return Err(not_replayed(&error)),
                // What is on the disk is better than nothing.
                Err(_) => mounted.forget_replay()?,
                Ok(()) => {}
            }
        }
        if mounted.resolve("/")?.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::Corrupt, "the root inode is not a directory: run xfs_repair"));
        }
        Ok(mounted)
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        let inode = self.resolve(path)?;
        self.meta(&inode, true).map_err(|error| error.within(path))
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let directory = self.resolve(path)?;
        let listing = self.listing(&directory).map_err(|error| error.within(path))?;
        let from = usize::try_from(start).unwrap_or(usize::MAX).min(listing.list.len());
        let most = most.clamp(1, ENTRIES_MOST) as usize;
        let mut entries = Vec::new();
        for entry in listing.list.iter().skip(from).take(most) {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            let inode = self.inode(entry.inode).map_err(|error| error.within(&format!("{path}/{name}")))?;
            entries.push(Entry { name, meta: self.meta(&inode, false)? });
        }
        let behind = from + entries.len();
        Ok(EntryPage { entries, next: (behind < listing.list.len()).then_some(behind as u64) })
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let inode = self.resolve(path)?;
        if inode.kind() != Kind::File {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a regular file")));
        }
        self.read_file(&inode, offset, length).map_err(|error| error.within(path))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let inode = self.resolve(path)?;
        if inode.kind() != Kind::Symlink {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a symbolic link")));
        }
        let target = self.target(&inode).map_err(|error| error.within(path))?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    fn room(&mut self) -> Result<Room> {
        let unit = u64::from(self.disk.superblock.block_size);
        Ok(Room { total: self.disk.superblock.size(), free: self.spare_blocks() * unit, free_files: None })
    }

    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.write_file(path, content, like))
    }

    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.edit(|fs| fs.modify_file(path, offset, content))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.edit(|fs| fs.rename_object(old, new))
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.edit(|fs| fs.remove_object(path))
    }

    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.make_directory_at(path, like))
    }

    fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.make_symlink_at(path, target, like))
    }

    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.edit(|fs| fs.set_metadata(path, meta))
    }

    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        if self.changed {
            self.edit(Self::write_all)?;
        }
        self.used_ranges(start, most)
    }

    fn sync(&mut self) -> Result<()> {
        if !self.writing.is_allowed() {
            return Ok(());
        }
        self.edit(|fs| {
            fs.write_all()?;
            fs.changed = false;
            Ok(())
        })
    }
}

wherry_sdk::register_filesystem_driver!(Xfs, "../adapter.toml");
