//! The guest's files as the guest would see them: mounts composed of volumes, symbolic links followed across mounts,
//! every edit recorded with its reason.

use crate::expected::{Expected, Parts};
use crate::machine::{Device, Machine};
use crate::supply::{Folder, Supply};
use block::{Disk, MemoryDisk};
use runtime::contract::{Change, Entry, ErrorKind, Kind, Meta, Patch, Room, Volume};
use runtime::{Answer, FileSystem, refusal};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use workload::{Concern, Edit, Severity};

/// As Linux does (path_resolution(7)).
const LINKS_MOST: usize = 40;
/// Content up to this length is kept with an edit, if it is text.
const TEXT_MOST: u64 = 64 << 10;
/// A file that was written and is then changed in part is read once more up to this length.
const CONTENT_MOST: u64 = 64 << 20;
/// Entries per page of a directory, and in all.
const PAGE: u32 = 1024;
const ENTRIES_MOST: usize = 1 << 20;
/// Bytes per read of a file.
const READ_MOST: u32 = 1 << 20;

#[derive(Clone)]
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
    supplies: Vec<Supply>,
    drivers: Vec<Arc<runtime::Adapter>>,
    mounts: Vec<Mount>,
    opened: Vec<Opened>,
    /// What was changed, in order.
    pub edits: Vec<Edit>,
    /// The first crash of a file system adapter: whatever an adapter made of that error, the plan is void.
    pub fault: Option<String>,
    /// File systems that could only be mounted for reading, with the reason.
    read_only: Vec<String>,
    /// What must be found again afterwards, by path.
    expected: BTreeMap<String, Expected>,
    hash: blake3::Hasher,
}

fn answer<T>(result: runtime::Result<T>) -> Answer<T> {
    result.map_err(|e| e.to_contract())
}

/// Makes a call to the file system that holds an absolute path without links. A crash of its adapter is kept.
macro_rules! ask {
    ($tree:ident, $path:expr, $files:ident, $inner:ident => $call:expr) => {{
        let ($files, $inner) = $tree.place($path)?;
        let outcome = $call;
        if let Err(e) = &outcome
            && e.is_fault()
        {
            $tree.fault.get_or_insert_with(|| e.to_string());
        }
        answer(outcome)
    }};
}

impl Tree {
    /// A tree over a machine's devices with nothing mounted.
    pub fn new(machine: &Machine, drivers: Vec<Arc<runtime::Adapter>>) -> Self {
        Self {
            devices: machine.devices.clone(),
            supplies: machine.supplies.clone(),
            drivers,
            mounts: Vec::new(),
            opened: Vec::new(),
            edits: Vec::new(),
            fault: None,
            read_only: Vec::new(),
            expected: BTreeMap::new(),
            hash: blake3::Hasher::new(),
        }
    }

    /// What the operator should know of the mounts.
    pub fn concerns(&self) -> Vec<Concern> {
        let concern = |message: &String| Concern {
            id: "filesystem.read-only".into(),
            severity: Severity::Warning,
            message: message.clone(),
            remedy: Some("a plan that has to change files there will fail and say so".into()),
        };
        self.read_only.iter().map(concern).collect()
    }

    /// BLAKE3 of all edits: action, path, content and attributes, in order.
    pub fn digest(&self) -> blake3::Hash {
        self.hash.finalize()
    }

    /// Looks for what the edits have left in `fresh`, a tree with nothing mounted yet over the same devices.
    pub fn verify(&self, mut fresh: Self) -> runtime::Result<()> {
        let edited = self.mounts.iter().filter(|mount| !self.is_lent(&mount.volume));
        for mount in edited {
            fresh.remount(&mount.volume)?;
            fresh.mounts.push(mount.clone());
        }
        for (path, expected) in &self.expected {
            let found = fresh.look(path, expected);
            if !found.as_ref().is_ok_and(|same| *same) {
                let what = found.err().map_or_else(|| "other content".to_owned(), |e| e.message);
                let (files, _) =
                    fresh.place(path).map_err(|e| runtime::Error::host("mounted.verify", e.message))?;
                return Err(files
                    .nonsense("mounted.sync", format!("after its edits {path} does not hold them: {what}")));
            }
        }
        Ok(())
    }

