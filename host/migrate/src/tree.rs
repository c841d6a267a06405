//! The guest's files as the guest would see them: mounts composed of volumes, symbolic links followed across mounts,
//! every edit recorded with its reason.

use crate::machine::{Device, Machine};
use block::{Disk, MemoryDisk};
use runtime::contract::{Entry, Error, ErrorKind, Kind, Meta, Room, Volume};
use runtime::{Answer, FileSystem, refusal};
use std::sync::Arc;
use workload::Edit;

/// As Linux does (path_resolution(7)).
const LINKS_MOST: usize = 40;
/// Content up to this length is kept with an edit, if it is text.
const TEXT_MOST: u64 = 64 << 10;
/// Entries per page of a directory, and in all.
const PAGE: u32 = 1024;
const ENTRIES_MOST: usize = 1 << 20;
/// Bytes per read of a file.
const READ_MOST: u32 = 1 << 20;

struct Mount {
    path: String,
    volume: String,
}

struct Opened {
    volume: String,
    files: FileSystem,
}

/// The composed tree. File systems stay mounted until it is dropped, since their edits are in flight.
pub struct Tree {
    devices: Vec<Device>,
    drivers: Vec<Arc<runtime::Adapter>>,
    mounts: Vec<Mount>,
    opened: Vec<Opened>,
    /// What was changed, in order.
    pub edits: Vec<Edit>,
}

fn answer<T>(result: runtime::Result<T>) -> Answer<T> {
    result.map_err(|e| e.to_contract())
}

impl Tree {
    /// A tree over a machine's devices with nothing mounted.
    pub fn new(machine: &Machine, drivers: Vec<Arc<runtime::Adapter>>) -> Self {
        Self {
            devices: machine.devices.clone(),
            drivers,
            mounts: Vec::new(),
            opened: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// Writes every file system back into the overlay.
    pub fn sync(&mut self) -> runtime::Result<()> {
        self.opened.iter_mut().try_for_each(|opened| opened.files.sync())
    }

    fn open(&mut self, volume: &str) -> Answer<()> {
        if self.opened.iter().any(|opened| opened.volume == volume) {
            return Ok(());
        }
        let missing = || refusal(ErrorKind::NotFound, format!("there is no volume {volume}"));
        let device = self.devices.iter().find(|device| device.volume.id == volume).ok_or_else(missing)?;
        let driver =
            device.driver.as_deref().and_then(|id| self.drivers.iter().find(|d| d.manifest.id == id));
        let unknown =
            || refusal(ErrorKind::Unsupported, format!("no adapter knows the file system of {volume}"));
        let mut files = answer(FileSystem::open(driver.ok_or_else(unknown)?))?;
        answer(files.mount(device.disk.clone(), true))?;
        self.opened.push(Opened { volume: volume.into(), files });
        Ok(())
    }

    /// The file system that holds an absolute path without links, and the path within it.
    fn place(&mut self, path: &str) -> Answer<(&mut FileSystem, String)> {
        let holds = |mount: &&Mount| {
            mount.path == "/"
                || path == mount.path
                || path.strip_prefix(&mount.path).is_some_and(|r| r.starts_with('/'))
        };
        let mount = self.mounts.iter().filter(holds).max_by_key(|mount| mount.path.len());
        let mount =
            mount.ok_or_else(|| refusal(ErrorKind::NotFound, format!("nothing is mounted at {path}")))?;
        let inner = if mount.path == "/" { path.to_string() } else { path[mount.path.len()..].to_string() };
        let inner = if inner.is_empty() { "/".to_string() } else { inner };
        let volume = mount.volume.clone();
        let opened = self.opened.iter_mut().find(|opened| opened.volume == volume);
        let opened = opened.ok_or_else(|| refusal(ErrorKind::Failed, format!("{volume} is not open")))?;
        Ok((&mut opened.files, inner))
    }

    fn stat_plain(&mut self, path: &str) -> Answer<Meta> {
        let (files, inner) = self.place(path)?;
        answer(files.stat(&inner))
    }

    /// Resolves symbolic links in all components, or in all but the last.
    fn resolve(&mut self, path: &str, last: bool) -> Answer<String> {
        if !path.starts_with('/') || path.len() > 4096 {
            return Err(refusal(ErrorKind::InvalidInput, format!("`{path}` is not an absolute path")));
        }
        let mut pending: Vec<String> = components(path);
        let (mut done, mut links) = (Vec::<String>::new(), 0);
        while let Some(name) = pending.pop() {
            if name == ".." {
                done.pop();
                continue;
            }
            let candidate = format!("/{}", [done.join("/"), name.clone()].join("/").trim_start_matches('/'));
            let is_last = pending.is_empty();
            let link = match self.stat_plain(&candidate) {
                Ok(meta) => meta.kind == Kind::Symlink && (last || !is_last),
                Err(e) if e.kind == ErrorKind::NotFound && is_last => false,
                Err(e) => return Err(e),
            };
            if !link {
                done.push(name);
                continue;
            }
            links += 1;
            if links > LINKS_MOST {
                return Err(refusal(ErrorKind::InvalidInput, format!("{path}: too many symbolic links")));
            }
            let (files, inner) = self.place(&candidate)?;
            let target = answer(files.read_link(&inner))?;
            if target.starts_with('/') {
                done.clear();
            }
            pending.extend(components(&target));
        }
        Ok(format!("/{}", done.join("/")))
    }

    fn text(&mut self, path: &str) -> Option<String> {
        let meta = self.stat_plain(path).ok()?;
        if meta.kind != Kind::File || meta.size > TEXT_MOST {
            return None;
        }
        let (files, inner) = self.place(path).ok()?;
        let bytes = files.read(&inner, 0, meta.size as u32).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
    }

    fn record(
        &mut self,
        action: &str,
        object: &str,
        reason: &str,
        before: Option<String>,
        after: Option<String>,
    ) {
        let (action, object, reason) = (action.into(), object.into(), reason.into());
        self.edits.push(Edit { action, object, reason, before, after });
    }
}

/// The components of a path, last first, without `.` and empty ones.
fn components(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|name| !name.is_empty() && *name != ".").map(Into::into).collect()
}

/// What an edit shows of new content.
fn shown(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| bytes.len() as u64 <= TEXT_MOST && !text.contains('\0'));
    Some(text.map_or_else(|| format!("{} bytes", bytes.len()), Into::into))
}

