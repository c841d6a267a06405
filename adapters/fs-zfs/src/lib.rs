//! ZFS pools on one device, on either side of a mirror, or on all of a pool's devices, joined as volume-zfs does it: read,
//! whoever wrote them. Nothing on the devices is trusted: numbers are checked where they are read, every walk ends, and every
//! block is compared with its checksum.

mod bytes;
mod checksum;
mod compression;
mod dataset;
mod directory;
mod dnode;
mod features;
mod parity;
mod path;
mod pointer;
mod pool;
mod state;
mod system_attributes;
mod uberblock;
mod used;
mod xattr;
mod zap;
mod znode;

#[doc(hidden)]
pub use pool::Damage;

use path::{Mounts, Place};
use state::State;
use std::collections::HashMap;
use std::rc::Rc;
use used::Maps;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::path::Names;
use wherry_sdk::{
    Blob, Entry, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, READ_MOST, Range, Result, Room, fact,
};
use znode::Znode;

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 12;
/// Cursors from here on count mount points for which there is no directory.
const MOUNT_POINTS: u64 = 1 << 62;

/// A pool whose files are read.
pub struct Zfs<'a> {
    state: State<'a>,
    mounts: Mounts,
    root: usize,
    opened: HashMap<usize, Rc<znode::FileSystem>>,
    names: Names<u64>,
    maps: Maps,
}

fn denied<T>() -> Result<T> {
    let message = "ZFS pools are not written: have the guest make the edit when it starts, or make it before";
    Err(Error::unsupported(message))
}

fn directory() -> Meta {
    let (kind, attributes) = (Kind::Directory, Vec::new());
    Meta { kind, size: 0, mode: 0o555, uid: 0, gid: 0, mtime: 0, id: u64::MAX, links: 2, attributes }
}

impl<'a> Zfs<'a> {
    fn open(pool: pool::Pool<'a>) -> Result<Self> {
        let state = State::open(pool)?;
        let root = state.bootfs.unwrap_or(0);
        let mounts = Mounts::new(&state.datasets, root);
        let (opened, names, maps) = (HashMap::new(), Names::default(), Maps::default());
        Ok(Self { state, mounts, root, opened, names, maps })
    }

    fn meta(&mut self, number: usize, znode: &Znode, attributes: bool) -> Result<Meta> {
        let attributes = if attributes {
            let system = self.opened(number)?;
            self.state.pool.attributes(&system, znode)?
        } else {
            Vec::new()
        };
        Ok(Meta {
            kind: znode.kind(),
            size: znode.size,
            mode: znode.mode as u32 & 0o7777,
            uid: znode.uid as u32,
            gid: znode.gid as u32,
            mtime: znode.mtime as i64,
            id: path::id(number, znode.number),
            links: u32::try_from(znode.links).unwrap_or(u32::MAX),
            attributes,
        })
    }

    fn of_kind(&mut self, path: &str, kind: Kind, what: &str) -> Result<Znode> {
        match self.resolve(path)? {
            Place::Object(_, znode) if znode.kind() == kind => Ok(*znode),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a {what}"))),
        }
    }

    /// The entries of a directory of a dataset, which may be mount points.
    fn page(
        &mut self,
        inside: &str,
        (number, directory): (usize, &Znode),
        (start, most): (u64, usize),
    ) -> Result<EntryPage> {
        let mut entries = Vec::new();
        let system = self.opened(number)?;
        if start < MOUNT_POINTS {
            let (page, more) = self.state.pool.listing(directory, start, most)?;
            let behind = page.last().map(|(_, cursor)| *cursor);
            for (entry, _) in page {
                let name = String::from_utf8_lossy(&entry.name).into_owned();
                let mounted = self.mounts.at(&below(inside, &name));
                let meta = match mounted.and_then(|other| Some((other, self.top(other).ok()?))) {
                    Some((other, top)) => self.meta(other, &top, false)?,
                    None => {
                        let znode = self.state.pool.znode(&system, directory::target(entry.number()));
                        let znode = znode.map_err(|e| e.within(&name))?;
                        self.meta(number, &znode, false)?
                    }
                };
                entries.push(Entry { name, meta });
            }
            if more {
                return Ok(EntryPage { entries, next: behind });
            }
        }
        let further = self.mounts.below(inside).to_vec();
        let from = usize::try_from(start.saturating_sub(MOUNT_POINTS)).unwrap_or(usize::MAX);
        for (index, (name, other)) in further.iter().enumerate().skip(from) {
            if entries.len() >= most {
                return Ok(EntryPage { entries, next: Some(MOUNT_POINTS + index as u64) });
            }
            let there = self.state.pool.lookup(&system, directory, name)?.is_some();
            if let Ok(top) = self.top(*other)
                && !there
            {
                let meta = self.meta(*other, &top, false)?;
                entries.push(Entry { name: name.clone(), meta });
            }
        }
        Ok(EntryPage { entries, next: None })
    }