    fn look(&mut self, path: &str, expected: &Expected) -> Answer<bool> {
        let meta = match (self.stat_plain(path), expected) {
            (Err(e), Expected::Gone) if e.kind == ErrorKind::NotFound => return Ok(true),
            (meta, _) => meta?,
        };
        match expected {
            Expected::Gone => Ok(false),
            Expected::Content(hash) => {
                let mut sum = blake3::Hasher::new();
                let length = self.each(path, 0..meta.size, |bytes| {
                    sum.update(bytes);
                })?;
                Ok(length == meta.size && sum.finalize() == *hash)
            }
            Expected::Parts(parts) => {
                let mut same = parts.size == meta.size;
                for (offset, expected) in parts.iter() {
                    let mut found = Vec::with_capacity(expected.len());
                    let range = offset..offset + expected.len() as u64;
                    self.each(path, range, |bytes| found.extend_from_slice(bytes))?;
                    same &= found == expected;
                }
                Ok(same)
            }
        }
    }

    /// Hands over the bytes of a file's range, as far as it goes, and says how many there were.
    fn each(&mut self, path: &str, range: Range<u64>, mut take: impl FnMut(&[u8])) -> Answer<u64> {
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(READ_MOST.into()) as u32;
            let bytes = ask!(self, path, files, inner => files.read(&inner, at, length))?;
            if bytes.is_empty() {
                break;
            }
            take(&bytes);
            at += bytes.len() as u64;
        }
        Ok(at - range.start)
    }

    /// What is to be found after these patches to a file of `size` bytes.
    fn expect(&mut self, path: &str, size: u64, patches: &[Patch]) -> Answer<Expected> {
        let mut parts = match self.expected.remove(path) {
            Some(Expected::Parts(parts)) => parts,
            Some(Expected::Content(_)) if size <= CONTENT_MOST => {
                let mut bytes = Vec::with_capacity(size as usize);
                self.each(path, 0..size, |piece| bytes.extend_from_slice(piece))?;
                for patch in patches {
                    let (start, end) = (patch.offset as usize, patch.offset as usize + patch.bytes.len());
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[start..end].copy_from_slice(&patch.bytes);
                }
                return Ok(Expected::Content(blake3::hash(&bytes)));
            }
            _ => Parts::new(size),
        };
        patches.iter().for_each(|patch| parts.put(patch));
        Ok(Expected::Parts(parts))
    }

    fn is_lent(&self, volume: &str) -> bool {
        self.supplies.iter().any(|supply| supply.volume().id == volume)
    }

    /// The lent directory that holds an absolute path, and the path within it.
    fn folder<'p>(&self, path: &'p str) -> Option<(Arc<Folder>, &'p str)> {
        let mount = self.mount_of(path)?;
        self.supplies.iter().find_map(|supply| match supply {
            Supply::Folder(volume, folder) if volume.id == mount.volume => {
                Some((folder.clone(), &path[mount.path.len().min(path.len())..]))
            }
            _ => None,
        })
    }

    fn driver(&self, volume: &str) -> Answer<(&Device, &Arc<runtime::Adapter>)> {
        let missing = || refusal(ErrorKind::NotFound, format!("there is no volume {volume}"));
        let lent = self.supplies.iter().filter_map(|supply| match supply {
            Supply::Image(device) => Some(device),
            Supply::Folder(..) => None,
        });
        let mut devices = self.devices.iter().chain(lent);
        let device = devices.find(|device| device.volume.id == volume).ok_or_else(missing)?;
        let driver =
            device.driver.as_deref().and_then(|id| self.drivers.iter().find(|d| d.manifest.id == id));
        let unknown =
            || refusal(ErrorKind::Unsupported, format!("no adapter knows the file system of {volume}"));
        Ok((device, driver.ok_or_else(unknown)?))
    }

    /// Mounts for reading by a fresh instance.
    fn remount(&mut self, volume: &str) -> runtime::Result<()> {
        let (device, driver) =
            self.driver(volume).map_err(|e| runtime::Error::host("mounted.mount", e.message))?;
        let mut files = FileSystem::open(driver)?;
        files.mount(device.disk.clone(), false)?;
        self.opened.push(Opened { volume: volume.into(), files });
        Ok(())
    }

    /// Writes every file system back into the overlay.
    pub fn sync(&mut self) -> runtime::Result<()> {
        self.opened.iter_mut().try_for_each(|opened| opened.files.sync())
    }

    fn open(&mut self, volume: &str) -> Answer<()> {
        let folder = |supply: &Supply| matches!(supply, Supply::Folder(one, _) if one.id == volume);
        if self.opened.iter().any(|opened| opened.volume == volume) || self.supplies.iter().any(folder) {
            return Ok(());
        }
        let (device, driver) = self.driver(volume)?;
        let mut files = answer(FileSystem::open(driver))?;
        if self.is_lent(volume) {
            answer(files.mount(device.disk.clone(), false))?;
        } else if let Err(e) = files.mount(device.disk.clone(), true) {
            if e.is_fault() {
                self.fault.get_or_insert_with(|| e.to_string());
                return answer(Err(e));
            }
            // What cannot be edited may still be read.
            answer(files.mount(device.disk.clone(), false))?;
            self.read_only.push(format!("{volume} can only be read: {e}"));
        }
        self.opened.push(Opened { volume: volume.into(), files });
        Ok(())
    }

    /// The mount that holds an absolute path without links.
    fn mount_of(&self, path: &str) -> Option<&Mount> {
        let holds = |mount: &&Mount| {
            mount.path == "/"
                || path == mount.path
                || path.strip_prefix(&mount.path).is_some_and(|r| r.starts_with('/'))
        };
        self.mounts.iter().filter(holds).max_by_key(|mount| mount.path.len())
    }

    /// The file system that holds an absolute path without links, and the path within it.
    fn place(&mut self, path: &str) -> Answer<(&mut FileSystem, String)> {
        let nothing = || refusal(ErrorKind::NotFound, format!("nothing is mounted at {path}"));
        let mount = self.mount_of(path).ok_or_else(nothing)?;
        let inner = if mount.path == "/" { path.to_string() } else { path[mount.path.len()..].to_string() };
        let inner = if inner.is_empty() { "/".to_string() } else { inner };
        let volume = mount.volume.clone();
        let opened = self.opened.iter_mut().find(|opened| opened.volume == volume);
        let opened =
            opened.ok_or_else(|| refusal(ErrorKind::Denied, format!("{volume} is lent for reading only")))?;
        Ok((&mut opened.files, inner))
    }

    fn stat_plain(&mut self, path: &str) -> Answer<Meta> {
        if let Some((folder, inner)) = self.folder(path) {
            return folder.stat(inner);
        }
        ask!(self, &path, files, inner => files.stat(&inner))
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
            let target = ask!(self, &candidate, files, inner => files.read_link(&inner))?;
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

    /// Takes an edit into the digest.
    fn note(&mut self, action: &str, path: &str, bytes: &[u8], like: Option<&Meta>) {
        let head = format!("{action}\0{path}\0{}\0{like:?}\0", bytes.len());
        self.hash.update(head.as_bytes()).update(bytes);
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
        let own = self.devices.iter().map(|device| &device.volume);
        own.chain(self.supplies.iter().map(Supply::volume)).cloned().collect()
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
        if let Some((folder, inner)) = self.folder(&path) {
            return folder.entries(inner).map(|page| page.entries);
        }
        let (mut all, mut start) = (Vec::new(), 0);
        loop {
            let page = ask!(self, &path, files, inner => files.entries(&inner, start, PAGE))?;
            all.extend(page.entries);
            match page.next {
                Some(next) if next > start && all.len() < ENTRIES_MOST => start = next,
                Some(_) => return Err(refusal(ErrorKind::Limit, format!("{path} has too many entries"))),
                None => return Ok(all),
            }
        }
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let path = self.resolve(path, true)?;
        if let Some((folder, inner)) = self.folder(&path) {
            return folder.read(inner, offset, length.min(READ_MOST));
        }
        ask!(self, &path, files, inner => files.read(&inner, offset, length.min(READ_MOST)))
    }

    fn read_link(&mut self, path: &str) -> Answer<String> {
        let path = self.resolve(path, false)?;
        ask!(self, &path, files, inner => files.read_link(&inner))
    }

    fn canonical(&mut self, path: &str) -> Answer<String> {
        let path = self.resolve(path, true)?;
        self.stat_plain(&path)?;
        Ok(path)
    }

    fn room(&mut self, path: &str) -> Answer<Room> {
        let path = self.resolve(path, true)?;
        ask!(self, &path, files, _inner => files.room())
    }

    fn write(&mut self, path: &str, bytes: Vec<u8>, like: Option<Meta>, reason: &str) -> Answer<()> {
        let path = self.resolve(path, true)?;
        let (before, after) = (self.text(&path), shown(&bytes));
        let expected = Expected::Content(blake3::hash(&bytes));
        self.note("write", &path, &bytes, like.as_ref());
        ask!(self, &path, files, inner => files.write(&inner, content(bytes), like.as_ref()))?;
        self.expected.insert(path.clone(), expected);
        self.record("write", &path, reason, before, after);
        Ok(())
    }

    fn modify(&mut self, path: &str, patches: Vec<Patch>, shown: Option<Change>, reason: &str) -> Answer<()> {
        let path = self.resolve(path, true)?;
        let size = self.stat_plain(&path)?.size;
        let mut end = size;
        for patch in &patches {
            if patch.offset > end {
                let message = format!("{path} has {end} bytes, so byte {} is beyond its end", patch.offset);
                return Err(refusal(ErrorKind::InvalidInput, message));
            }
            end = end.max(patch.offset.saturating_add(patch.bytes.len() as u64));
            self.note("modify", &path, &patch.bytes, None);
            self.hash.update(&patch.offset.to_le_bytes());
        }
        let expected = self.expect(&path, size, &patches)?;
        let (action, before, after) = match (patches.as_slice(), shown) {
            (_, Some(shown)) => ("modify", Some(shown.before), Some(shown.after)),
            ([patch], None) if patch.offset == size => ("append", None, self::shown(&patch.bytes)),
            (patches, None) => {
                let bytes: usize = patches.iter().map(|patch| patch.bytes.len()).sum();
                ("modify", None, Some(format!("{bytes} bytes in {} places", patches.len())))
            }
        };
        for patch in patches {
            let (offset, bytes) = (patch.offset, content(patch.bytes));
            ask!(self, &path, files, inner => files.modify(&inner, offset, bytes))?;
        }
        self.expected.insert(path.clone(), expected);
        self.record(action, &path, reason, before, after);
        Ok(())
    }

    fn rename(&mut self, old: &str, new: &str, reason: &str) -> Answer<()> {
        let (old, new) = (self.resolve(old, false)?, self.resolve(new, false)?);
        if self.mount_of(&old).map(|mount| &mount.volume) != self.mount_of(&new).map(|mount| &mount.volume) {
            let message = format!(
                "{old} and {new} lie on different file systems: write the new one and remove the old"
            );
            return Err(refusal(ErrorKind::InvalidInput, message));
        }
        let (_, inner_new) = self.place(&new)?;
        self.note("rename", &old, new.as_bytes(), None);
        ask!(self, &old, files, inner => files.rename(&inner, &inner_new))?;
        if let Some(expected) = self.expected.insert(old.clone(), Expected::Gone) {
            self.expected.insert(new.clone(), expected);
        }
        self.record("rename", &old, reason, Some(old.clone()), Some(new));
        Ok(())
    }

    fn remove(&mut self, path: &str, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        let before = self.text(&path);
        self.note("remove", &path, &[], None);
        ask!(self, &path, files, inner => files.remove(&inner))?;
        self.expected.insert(path.clone(), Expected::Gone);
        self.record("remove", &path, reason, before, None);
        Ok(())
    }

    fn make_directory(&mut self, path: &str, like: Option<Meta>, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        self.note("make-directory", &path, &[], like.as_ref());
        ask!(self, &path, files, inner => files.make_directory(&inner, like.as_ref()))?;
        self.expected.remove(&path);
        self.record("make-directory", &path, reason, None, None);
        Ok(())
    }

    fn make_symlink(&mut self, path: &str, target: &str, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        self.note("make-symlink", &path, target.as_bytes(), None);
        ask!(self, &path, files, inner => files.make_symlink(&inner, target, None))?;
        self.expected.remove(&path);
        self.record("make-symlink", &path, reason, None, Some(target.into()));
        Ok(())
    }
}
