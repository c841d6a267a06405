//! The guest's files as the guest would see them: mounts composed of volumes, symbolic links followed across mounts,
//! every edit recorded with its reason.

use crate::boot_code;
use crate::expected::{Expected, Parts};
use crate::labels;
use crate::machine::{Device, Machine};
use crate::shadow::{Object, Shadow, new_meta};
use crate::supply::{Folder, Supply};
use block::{Disk, MemoryDisk};
use runtime::contract::{Change, Entry, ErrorKind, Fact, Kind, Meta, Patch, Room, Volume};
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

/// A directory `inside` of a volume's file system, seen at `path`.
#[derive(Clone)]
struct Mount {
    path: String,
    volume: String,
    inside: String,
}

struct Opened {
    volume: String,
    files: FileSystem,
    /// Why it could only be mounted for reading.
    refuses: Option<String>,
}

/// The composed tree. File systems stay mounted until it is dropped, since their edits are in flight.
pub struct Tree {
    devices: Vec<Device>,
    supplies: Vec<Supply>,
    drivers: Vec<Arc<runtime::Adapter>>,
    /// Those that know how devices are joined.
    maps: Vec<Arc<runtime::Adapter>>,
    mounts: Vec<Mount>,
    opened: Vec<Opened>,
    /// What was changed, in order.
    pub edits: Vec<Edit>,
    /// The first crash of a file system adapter: whatever an adapter made of that error, the plan is void.
    pub fault: Option<String>,
    /// What file systems refused.
    shadow: Shadow,
    /// What must be found again afterwards, by path.
    expected: BTreeMap<String, Expected>,
    /// Boot code, by the disk that it is on.
    boot_code: Vec<(String, Patch)>,
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
    pub fn new(machine: &Machine, adapters: &runtime::Adapters) -> Self {
        let of = |kind| adapters.of(kind).cloned().collect();
        Self {
            devices: machine.devices.clone(),
            supplies: machine.supplies.clone(),
            drivers: of(runtime::Kind::FilesystemDriver),
            maps: of(runtime::Kind::VolumeMap),
            mounts: Vec::new(),
            opened: Vec::new(),
            edits: Vec::new(),
            fault: None,
            shadow: Shadow::default(),
            expected: BTreeMap::new(),
            boot_code: Vec::new(),
            hash: blake3::Hasher::new(),
        }
    }

    /// What the operator should know of the mounts.
    pub fn concerns(&self) -> Vec<Concern> {
        let concern = |opened: &Opened| {
            Some(Concern {
                id: "filesystem.read-only".into(),
                severity: Severity::Information,
                message: format!("{} can only be read: {}", opened.volume, opened.refuses.as_ref()?),
                remedy: None,
            })
        };
        self.opened.iter().filter_map(concern).chain(self.shadow.concerns()).collect()
    }

    /// BLAKE3 of all edits: action, path, content and attributes, in order.
    pub fn digest(&self) -> blake3::Hash {
        self.hash.finalize()
    }