fn content(bytes: Vec<u8>) -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new(bytes))
}

impl runtime::Tree for Tree {
    fn volumes(&mut self) -> Vec<Volume> {
        self.devices.iter().map(|device| device.volume.clone()).collect()
    }

    fn mount(&mut self, volume: &str, path: &str) -> Answer<()> {
        let path = if path == "/" { path.to_string() } else { self.resolve(path, true)? };
        if self.mounts.iter().any(|mount| mount.path == path) {
            return Err(refusal(ErrorKind::Exists, format!("something is mounted at {path} already")));
        }
        self.open(volume)?;
        self.mounts.push(Mount { path, volume: volume.into() });
        Ok(())
    }

    fn unmount_all(&mut self) {
        self.mounts.clear();
    }

    fn stat(&mut self, path: &str) -> Answer<Meta> {
        let path = self.resolve(path, false)?;
        self.stat_plain(&path)
    }

    fn entries(&mut self, path: &str) -> Answer<Vec<Entry>> {
        let path = self.resolve(path, true)?;
        let (files, inner) = self.place(&path)?;
        let (mut all, mut start) = (Vec::new(), 0);
        loop {
            let page = answer(files.entries(&inner, start, PAGE))?;
            all.extend(page.entries);
            match page.next {
                None => return Ok(all),
                Some(next) if next > start && all.len() < ENTRIES_MOST => start = next,
                Some(_) => {
                    let message = format!("{path}: the directory does not end after {} entries", all.len());
                    return Err(Error { kind: ErrorKind::Corrupt, message, at: None });
                }
            }
        }
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let path = self.resolve(path, true)?;
        let (files, inner) = self.place(&path)?;
        answer(files.read(&inner, offset, length.min(READ_MOST)))
    }

    fn read_link(&mut self, path: &str) -> Answer<String> {
        let path = self.resolve(path, false)?;
        let (files, inner) = self.place(&path)?;
        answer(files.read_link(&inner))
    }

    fn canonical(&mut self, path: &str) -> Answer<String> {
        let path = self.resolve(path, true)?;
        self.stat_plain(&path)?;
        Ok(path)
    }

    fn room(&mut self, path: &str) -> Answer<Room> {
        let path = self.resolve(path, true)?;
        answer(self.place(&path)?.0.room())
    }

    fn write(&mut self, path: &str, bytes: Vec<u8>, like: Option<Meta>, reason: &str) -> Answer<()> {
        let path = self.resolve(path, true)?;
        let (before, after) = (self.text(&path), shown(&bytes));
        let (files, inner) = self.place(&path)?;
        answer(files.write(&inner, content(bytes), like.as_ref()))?;
        self.record("write", &path, reason, before, after);
        Ok(())
    }

    fn append(&mut self, path: &str, bytes: Vec<u8>, reason: &str) -> Answer<()> {
        let path = self.resolve(path, true)?;
        let after = shown(&bytes);
        let (files, inner) = self.place(&path)?;
        answer(files.append(&inner, content(bytes)))?;
        self.record("append", &path, reason, None, after);
        Ok(())
    }

    fn rename(&mut self, old: &str, new: &str, reason: &str) -> Answer<()> {
        let (old, new) = (self.resolve(old, false)?, self.resolve(new, false)?);
        let (_, inner_new) = self.place(&new)?;
        let (files, inner_old) = self.place(&old)?;
        answer(files.rename(&inner_old, &inner_new))?;
        self.record("rename", &old, reason, Some(old.clone()), Some(new));
        Ok(())
    }

    fn remove(&mut self, path: &str, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        let before = self.text(&path);
        let (files, inner) = self.place(&path)?;
        answer(files.remove(&inner))?;
        self.record("remove", &path, reason, before, None);
        Ok(())
    }

    fn make_directory(&mut self, path: &str, like: Option<Meta>, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        let (files, inner) = self.place(&path)?;
        answer(files.make_directory(&inner, like.as_ref()))?;
        self.record("make-directory", &path, reason, None, None);
        Ok(())
    }

    fn make_symlink(&mut self, path: &str, target: &str, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        let (files, inner) = self.place(&path)?;
        answer(files.make_symlink(&inner, target, None))?;
        self.record("make-symlink", &path, reason, None, Some(target.into()));
        Ok(())
    }
}
