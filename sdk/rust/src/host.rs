//! The host's interfaces as plain functions and trait objects. Natively (in tests) the functions do nothing.

use crate::bindings::imports::wherry::adapter as host;
use crate::http::{Request, Response};
use crate::{
    Blob, Change, Entry, Error, ErrorKind, Http, Meta, Output, Patch, Range, Result, Room, Tree, Volume,
};

/// How loud a log line is.
pub use host::log::Level;

/// One line for the host's log.
pub fn log(level: Level, message: &str, fields: &[(String, String)]) {
    if cfg!(target_arch = "wasm32") {
        host::log::emit(level, message, fields);
    }
}

/// Whether the operator has asked to stop.
pub fn cancelled() -> bool {
    cfg!(target_arch = "wasm32") && host::job::cancelled()
}

/// `done` of `total`, in the unit that `note` names.
pub fn progress(done: u64, total: u64, note: &str) {
    if cfg!(target_arch = "wasm32") {
        host::job::progress(done, total, note);
    }
}

/// Seconds since 1970-01-01 UTC by the host's clock; a fixed time natively, so that tests repeat.
pub fn now_unix() -> u64 {
    if cfg!(target_arch = "wasm32") { host::job::now_unix() } else { 1_790_000_000 }
}

impl Blob for host::storage::Blob {
    fn size(&self) -> u64 {
        self.size()
    }
    fn sector_size(&self) -> u32 {
        self.sector_size()
    }
    fn writable(&self) -> bool {
        self.writable()
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.read(offset, length)
    }
    fn read_many(&self, ranges: &[Range]) -> Result<Vec<u8>> {
        self.read_many(ranges)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(offset, bytes)
    }
}

impl Tree for host::tree::GuestTree {
    fn volumes(&self) -> Vec<Volume> {
        self.volumes()
    }
    fn mount(&self, volume: &str, path: &str) -> Result<()> {
        self.mount(volume, path)
    }
    fn mount_inside(&self, volume: &str, inside: &str, path: &str) -> Result<()> {
        self.mount_inside(volume, inside, path)
    }
    fn unmount_all(&self) {
        self.unmount_all();
    }
    fn stat(&self, path: &str) -> Result<Meta> {
        self.stat(path)
    }
    fn entries(&self, path: &str) -> Result<Vec<Entry>> {
        self.entries(path)
    }
    fn read(&self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.read(path, offset, length)
    }
    fn read_link(&self, path: &str) -> Result<String> {
        self.read_link(path)
    }
    fn canonical(&self, path: &str) -> Result<String> {
        self.canonical(path)
    }
    fn room(&self, path: &str) -> Result<Room> {
        self.room(path)
    }
    fn write(&self, path: &str, bytes: &[u8], like: Option<&Meta>, reason: &str) -> Result<()> {
        self.write(path, bytes, like, reason)
    }
    fn modify(&self, path: &str, patches: &[Patch], shown: Option<&Change>, reason: &str) -> Result<()> {
        self.modify(path, patches, shown, reason)
    }
    fn rename(&self, old: &str, new: &str, reason: &str) -> Result<()> {
        self.rename(old, new, reason)
    }
    fn remove(&self, path: &str, reason: &str) -> Result<()> {
        self.remove(path, reason)
    }
    fn make_directory(&self, path: &str, like: Option<&Meta>, reason: &str) -> Result<()> {
        self.make_directory(path, like, reason)
    }
    fn make_symlink(&self, path: &str, target: &str, reason: &str) -> Result<()> {
        self.make_symlink(path, target, reason)
    }
    fn write_boot_code(&self, disk: &str, patches: &[Patch], reason: &str) -> Result<()> {
        self.write_boot_code(disk, patches, reason)
    }

    fn relabel(&self, volumes: &[String], facts: &[crate::Fact], reason: &str) -> Result<u64> {
        self.relabel(volumes, facts, reason)
    }
    fn pending(&self) -> Vec<String> {
        self.pending()
    }
    fn defer(&self, means: &str) {
        self.defer(means);
    }
}

/// The granted output directory.
pub struct HostOutput;

impl Output for HostOutput {
    fn write(&self, name: &str, bytes: &[u8], executable: bool) -> Result<()> {
        host::output::write(name, bytes, executable)
    }
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        host::output::read(name)
    }
    fn names(&self) -> Result<Vec<String>> {
        host::output::names()
    }
    fn remove(&self, name: &str) -> Result<()> {
        host::output::remove(name)
    }
    fn path(&self) -> String {
        host::output::path()
    }
}

/// The servers that the operator named.
pub struct HostHttp;

impl Http for HostHttp {
    fn send(&self, request: &Request) -> Result<Response> {
        host::http::send(request)
    }
}

/// No server at all: every request is denied.
pub struct NoHttp;

impl Http for NoHttp {
    fn send(&self, request: &Request) -> Result<Response> {
        let message = format!("{} was not asked: no server may be", request.url);
        Err(Error::new(ErrorKind::Denied, message))
    }
}

/// Sends a panic's message to the log before the trap, so that the operator learns more than "unreachable".
pub fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|info| host::log::emit(Level::Error, &info.to_string(), &[])));
}