    /// Looks for what the edits have left in `fresh`, a tree with nothing mounted yet over the same devices.
    pub fn verify(&self, mut fresh: Self) -> runtime::Result<()> {
        boot_code::verify(&fresh.devices, &self.boot_code)?;
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
            let bytes = self.read_plain(path, at, length)?;
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
                patches.iter().for_each(|patch| put(&mut bytes, patch));
                return Ok(Expected::Content(blake3::hash(&bytes)));
            }
            _ => Parts::new(size),
        };
        patches.iter().for_each(|patch| parts.put(patch));
        Ok(Expected::Parts(parts))
    }

    /// Makes the plan void.
    fn half(&mut self, what: String) -> runtime::contract::Error {
        self.fault.get_or_insert_with(|| what.clone());
        refusal(ErrorKind::Failed, what)
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
        self.opened.push(Opened { volume: volume.into(), files, refuses: None });
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
        let stated = device.volume.facts.iter().find(|fact| fact.key == "edits");
        let mut refuses = stated.map(|fact| fact.value.clone());
        if self.is_lent(volume) || refuses.is_some() {
            answer(files.mount(device.disk.clone(), false))?;
        } else if let Err(e) = files.mount(device.disk.clone(), true) {
            if e.is_fault() {
                self.fault.get_or_insert_with(|| e.to_string());
                return answer(Err(e));
            }
            // What cannot be edited may still be read.
            answer(files.mount(device.disk.clone(), false))?;
            refuses = Some(e.message);
        }
        self.opened.push(Opened { volume: volume.into(), files, refuses });
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

    /// What holds an absolute path without links, and the path within it.
    fn holder(&mut self, path: &str) -> Answer<(&mut Opened, String)> {
        let nothing = || refusal(ErrorKind::NotFound, format!("nothing is mounted at {path}"));
        let mount = self.mount_of(path).ok_or_else(nothing)?;
        let rest = if mount.path == "/" { path } else { &path[mount.path.len()..] };
        let inner = format!("{}{}", mount.inside.trim_end_matches('/'), rest.trim_end_matches('/'));
        let inner = if inner.is_empty() { "/".to_string() } else { inner };
        let volume = mount.volume.clone();
        let opened = self.opened.iter_mut().find(|opened| opened.volume == volume);
        let opened =
            opened.ok_or_else(|| refusal(ErrorKind::Denied, format!("{volume} is lent for reading only")))?;
        Ok((opened, inner))
    }

    /// The file system that holds an absolute path without links, and the path within it.
    fn place(&mut self, path: &str) -> Answer<(&mut FileSystem, String)> {
        self.holder(path).map(|(opened, inner)| (&mut opened.files, inner))
    }

    fn stat_plain(&mut self, path: &str) -> Answer<Meta> {
        if let Some(object) = self.shadow.get(path) {
            return object.meta(path);
        }
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
            let target = self.link_plain(&candidate)?;
            if target.starts_with('/') {
                done.clear();
            }
            pending.extend(components(&target));
        }
        Ok(format!("/{}", done.join("/")))
    }

    fn link_plain(&mut self, path: &str) -> Answer<String> {
        match self.shadow.get(path) {
            Some(Object::Link(_, target)) => Ok(target.clone()),
            Some(_) => Err(refusal(ErrorKind::InvalidInput, format!("{path} is not a symbolic link"))),
            None => ask!(self, path, files, inner => files.read_link(&inner)),
        }
    }

    fn read_plain(&mut self, path: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        match self.shadow.get(path) {
            Some(Object::File(_, bytes)) => {
                let from = bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
                let to = bytes.len().min(from.saturating_add(length as usize));
                Ok(bytes[from..to].to_vec())
            }
            Some(_) => Err(refusal(ErrorKind::InvalidInput, format!("{path} is not a file"))),
            None => ask!(self, path, files, inner => files.read(&inner, offset, length)),
        }
    }

    /// The whole content of a file that may have been refused an edit, or will be.
    fn whole(&mut self, path: &str) -> Answer<Vec<u8>> {
        let size = self.stat_plain(path)?.size;
        if size > CONTENT_MOST {
            let message =
                format!("{path} has {size} bytes, too many for an edit that its file system refuses");
            return Err(refusal(ErrorKind::Limit, message));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        self.each(path, 0..size, |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// Makes an edit. Where the file system refuses it, the answer is why, and nothing has changed.
    fn attempt(
        &mut self,
        path: &str,
        edit: impl FnOnce(&mut FileSystem, &str) -> runtime::Result<()>,
    ) -> Answer<Option<String>> {
        if let Some(why) = self.shadow.why(path) {
            return Ok(Some(why.into()));
        }
        let (opened, inner) = self.holder(path)?;
        if let Some(why) = &opened.refuses {
            return Ok(Some(why.clone()));
        }
        match edit(&mut opened.files, &inner) {
            Ok(()) => Ok(None),
            Err(e) if !e.is_fault() && e.code == Some("unsupported") => Ok(Some(e.message)),
            Err(e) => {
                if e.is_fault() {
                    self.fault.get_or_insert_with(|| e.to_string());
                }
                Err(e.to_contract())
            }
        }
    }

    /// What is at a path that a new object could replace or lie in: its directory has to be there.
    fn check_directory(&mut self, path: &str) -> Answer<()> {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let directory = if directory.is_empty() { "/" } else { directory };
        match self.stat_plain(directory)?.kind {
            Kind::Directory => Ok(()),
            _ => Err(refusal(ErrorKind::InvalidInput, format!("{directory} is not a directory"))),
        }
    }

    /// A new object of a directory that refuses it; nothing may be there.
    fn keep_new(&mut self, path: &str, object: Object, why: &str) -> Answer<()> {
        self.check_directory(path)?;
        if self.stat_plain(path).is_ok() {
            return Err(refusal(ErrorKind::Exists, format!("{path} exists already")));
        }
        self.shadow.put(path, object, why);
        Ok(())
    }

    fn keep_file(&mut self, path: &str, bytes: Vec<u8>, like: Option<&Meta>, why: &str) -> Answer<()> {
        let meta = match self.stat_plain(path) {
            Ok(meta) if meta.kind != Kind::File => {
                return Err(refusal(ErrorKind::InvalidInput, format!("{path} is not a file")));
            }
            Ok(meta) => meta,
            Err(e) if e.kind == ErrorKind::NotFound => new_meta(Kind::File, like),
            Err(e) => return Err(e),
        };
        self.check_directory(path)?;
        self.shadow.put(path, Object::File(meta, bytes), why);
        Ok(())
    }

    fn keep_renamed(&mut self, old: &str, new: &str, why: &str) -> Answer<()> {
        let meta = self.stat_plain(old)?;
        let object = match meta.kind {
            Kind::File => Object::File(meta, self.whole(old)?),
            Kind::Symlink => Object::Link(meta, self.link_plain(old)?),
            _ => return Err(refusal(ErrorKind::Unsupported, format!("{old} is a directory: {why}"))),
        };
        self.check_directory(new)?;
        self.shadow.put(new, object, why);
        self.shadow.put(old, Object::Gone, why);
        Ok(())
    }

    fn keep_removed(&mut self, path: &str, why: &str) -> Answer<()> {
        if self.stat_plain(path)?.kind == Kind::Directory && !runtime::Tree::entries(self, path)?.is_empty() {
            return Err(refusal(ErrorKind::InvalidInput, format!("{path} is not empty")));
        }
        self.shadow.put(path, Object::Gone, why);
        Ok(())
    }

    fn text(&mut self, path: &str) -> Option<String> {
        let meta = self.stat_plain(path).ok()?;
        if meta.kind != Kind::File || meta.size > TEXT_MOST {
            return None;
        }
        let bytes = self.read_plain(path, 0, meta.size as u32).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
    }

    /// Takes an edit into the digest.
    fn note(&mut self, action: &str, path: &str, bytes: &[u8], like: Option<&Meta>) {
        let head = format!("{action}\0{path}\0{}\0{like:?}\0", bytes.len());
        self.hash.update(head.as_bytes()).update(bytes);
    }

    /// Takes an edit into the list, and what is to be found of it if the file system did not refuse it.
    fn record(&mut self, edit: Edit, expected: Option<Expected>) {
        if edit.refused.is_none() {
            match expected {
                Some(expected) => self.expected.insert(edit.object.clone(), expected),
                None => self.expected.remove(&edit.object),
            };
        }
        self.edits.push(edit);
    }
}

/// An edit that shows nothing yet.
fn edit(action: &str, object: &str, reason: &str, refused: Option<String>) -> Edit {
    let (action, object, reason) = (action.into(), object.into(), reason.into());
    Edit { action, object, reason, before: None, after: None, refused }
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

/// Overwrites a part, which does not begin beyond the end.
fn put(bytes: &mut Vec<u8>, patch: &Patch) {
    let (start, end) = (patch.offset as usize, patch.offset as usize + patch.bytes.len());
    bytes.resize(bytes.len().max(end), 0);
    bytes[start..end].copy_from_slice(&patch.bytes);
}

fn content(bytes: Vec<u8>) -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new(bytes))
}

impl runtime::Tree for Tree {
    fn volumes(&mut self) -> Vec<Volume> {
        let own = self.devices.iter().map(|device| &device.volume);
        let mut all: Vec<Volume> = own.chain(self.supplies.iter().map(Supply::volume)).cloned().collect();
        for opened in &self.opened {
            let volume = all.iter_mut().find(|volume| volume.id == opened.volume);
            if let (Some(volume), Some(why)) = (volume, &opened.refuses) {
                volume.facts.push(Fact { key: "fs.edits".into(), value: why.clone() });
            }
        }
        all
    }

    fn mount(&mut self, volume: &str, path: &str) -> Answer<()> {
        self.mount_inside(volume, "/", path)
    }

    fn mount_inside(&mut self, volume: &str, inside: &str, path: &str) -> Answer<()> {
        let path = if path == "/" { path.to_string() } else { self.resolve(path, true)? };
        if self.mounts.iter().any(|mount| mount.path == path) {
            return Err(refusal(ErrorKind::Exists, format!("something is mounted at {path} already")));
        }
        self.open(volume)?;
        if inside != "/" {
            let opened = self.opened.iter_mut().find(|opened| opened.volume == volume);
            let found = opened.map(|opened| answer(opened.files.stat(inside))).transpose()?;
            if !inside.starts_with('/') || found.is_none_or(|meta| meta.kind != Kind::Directory) {
                let message = format!("{inside} of {volume} is not a directory");
                return Err(refusal(ErrorKind::InvalidInput, message));
            }
        }
        self.mounts.push(Mount { path, volume: volume.into(), inside: inside.into() });
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
        if let Some(object) = self.shadow.get(&path) {
            match object {
                Object::Directory(_) => self.shadow.merge(&path, &mut all),
                other => {
                    other.meta(&path)?;
                    return Err(refusal(ErrorKind::InvalidInput, format!("{path} is not a directory")));
                }
            }
            return Ok(all);
        }
        loop {
            let page = ask!(self, &path, files, inner => files.entries(&inner, start, PAGE))?;
            all.extend(page.entries);
            match page.next {
                Some(next) if next > start && all.len() < ENTRIES_MOST => start = next,
                Some(_) => return Err(refusal(ErrorKind::Limit, format!("{path} has too many entries"))),
                None => break,
            }
        }
        self.shadow.merge(&path, &mut all);
        Ok(all)
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let path = self.resolve(path, true)?;
        if let Some((folder, inner)) = self.folder(&path) {
            return folder.read(inner, offset, length.min(READ_MOST));
        }
        self.read_plain(&path, offset, length.min(READ_MOST))
    }

    fn read_link(&mut self, path: &str) -> Answer<String> {
        let path = self.resolve(path, false)?;
        self.link_plain(&path)
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
        let source = content(bytes);
        let given = source.clone();
        let refused = self.attempt(&path, |files, inner| files.write(inner, given, like.as_ref()))?;
        if let Some(why) = &refused {
            let mut bytes = vec![0; source.length() as usize];
            let read = source.read_at(0, &mut bytes);
            read.map_err(|e| refusal(ErrorKind::Failed, e.to_string()))?;
            self.keep_file(&path, bytes, like.as_ref(), why)?;
        }
        self.record(Edit { before, after, ..edit("write", &path, reason, refused) }, Some(expected));
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
        let (action, before, after) = match (patches.as_slice(), shown) {
            (_, Some(shown)) => ("modify", Some(shown.before), Some(shown.after)),
            ([patch], None) if patch.offset == size => ("append", None, self::shown(&patch.bytes)),
            (patches, None) => {
                let bytes: usize = patches.iter().map(|patch| patch.bytes.len()).sum();
                ("modify", None, Some(format!("{bytes} bytes in {} places", patches.len())))
            }
        };
        let mut refused = None;
        for patch in &patches {
            let source = content(patch.bytes.clone());
            refused = self.attempt(&path, |files, inner| files.modify(inner, patch.offset, source))?;
            if refused.is_some() {
                break;
            }
        }
        let mut expected = None;
        if let Some(why) = &refused {
            let mut bytes = self.whole(&path)?;
            patches.iter().for_each(|patch| put(&mut bytes, patch));
            self.keep_file(&path, bytes, None, why)?;
            // Some of them may have been made.
            self.expected.remove(&path);
        } else {
            expected = Some(self.expect(&path, size, &patches)?);
        }
        self.record(Edit { before, after, ..edit(action, &path, reason, refused) }, expected);
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
        let refused = match self.shadow.why(&new) {
            Some(why) => Some(why.to_owned()),
            None => self.attempt(&old, |files, inner| files.rename(inner, &inner_new))?,
        };
        if let Some(why) = &refused {
            self.keep_renamed(&old, &new, why)?;
        } else if let Some(expected) = self.expected.remove(&old) {
            self.expected.insert(new.clone(), expected);
        }
        let (before, after) = (Some(old.clone()), Some(new));
        self.record(Edit { before, after, ..edit("rename", &old, reason, refused) }, Some(Expected::Gone));
        Ok(())
    }

    fn remove(&mut self, path: &str, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        let before = self.text(&path);
        self.note("remove", &path, &[], None);
        let refused = self.attempt(&path, |files, inner| files.remove(inner))?;
        if let Some(why) = &refused {
            self.keep_removed(&path, why)?;
        }
        self.record(Edit { before, ..edit("remove", &path, reason, refused) }, Some(Expected::Gone));
        Ok(())
    }

    fn make_directory(&mut self, path: &str, like: Option<Meta>, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        self.note("make-directory", &path, &[], like.as_ref());
        let refused = self.attempt(&path, |files, inner| files.make_directory(inner, like.as_ref()))?;
        if let Some(why) = &refused {
            let object = Object::Directory(new_meta(Kind::Directory, like.as_ref()));
            self.keep_new(&path, object, why)?;
        }
        self.record(edit("make-directory", &path, reason, refused), None);
        Ok(())
    }

    fn make_symlink(&mut self, path: &str, target: &str, reason: &str) -> Answer<()> {
        let path = self.resolve(path, false)?;
        self.note("make-symlink", &path, target.as_bytes(), None);
        let refused = self.attempt(&path, |files, inner| files.make_symlink(inner, target, None))?;
        if let Some(why) = &refused {
            let object = Object::Link(new_meta(Kind::Symlink, None), target.into());
            self.keep_new(&path, object, why)?;
        }
        let after = Some(target.into());
        self.record(Edit { after, ..edit("make-symlink", &path, reason, refused) }, None);
        Ok(())
    }

    fn write_boot_code(&mut self, disk: &str, patches: Vec<Patch>, reason: &str) -> Answer<()> {
        let device = boot_code::place(&self.devices, disk, &patches)?.disk.clone();
        for patch in &patches {
            let written = device.write_at(patch.offset, &patch.bytes);
            written.map_err(|e| refusal(ErrorKind::Io, format!("{disk}: {e}")))?;
            self.note("write-boot-code", disk, &patch.bytes, None);
            self.hash.update(&patch.offset.to_le_bytes());
        }
        let after = Some(boot_code::shown(&patches));
        self.edits.push(Edit { after, ..edit("write-boot-code", disk, reason, None) });
        self.boot_code.extend(patches.into_iter().map(|patch| (disk.to_owned(), patch)));
        Ok(())
    }

    fn relabel(&mut self, volumes: &[String], facts: &[Fact], reason: &str) -> Answer<u64> {
        let disk = |id: &String| {
            let found = self.devices.iter().find(|device| device.volume.id == *id);
            let missing = || refusal(ErrorKind::NotFound, format!("there is no volume {id}"));
            found.map(|device| device.disk.clone()).ok_or_else(missing)
        };
        let disks = volumes.iter().map(disk).collect::<Answer<Vec<Arc<dyn Disk>>>>()?;
        let (adapter, patches) = labels::known(&self.maps, &disks, facts, &mut self.fault)?;
        let mut written = 0;
        for patch in &patches {
            let Some(disk) = disks.get(patch.device as usize) else { continue };
            self.hash.update(format!("relabel\0{}\0{}\0", patch.device, patch.offset).as_bytes());
            self.hash.update(&patch.bytes);
            if let Err(e) = disk.write_at(patch.offset, &patch.bytes) {
                return Err(self.half(format!("labels were changed by halves: {e}")));
            }
            written += patch.bytes.len() as u64;
        }
        if written > 0 {
            if !labels::ask(&adapter, &disks, facts, &mut self.fault)?.is_empty() {
                return Err(self.half("labels do not say what was written into them".into()));
            }
            let after = Some(labels::said(volumes, facts, &patches));
            let pool = facts.iter().find(|fact| fact.key == "pool").map_or("", |fact| &fact.value);
            self.edits.push(Edit { after, ..edit("relabel", pool, reason, None) });
        }
        Ok(written)
    }

    fn pending(&mut self) -> Vec<String> {
        self.shadow.pending()
    }

    fn defer(&mut self, means: &str) {
        self.shadow.defer(means);
    }
}
