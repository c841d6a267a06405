//! UFS without being mounted by a kernel: Solaris' in both orders of bytes, read and changed, and the BSDs' UFS1 and UFS2, read. For
//! the file system adapter, and for boot archives, which are such file systems in a file. Nothing on the device is trusted: numbers
//! are checked where they are read, every walk ends.

mod allocate;
mod content;
mod directory;
mod edit;
mod group;
mod inode;
mod order;
mod superblock;
mod used;

pub use directory::Bytes;
use directory::Listing;
use group::Group;
use inode::{Inode, ROOT};
use order::Order;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use superblock::{Flavour, Superblock};
use wherry_sdk::filesystem::Identity;
use wherry_sdk::{
    Blob, Device, Entry, EntryPage, Error, ErrorKind, Kind, Meta, Range, Result, Room, Writing, fact,
};

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 13;

/// A mounted file system.
pub struct Ufs<'a> {
    device: Device<'a>,
    superblock: Superblock,
    groups: BTreeMap<u32, Group>,
    /// Groups or sums have to be written back.
    dirty: bool,
    /// How often one of them was changed.
    changes: u64,
    listings: HashMap<u32, Rc<Listing>>,
    writing: Writing,
    doubt: Option<String>,
    time: Option<i64>,
}

/// What a device holds; none if it is not UFS.
///
/// # Errors
/// A superblock that contradicts itself, and what reading says.
pub fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
    let Some(superblock) = superblock::read(device)? else { return Ok(None) };
    let size = superblock.size * u64::from(superblock.fragment);
    let fs = Ufs::mount(Box::new(device), false)?;
    let flavour = match fs.superblock.flavour {
        Flavour::Sun => "sun",
        Flavour::Bsd => "bsd",
        Flavour::Bsd2 => "ufs2",
    };
    let order = if superblock.order == Order::Big { "big" } else { "little" };
    let mut facts = vec![fact("flavour", flavour), fact("byte-order", order)];
    if fs.superblock.has_log() {
        facts.push(fact("journal", "logging"));
    }
    facts.extend(fs.doubt.iter().map(|doubt| fact("doubt", doubt)));
    let mounted = wherry_sdk::bytes::text(wherry_sdk::bytes::part(&superblock.raw, 212, 468));
    if mounted.starts_with('/') {
        facts.push(fact("last-mounted", mounted));
    }
    Ok(Some(Identity {
        kind: "ufs".into(),
        uuid: None,
        label: None,
        block: superblock.fragment,
        size,
        clean: fs.doubt.is_none(),
        facts,
    }))
}

