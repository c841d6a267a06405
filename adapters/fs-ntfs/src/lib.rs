//! NTFS file systems, read and changed without being mounted by a kernel.
//!
//! The device is the host's copy-on-write overlay, which the host throws away when anything fails; so changes need no
//! journal of their own. Nothing on the device is trusted: numbers are checked where they are read, every walk ends.

mod allocate;
mod attribute;
mod boot;
mod bytes;
mod content;
mod device;
mod edit;
mod file;
mod fixup;
pub mod hibernation;
mod index;
mod layout;
mod links;
mod listing;
pub mod log;
mod log_block;
mod log_change;
mod log_idle;
mod log_pages;
mod log_record;
mod log_replay;
mod log_tables;
pub mod lznt1;
pub mod lzx;
mod meta;
mod name;
mod overlay;
mod path;
mod prefix;
mod record;
mod recovery;
mod reparse;
mod replay_check;
mod runs;
mod state;
mod tree;
mod used;
mod volume;
pub mod wof;
mod writing;
pub mod xpress;

use boot::Boot;
use path::Target;
use record::NUMBER;
use volume::Volume;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::{
    Blob, Entry, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, Range, Result, Room, Writing,
};

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 13;

/// A mounted file system.
pub struct Ntfs(Volume<'static>);

impl FileSystem for Ntfs {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let Some(sector) = boot::read(device)? else { return Ok(None) };
        let boot = Boot::parse(&sector, device.size())?;
        Ok(Some(recovery::open(Box::new(device::Borrowed(device)), boot, false)?.identity()))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        let Some(sector) = boot::read(device.as_ref())? else {
            return Err(Error::corrupt(0, "there is no NTFS boot sector here"));
        };
        if writable && !device.writable() {
            return Err(Error::new(ErrorKind::Denied, "the device is read-only: mount it for reading"));
        }
        let boot = Boot::parse(&sector, device.size())?;
        let mut volume = recovery::open(device, boot, writable)?;
        if writable {
            volume.check_writable()?;
            volume.writing = Writing::new(true);
        }
        Ok(Self(volume))
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        let target = self.0.resolve(path)?;
        self.0.meta(&target, true).map_err(|error| error.within(path))
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let target = self.0.resolve(path)?;
        if !target.file.is_directory() || !target.stream.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a directory")));
        }
        let names = self.0.list(&target.file).map_err(|error| error.within(path))?;
        let from = usize::try_from(start).unwrap_or(usize::MAX).min(names.len());
        let most = most.clamp(1, ENTRIES_MOST) as usize;
        let page = names.get(from..from.saturating_add(most).min(names.len())).unwrap_or_default();
        self.0.prefetch(page.iter().map(|(reference, _)| reference & NUMBER))?;
        let mut entries = Vec::with_capacity(page.len());
        for (reference, name) in page {
            let file =
                self.0.referred(*reference).map_err(|error| error.within(&format!("{path}/{name}")))?;
            let meta = self.0.meta(&Target { file, stream: Vec::new() }, false)?;
            entries.push(Entry { name: name.clone(), meta });
        }
        let next = from + page.len();
        Ok(EntryPage { entries, next: (next < names.len()).then_some(next as u64) })
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let target = self.0.resolve(path)?;
        if target.file.is_directory() && target.stream.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a regular file")));
        }
        self.0.read_file(&target, offset, length).map_err(|error| error.within(path))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let target = self.0.resolve(path)?;
        let reparse = self.0.reparse(&target.file)?.unwrap_or_default();
        if self.0.meta(&target, false)?.kind != Kind::Symlink {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a symbolic link")));
        }
        self.0.link_target(&reparse).map_err(|error| error.within(path))
    }

    fn room(&mut self) -> Result<Room> {
        let free = self.0.free_clusters()? * self.0.boot.cluster;
        Ok(Room { total: self.0.boot.clusters * self.0.boot.cluster, free, free_files: None })
    }

    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.0.edit(|volume| volume.write_file(path, content, like))
    }

    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.0.edit(|volume| volume.modify_file(path, offset, content))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.0.edit(|volume| volume.rename_object(old, new))
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.0.edit(|volume| volume.remove_object(path))
    }

    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.0.edit(|volume| volume.make_directory_at(path, like))
    }

    fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        self.0.edit(|volume| volume.make_symlink_at(path, target, like))
    }

    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.0.edit(|volume| volume.set_metadata(path, meta))
    }

    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        self.0.used_ranges(start, most)
    }

    fn sync(&mut self) -> Result<()> {
        if !self.0.writing.is_allowed() {
            return Ok(());
        }
        self.0.edit(|volume| volume.device.flush())
    }
}

wherry_sdk::register_filesystem_driver!(Ntfs, "../adapter.toml");
