//! XFS file systems, read without being mounted by a kernel. Nothing on the device is trusted: numbers are checked where
//! they are read, every walk ends.

mod acl;
mod bytes;
mod content;
mod device;
mod directory;
mod extent;
mod features;
mod inode;
mod log;
mod path;
mod superblock;
mod used;
mod xattr;

use device::Device;
use directory::Listing;
use extent::Extent;
use inode::{Inode, Which};
use log::State;
use std::collections::HashMap;
use std::rc::Rc;
use superblock::Superblock;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::{
    Blob, Entry, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, Range, Result, Room, fact,
};

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 13;

/// The extents of one fork of an inode.
type Kept = ((u64, Which), Rc<Vec<Extent>>);

/// A mounted file system.
pub struct Xfs {
    device: Device,
    superblock: Superblock,
    /// The log need not be replayed.
    clean: bool,
    /// The extents that were read last.
    extents: Option<Kept>,
    /// Names by the inode of their directory.
    listings: HashMap<u64, Rc<Listing>>,
    /// What they take in memory, in bytes.
    kept: usize,
}

const NOT_CHANGED: &str = "XFS is read but not changed yet: make the guest ready for its new devices on the source (an initramfs \
    for all hardware, disks by UUID), and copy its disks as they are (wherry convert)";

/// What a mount for writing ends with.
fn refused(superblock: &Superblock, state: State) -> Error {
    if let Some(doubt) = superblock.doubt() {
        return Error::new(ErrorKind::Dirty, doubt);
    }
    match state {
        State::Dirty => Error::new(
            ErrorKind::Dirty,
            "the XFS log has to be replayed: shut the guest down cleanly, or mount and unmount the file system once",
        ),
        State::Clean | State::External => Error::unsupported(NOT_CHANGED),
    }
}

/// Until there are edits.
fn denied() -> Result<()> {
    Err(Error::unsupported(NOT_CHANGED))
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
            return Err(refused(&superblock, state));
        }
        let clean = state == State::Clean;
        let device = Device::new(device);
        let mut mounted =
            Self { device, superblock, clean, extents: None, listings: HashMap::new(), kept: 0 };
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
        for (name, number) in listing.list.iter().skip(from).take(most) {
            let name = String::from_utf8_lossy(name).into_owned();
            let inode = self.inode(*number).map_err(|error| error.within(&format!("{path}/{name}")))?;
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
        let unit = u64::from(self.superblock.block_size);
        Ok(Room {
            total: self.superblock.size(),
            free: self.superblock.free_blocks() * unit,
            free_files: None,
        })
    }

    fn write(&mut self, _path: &str, _content: &dyn Blob, _like: Option<&Meta>) -> Result<()> {
        denied()
    }

    fn modify(&mut self, _path: &str, _offset: u64, _content: &dyn Blob) -> Result<()> {
        denied()
    }

    fn rename(&mut self, _old: &str, _new: &str) -> Result<()> {
        denied()
    }

    fn remove(&mut self, _path: &str) -> Result<()> {
        denied()
    }

    fn make_directory(&mut self, _path: &str, _like: Option<&Meta>) -> Result<()> {
        denied()
    }

    fn make_symlink(&mut self, _path: &str, _target: &str, _like: Option<&Meta>) -> Result<()> {
        denied()
    }

    fn set_meta(&mut self, _path: &str, _meta: &Meta) -> Result<()> {
        denied()
    }

    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        self.used_ranges(start, most)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

wherry_sdk::register_filesystem_driver!(Xfs, "../adapter.toml");
