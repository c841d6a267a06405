//! FAT12, FAT16 and FAT32 with long names: everything is read; files and directories are created, replaced, extended,
//! renamed and removed.
//!
//! What FAT does not have: owners, modes (only "read-only"), links, extended attributes, time zones. See the README for
//! what is ignored and what is refused.

mod boot;
mod check;
mod directory;
mod edit;
mod entry;
mod format;
mod name;
mod table;
mod time;
mod volume;

use crate::boot::Geometry;
use crate::directory::Directory;
use crate::entry::Entry;
use crate::volume::{Device, Volume};
use wherry_sdk::filesystem::Identity;
use wherry_sdk::path::{components, not_found, split_last};
use wherry_sdk::{
    Blob, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, READ_MOST, Range, Ranges, Result, Room,
    Writing, fact,
};

/// The root directory has no slot whose place could be its number.
const ROOT_ID: u64 = 1;

/// A mounted FAT volume.
pub struct Fat {
    volume: Volume<'static>,
    writing: Writing,
    /// The mark of an unclean shutdown is taken away: nothing was found that it could mean.
    cleans: bool,
}

/// The directory of a path's last name, the name, and its entry if there is one.
struct Place {
    parent: Directory,
    name: String,
    entry: Option<Entry>,
}

impl FileSystem for Fat {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        match boot::read(device) {
            Ok(geometry) => identity(device, geometry).map(Some),
            Err(e) if e.kind == ErrorKind::Corrupt => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn format(device: &dyn Blob, kind: &str, label: &str) -> Result<()> {
        match kind {
            "vfat" => format::format(device, label),
            _ => {
                let message = format!("this adapter makes no file system of the kind {kind}");
                Err(Error::new(ErrorKind::NotFound, message))
            }
        }
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        if writable && !device.writable() {
            return Err(Error::new(ErrorKind::Denied, "the device is read-only, mount the volume read-only"));
        }
        let geometry = boot::read(device.as_ref())?;
        let mut volume = Volume::new(Device::Owned(device), geometry);
        let mut cleans = false;
        if writable {
            let dirty = volume.is_dirty()?;
            let findings = check::check(&mut volume).map_err(|e| unfit(e, dirty))?;
            cleans = dirty && findings == check::Findings::default();
        }
        Ok(Self { volume, writing: Writing::new(writable), cleans })
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        if components(path, |_| true)?.is_empty() {
            return Ok(root_meta());
        }
        let (parent, entry) = self.existing(path)?;
        Ok(entry.slot.meta(parent.offset(&self.volume, entry.place())?))
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let directory = self.directory(&components(path, |_| true)?)?;
        let rest = directory.entries().into_iter().filter(|entry| entry.slots.start as u64 >= start);
        let (mut listed, mut next) = (Vec::new(), None);
        for entry in rest {
            if listed.len() as u64 == u64::from(most.max(1)) {
                next = Some(entry.slots.start as u64);
                break;
            }
            let meta = entry.slot.meta(directory.offset(&self.volume, entry.place())?);
            listed.push(wherry_sdk::Entry { name: entry.name, meta });
        }
        Ok(EntryPage { entries: listed, next })
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let (_, entry) = self.existing(path)?;
        if entry.slot.is_directory() {
            return Err(invalid(format!("{path} is a directory")));
        }
        let length = entry.slot.size().saturating_sub(offset).min(u64::from(length.min(READ_MOST)));
        if length == 0 {
            return Ok(Vec::new());
        }
        let first = entry.slot.first(self.volume.geometry.bits);
        self.volume.read(first, offset, length as u32).map_err(|e| e.within(path))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        self.stat(path)?;
        Err(invalid(format!("{path} is no symbolic link, FAT has none")))
    }

