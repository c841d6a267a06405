//! UFS file systems of Solaris and the BSDs: `wherry-ufs` as an adapter.

use wherry_sdk::filesystem::Identity;
use wherry_sdk::{Blob, EntryPage, FileSystem, Meta, Range, Result, Room};

/// A mounted file system.
pub struct Ufs(wherry_ufs::Ufs<'static>);

impl FileSystem for Ufs {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        wherry_ufs::probe(device)
    }
    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        wherry_ufs::Ufs::mount(device, writable).map(Self)
    }
    fn stat(&mut self, path: &str) -> Result<Meta> {
        self.0.stat(path)
    }
    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        self.0.entries(path, start, most)
    }
    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.0.read(path, offset, length)
    }
    fn read_link(&mut self, path: &str) -> Result<String> {
        self.0.read_link(path)
    }
    fn room(&mut self) -> Result<Room> {
        Ok(self.0.room())
    }
    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.0.write(path, content, like)
    }
    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.0.modify(path, offset, content)
    }
    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.0.rename(old, new)
    }
    fn remove(&mut self, path: &str) -> Result<()> {
        self.0.remove(path)
    }
    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.0.make_directory(path, like)
    }
    fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        self.0.make_symlink(path, target, like)
    }
    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.0.set_meta(path, meta)
    }
    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        self.0.used(start, most)
    }
    fn sync(&mut self) -> Result<()> {
        self.0.sync()
    }
}

wherry_sdk::register_filesystem_driver!(Ufs, "../adapter.toml");