impl<'a> Ufs<'a> {
    /// Mounts a device.
    ///
    /// # Errors
    /// `dirty` where a log has to be rolled or fsck is due, `unsupported` where only reading is possible; damage.
    pub fn mount(device: Box<dyn Blob + 'a>, writable: bool) -> Result<Self> {
        let Some(superblock) = superblock::read(device.as_ref())? else {
            return Err(Error::corrupt(8192, "there is no UFS superblock here"));
        };
        let mut fs = Self {
            device: Device::new(device),
            superblock,
            groups: BTreeMap::new(),
            dirty: false,
            changes: 0,
            listings: HashMap::new(),
            writing: Writing::new(writable),
            doubt: None,
            time: None,
        };
        let root = fs.inode(ROOT)?;
        if root.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::Corrupt, "the root inode is not a directory: run fsck"));
        }
        if fs.superblock.flavour == Flavour::Bsd && fs.is_sun(&root)? {
            fs.superblock.flavour = Flavour::Sun;
        }
        fs.doubt = fs.superblock.doubt();
        if writable {
            if fs.superblock.flavour != Flavour::Sun {
                return Err(Error::unsupported("UFS of the BSDs is only read: edit from inside the guest"));
            }
            if let Some(doubt) = &fs.doubt {
                let message = format!("{doubt}: shut the guest down cleanly, or run fsck in it");
                return Err(Error::new(ErrorKind::Dirty, message));
            }
        }
        Ok(fs)
    }

    /// Changes leave this time (seconds since 1970), not the present one, so that the same change leaves the same bytes.
    #[must_use]
    pub fn at(self, time: i64) -> Self {
        Self { time: Some(time), ..self }
    }

    /// Solaris has no kinds in its directories, and keeps its state where the BSDs have other fields.
    fn is_sun(&mut self, root: &Inode) -> Result<bool> {
        let order = self.superblock.order;
        let address = root.address(0) * u64::from(self.superblock.fragment);
        let bytes = self.device.get(address, 8)?;
        // `.`: a length of 1 in 16 bits, or the kind of a directory and a length.
        let plain = order.u16(&bytes, 6) == 1;
        let format = self.superblock.number(1324);
        let bsd = self.superblock.number(1320) == 60 && matches!(format, 2 | u32::MAX);
        Ok(plain && !bsd)
    }

    fn meta(&self, inode: &Inode) -> Meta {
        let (uid, gid) = inode.owner();
        Meta {
            kind: inode.kind(),
            size: inode.size(),
            mode: u32::from(inode.mode()) & 0o7777,
            uid,
            gid,
            mtime: inode.mtime(),
            id: inode.number.into(),
            links: inode.links().into(),
            attributes: Vec::new(),
        }
    }

    /// Attributes of one object.
    ///
    /// # Errors
    /// `not-found`; damage.
    pub fn stat(&mut self, path: &str) -> Result<Meta> {
        let inode = self.resolve(path)?;
        Ok(self.meta(&inode))
    }

    /// Entries of a directory from number `start` on.
    ///
    /// # Errors
    /// As for [`Ufs::stat`]; `invalid-input` where it is no directory.
    pub fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let directory = self.resolve(path)?;
        if directory.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a directory")));
        }
        let listing = self.listing(&directory).map_err(|error| error.within(path))?;
        let from = usize::try_from(start).unwrap_or(usize::MAX).min(listing.len());
        let most = most.clamp(1, ENTRIES_MOST) as usize;
        let mut entries = Vec::new();
        for (name, number) in listing.iter().skip(from).take(most) {
            let name = String::from_utf8_lossy(name).into_owned();
            let inode = self.inode(*number).map_err(|error| error.within(&format!("{path}/{name}")))?;
            entries.push(Entry { name, meta: self.meta(&inode) });
        }
        let behind = from + entries.len();
        Ok(EntryPage { entries, next: (behind < listing.len()).then_some(behind as u64) })
    }

    fn of_kind(&mut self, path: &str, kind: Kind, what: &str) -> Result<Inode> {
        let inode = self.resolve(path)?;
        if inode.kind() != kind {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a {what}")));
        }
        Ok(inode)
    }

    /// Up to `length` bytes of a file, at most 1 MiB.
    ///
    /// # Errors
    /// As for [`Ufs::stat`]; `invalid-input` where it is no file.
    pub fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let inode = self.of_kind(path, Kind::File, "regular file")?;
        self.read_file(&inode, offset, length).map_err(|error| error.within(path))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// As for [`Ufs::stat`]; `invalid-input` where it is no link.
    pub fn read_link(&mut self, path: &str) -> Result<String> {
        let inode = self.of_kind(path, Kind::Symlink, "symbolic link")?;
        let target = self.read_file(&inode, 0, 4096).map_err(|error| error.within(path))?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    /// Room for data and files.
    pub fn room(&self) -> Room {
        let (blocks, inodes, fragments) = self.superblock.free();
        let unit = u64::from(self.superblock.fragment);
        let total = self.superblock.size * unit;
        let free = blocks
            .saturating_mul(self.superblock.block.into())
            .saturating_add(fragments.saturating_mul(unit));
        Room { total, free: free.min(total), free_files: Some(inodes) }
    }

    /// Creates a file or replaces its content.
    ///
    /// # Errors
    /// What cannot be, `no-space`, damage; after a failure half-way every further change is refused.
    pub fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.write_file(path, content, like)).map_err(|error| error.within(path))
    }

    /// Overwrites a part of a file, which grows as needed.
    ///
    /// # Errors
    /// As for [`Ufs::write`].
    pub fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.edit(|fs| fs.modify_file(path, offset, content)).map_err(|error| error.within(path))
    }

    /// Moves a name, in place of what has the new one.
    ///
    /// # Errors
    /// As for [`Ufs::write`].
    pub fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.edit(|fs| fs.rename_name(old, new))
    }

    /// Removes a file, a link or an empty directory.
    ///
    /// # Errors
    /// As for [`Ufs::write`].
    pub fn remove(&mut self, path: &str) -> Result<()> {
        self.edit(|fs| fs.remove_name(path))
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As for [`Ufs::write`].
    pub fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.new_directory(path, like))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As for [`Ufs::write`].
    pub fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.new_symlink(path, target, like))
    }

    /// Sets mode, owner and time.
    ///
    /// # Errors
    /// As for [`Ufs::write`].
    pub fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.edit(|fs| fs.set_attributes(path, meta))
    }

    /// Ranges of the device in use, from `start` on, at most `most`.
    ///
    /// # Errors
    /// What reading says.
    pub fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        self.used_ranges(start, most)
    }

    /// Writes everything back.
    ///
    /// # Errors
    /// What writing says, and a change that failed half-way.
    pub fn sync(&mut self) -> Result<()> {
        if !self.writing.is_allowed() {
            return Ok(());
        }
        self.writing.begin()?;
        self.flush()
    }
}