    /// Up to `length` bytes of a file.
    fn read_file(&mut self, znode: &Znode, offset: u64, length: u32) -> Result<Vec<u8>> {
        let end = offset.saturating_add(u64::from(length.min(READ_MOST))).min(znode.size);
        if offset >= end {
            return Ok(Vec::new());
        }
        let length = (end - offset) as usize;
        let mut bytes = self.state.pool.content(&znode.dnode, offset, length)?.bytes;
        bytes.resize(length, 0);
        Ok(bytes)
    }
}

/// A name in a directory, as mounts are kept.
fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

impl FileSystem for Zfs<'static> {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let Some(pool) = state::pool(Box::new(device))? else { return Ok(None) };
        let label = pool.label.clone();
        let mut identity = Identity {
            kind: "zfs".into(),
            uuid: Some(label.pool.to_string()),
            label: Some(label.name.clone()),
            block: 1 << label.tree.ashift.clamp(9, 16),
            size: device.size(),
            clean: true,
            facts: Vec::new(),
        };
        match Zfs::open(pool) {
            Ok(mut opened) => {
                identity.facts = opened.state.facts();
                if opened.state.has_log() {
                    identity.clean = false;
                    identity.facts.push(fact("journal", "the intent log may have to be replayed"));
                }
            }
            // The mount says it again.
            Err(e) => {
                identity.facts = vec![fact("pool", &label.name), fact("version", label.version)];
                identity.facts.push(fact("problem", e.message));
            }
        }
        Ok(Some(identity))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        if writable {
            return denied();
        }
        let Some(pool) = state::pool(device)? else {
            return Err(Error::corrupt(wherry_zfs::NVLIST, "there is no ZFS label here"));
        };
        let mut mounted = Self::open(pool)?;
        if mounted.top(mounted.root)?.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::Corrupt, "the top is not a directory: run zpool scrub"));
        }
        Ok(mounted)
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        match self.resolve_or_under(path)? {
            Place::Object(number, znode) => self.meta(number, &znode, true).map_err(|e| e.within(path)),
            Place::Virtual => Ok(directory()),
        }
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let place = self.resolve(path)?;
        let inside = path::names(path)?.join("/");
        let most = most.clamp(1, ENTRIES_MOST) as usize;
        match place {
            Place::Object(number, znode) if znode.kind() == Kind::Directory => {
                self.page(&inside, (number, &znode), (start, most)).map_err(|e| e.within(path))
            }
            Place::Object(..) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a directory")))
            }
            Place::Virtual => {
                let name = if inside == ".zfs" { "dataset" } else { &self.state.pool.label.name };
                let only = Entry { name: name.to_owned(), meta: directory() };
                Ok(EntryPage { entries: if start == 0 { vec![only] } else { Vec::new() }, next: None })
            }
        }
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let znode = self.of_kind(path, Kind::File, "regular file")?;
        self.read_file(&znode, offset, length).map_err(|e| e.within(path))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let znode = self.of_kind(path, Kind::Symlink, "symbolic link")?;
        let target = self.state.pool.target(&znode).map_err(|e| e.within(path))?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    fn room(&mut self) -> Result<Room> {
        let data = |top: &wherry_zfs::Vdev| {
            top.leaf_size().saturating_mul((top.children.len() as u64).saturating_sub(top.parity).max(1))
        };
        let tops = self.state.pool.tops.iter().filter(|top| !top.is_log);
        let sizes = tops.map(|top| if top.kind == "raidz" { data(top) } else { top.asize });
        let total = sizes.fold(0, u64::saturating_add).min(self.state.pool.size());
        Ok(Room { total, free: total.saturating_sub(self.state.used), free_files: None })
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
        self.state.used_ranges(&mut self.maps, start, most)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Zfs<'static> {
    /// A pool whose blocks are damaged behind their checksums, so that tests reach what those protect: of each block that is
    /// read, `damage` gets the type of its object and its bytes.
    #[doc(hidden)]
    pub fn mount_damaged(device: Box<dyn Blob>, damage: Damage) -> Result<Option<Self>> {
        let Some(mut pool) = state::pool(device)? else { return Ok(None) };
        pool.damage = Some(damage);
        Self::open(pool).map(Some)
    }
}

/// The adapter.
pub type Driver = Zfs<'static>;

wherry_sdk::register_filesystem_driver!(Driver, "../adapter.toml");