    fn room(&mut self) -> Result<Room> {
        let size = self.volume.geometry.cluster;
        let total = u64::from(self.volume.geometry.clusters) * size;
        Ok(Room { total, free: u64::from(self.volume.free()?) * size, free_files: None })
    }

    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.writing.begin()?;
        let place = self.place(path)?;
        edit::write(&mut self.volume, place, content, like)
    }

    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.writing.begin()?;
        let (mut parent, entry) = self.existing(path)?;
        edit::modify(&mut self.volume, &mut parent, entry, (offset, content))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.writing.begin()?;
        let (from, entry) = self.existing(old)?;
        let to = self.place(new)?;
        edit::rename(&mut self.volume, from, entry, to)
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.writing.begin()?;
        let (mut parent, entry) = self.existing(path)?;
        edit::remove(&mut self.volume, &mut parent, &entry)
    }

    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.writing.begin()?;
        let place = self.place(path)?;
        edit::make_directory(&mut self.volume, place, like)
    }

    fn make_symlink(&mut self, path: &str, _target: &str, _like: Option<&Meta>) -> Result<()> {
        Err(Error::unsupported(format!("FAT has no symbolic links, so {path} cannot be one")))
    }

    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.writing.begin()?;
        if let Some((name, _)) = meta.attributes.first() {
            return Err(Error::unsupported(format!(
                "FAT has no extended attributes, {path} cannot have {name}"
            )));
        }
        if components(path, |_| true)?.is_empty() {
            return Ok(());
        }
        let (mut parent, mut entry) = self.existing(path)?;
        entry.slot.set_mode(meta.mode);
        entry.slot.set_mtime(meta.mtime);
        edit::store(&self.volume, &mut parent, &entry)
    }

    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        used(&mut self.volume, start, most)
    }

    fn sync(&mut self) -> Result<()> {
        if !self.writing.is_allowed() {
            return Ok(());
        }
        if self.cleans {
            self.volume.mark_clean()?;
            self.cleans = false;
        }
        self.volume.flush()
    }
}

impl Fat {
    /// The directory that these names lead to.
    fn directory(&mut self, names: &[&str]) -> Result<Directory> {
        let mut directory = Directory::root(&mut self.volume)?;
        for name in names {
            let entry = directory.find(name).ok_or_else(|| not_found(name))?;
            if !entry.slot.is_directory() {
                return Err(invalid(format!("{name} is not a directory")));
            }
            directory = directory.child(&mut self.volume, &entry)?;
        }
        Ok(directory)
    }

    fn place(&mut self, path: &str) -> Result<Place> {
        let names = components(path, |_| true)?;
        let (name, above) = split_last(&names)?;
        let parent = self.directory(above)?;
        let entry = parent.find(name);
        Ok(Place { parent, name: (*name).into(), entry })
    }

    fn existing(&mut self, path: &str) -> Result<(Directory, Entry)> {
        let Place { parent, entry, .. } = self.place(path)?;
        Ok((parent, entry.ok_or_else(|| not_found(path))?))
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// Why a volume is not mounted for writing: an unclean shutdown explains what is wrong with it.
fn unfit(e: Error, dirty: bool) -> Error {
    let kind = if dirty && e.kind == ErrorKind::Corrupt { ErrorKind::Dirty } else { e.kind };
    let message = format!("{}; run fsck.fat on the source before it is changed", e.message);
    Error { kind, message, at: e.at }
}

fn root_meta() -> Meta {
    Meta {
        kind: Kind::Directory,
        size: 0,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        id: ROOT_ID,
        links: 1,
        attributes: Vec::new(),
    }
}

/// UUID and label as blkid shows them; the label of the root directory counts more than the boot sector's.
fn identity(device: &dyn Blob, geometry: Geometry) -> Result<Identity> {
    let mut volume = Volume::new(Device::Lent(device), geometry);
    let clean = !volume.is_dirty()?;
    // A damaged root directory is for mount to complain about.
    let label = Directory::root(&mut volume).ok().and_then(|root| root.label());
    let geometry = volume.geometry;
    let (high, low) = (geometry.serial >> 16, geometry.serial & 0xffff);
    Ok(Identity {
        kind: "vfat".into(),
        uuid: Some(format!("{high:04X}-{low:04X}")).filter(|_| geometry.serial != 0),
        label: label.or(geometry.label),
        block: geometry.cluster as u32,
        size: geometry.size,
        clean,
        facts: vec![fact("fat.bits", geometry.bits), fact("fat.sector-size", geometry.sector)],
    })
}

/// Boot sector, tables and root directory, clusters in use, and whatever lies behind the last cluster.
fn used(volume: &mut Volume<'_>, start: u64, most: u32) -> Result<Vec<Range>> {
    let (size, clusters) = (volume.geometry.cluster, volume.geometry.clusters);
    let (data, end) = (volume.geometry.data, volume.device.get().size());
    let mut ranges = Ranges::new(start..end, most);
    let mut room = ranges.push(0, data);
    let first = (start.saturating_sub(data) / size).min(u64::from(clusters)) as u32;
    for cluster in first + 2..clusters + 2 {
        if !room {
            return Ok(ranges.finish());
        }
        if volume.is_used(cluster)? {
            let offset = volume.offset(cluster)?;
            room = ranges.push(offset, offset + size);
        }
    }
    if room {
        ranges.push(data + u64::from(clusters) * size, end);
    }
    Ok(ranges.finish())
}

wherry_sdk::register_filesystem_driver!(Fat, "../adapter.toml");
