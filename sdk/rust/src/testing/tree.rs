//! A guest's files in memory, under the same rules as the host's tree over real volumes.

use crate::{
    Change, Entry, Error, ErrorKind, Kind, Meta, Patch, READ_MOST, Result, Room, Tree, Volume, fact,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// As Linux does (path_resolution(7)).
const LINKS_MOST: usize = 40;
/// Longest path, in bytes (PATH_MAX).
const PATH_MOST: usize = 4096;
/// Free bytes of a volume unless [`MemoryVolume::room`] says otherwise.
const FREE: u64 = 1 << 30;

#[derive(Clone)]
enum Content {
    File(Vec<u8>),
    Directory,
    Symlink(String),
}

#[derive(Clone)]
struct Node {
    content: Content,
    mode: u32,
    owner: (u32, u32),
    id: u64,
    attributes: Vec<(String, Vec<u8>)>,
}

/// One volume with its files, by their path within it. Folders on the way to a file are made as needed.
#[derive(Clone)]
pub struct MemoryVolume {
    volume: Volume,
    nodes: BTreeMap<String, Node>,
    free: u64,
    next_id: u64,
}

fn refusal<T>(kind: ErrorKind, message: String) -> Result<T> {
    Err(Error::new(kind, message))
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    }
}

impl MemoryVolume {
    /// An empty file system, root's, mode 0755. Facts as in `wit/tree.wit`: `fs.kind`, `fs.uuid`, ...
    pub fn new(id: &str, facts: &[(&str, &str)]) -> Self {
        let facts = facts.iter().map(|(key, value)| fact(*key, value)).collect();
        let volume = Volume { id: id.into(), kind: "partition".into(), size: 8 << 30, facts };
        let mut new = Self { volume, nodes: BTreeMap::new(), free: FREE, next_id: 2 };
        new.insert("/", Content::Directory, 0o755);
        new
    }

    /// `disk`, `partition` (what it is unless said) or `logical-volume`.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        self.volume.kind = kind.into();
        self
    }

    /// Another value of a fact.
    #[must_use]
    pub fn fact(mut self, key: &str, value: &str) -> Self {
        self.volume.facts.retain(|fact| fact.key != key);
        self.volume.facts.push(fact(key, value));
        self
    }

    /// Free room in bytes.
    #[must_use]
    pub fn room(mut self, free: u64) -> Self {
        self.free = free;
        self
    }

    /// A file, root's, mode 0644.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.insert(path, Content::File(bytes.as_ref().to_vec()), 0o644);
        self
    }

    /// A directory, root's, mode 0755.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.insert(path, Content::Directory, 0o755);
        self
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.insert(path, Content::Symlink(target.into()), 0o777);
        self
    }

    /// Mode and owner of an object that was put here before.
    ///
    /// # Panics
    /// If it was not.
    #[must_use]
    pub fn owned(mut self, path: &str, mode: u32, uid: u32, gid: u32) -> Self {
        let key = self.key(path);
        let node = self.nodes.get_mut(&key).unwrap_or_else(|| panic!("{path} is not there"));
        (node.mode, node.owner) = (mode, (uid, gid));
        self
    }

    /// Everything in a folder of this machine, with its modes and owners, put at `path`. Devices and pipes are left out.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn folder(mut self, path: &str, source: impl AsRef<Path>) -> std::io::Result<Self> {
        for entry in std::fs::read_dir(source)? {
            let entry = entry?;
            let inner = format!("{}/{}", path.trim_end_matches('/'), entry.file_name().to_string_lossy());
            let meta = entry.metadata()?;
            let content = if meta.is_dir() {
                Content::Directory
            } else if meta.is_symlink() {
                Content::Symlink(std::fs::read_link(entry.path())?.to_string_lossy().into_owned())
            } else if meta.is_file() {
                Content::File(std::fs::read(entry.path())?)
            } else {
                continue;
            };
            self.insert(&inner, content, meta.permissions().mode() & 0o7777);
            self = self.owned(&inner, meta.mode() & 0o7777, meta.uid(), meta.gid());
            if meta.is_dir() {
                self = self.folder(&inner, entry.path())?;
            }
        }
        Ok(self)
    }

    fn fat(&self) -> bool {
        crate::find(&self.volume.facts, "fs.kind") == Some("vfat")
    }

    fn caseless(&self) -> bool {
        matches!(crate::find(&self.volume.facts, "fs.kind"), Some("vfat" | "ntfs"))
    }

    /// The key under which a path is kept: names on FAT and NTFS are the same in upper and lower case.
    fn key(&self, path: &str) -> String {
        let same = |key: &&String| key.eq_ignore_ascii_case(path);
        let found = if self.caseless() { self.nodes.keys().find(same) } else { None };
        found.cloned().unwrap_or_else(|| path.to_owned())
    }

    fn insert(&mut self, path: &str, content: Content, mode: u32) {
        let folder = parent(path);
        if path != "/" && !self.nodes.contains_key(folder) {
            self.insert(folder, Content::Directory, 0o755);
        }
        let above = self.nodes.get(folder).map(|node| &node.content);
        assert!(path == "/" || matches!(above, Some(Content::Directory)), "{folder} is not a directory");
        let id = self.next_id;
        self.next_id += 1;
        let node = Node { content, mode, owner: (0, 0), id, attributes: Vec::new() };
        self.nodes.insert(path.to_owned(), node);
    }

    fn node(&self, path: &str) -> Result<&Node> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no {path}"));
        self.nodes.get(path).or_else(|| self.nodes.get(&self.key(path))).ok_or_else(missing)
    }

    fn meta(&self, path: &str) -> Result<Meta> {
        let node = self.node(path)?;
        let (kind, size) = match &node.content {
            Content::File(bytes) => (Kind::File, bytes.len() as u64),
            Content::Directory => (Kind::Directory, 4096),
            Content::Symlink(target) => (Kind::Symlink, target.len() as u64),
        };
        let ((uid, gid), mode, id) = (node.owner, node.mode, node.id);
        let attributes = node.attributes.clone();
        Ok(Meta { kind, size, mode, uid, gid, mtime: 0, id, links: 1, attributes })
    }

    fn bytes(&self, path: &str) -> Result<&Vec<u8>> {
        match &self.node(path)?.content {
            Content::File(bytes) => Ok(bytes),
            _ => refusal(ErrorKind::InvalidInput, format!("{path} is not a file")),
        }
    }

    fn children(&self, path: &str) -> impl Iterator<Item = (&str, &String)> {
        let prefix = if path == "/" { path.to_owned() } else { format!("{path}/") };
        let inner = move |key: &&String| key.starts_with(&prefix) && key.len() > prefix.len();
        let length = if path == "/" { 1 } else { path.len() + 1 };
        let direct = move |key: &'_ String| !key[length..].contains('/');
        self.nodes.keys().filter(inner).filter(move |key| direct(key)).map(move |key| (&key[length..], key))
    }

    fn charge(&mut self, more: u64, path: &str) -> Result<()> {
        let Some(free) = self.free.checked_sub(more) else {
            return refusal(ErrorKind::NoSpace, format!("no room for {more} bytes of {path}"));
        };
        self.free = free;
        Ok(())
    }

    /// A new object; its folder must be there, its name must not.
    fn create(&mut self, path: &str, content: Content, mode: u32, like: Option<&Meta>) -> Result<()> {
        let folder = self.key(parent(path));
        match self.nodes.get(&folder).map(|node| &node.content) {
            Some(Content::Directory) => {}
            Some(_) => return refusal(ErrorKind::InvalidInput, format!("{folder} is not a directory")),
            None => return refusal(ErrorKind::NotFound, format!("there is no directory {folder}")),
        }
        if self.node(path).is_ok() {
            return refusal(ErrorKind::Exists, format!("{path} exists already"));
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let path = format!("{}/{name}", folder.trim_end_matches('/'));
        self.insert(&path, content, mode);
        if let (Some(like), Some(node)) = (like, self.nodes.get_mut(&path)) {
            (node.mode, node.owner) = (like.mode, (like.uid, like.gid));
            node.attributes.clone_from(&like.attributes);
        }
        Ok(())
    }

    fn write(&mut self, path: &str, bytes: &[u8], like: Option<&Meta>) -> Result<()> {
        let old = match self.bytes(path) {
            Ok(old) => Some(old.len() as u64),
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.charge((bytes.len() as u64).saturating_sub(old.unwrap_or(0)), path)?;
        let key = self.key(path);
        match self.nodes.get_mut(&key) {
            Some(node) => node.content = Content::File(bytes.to_vec()),
            None => self.create(path, Content::File(bytes.to_vec()), 0o644, like)?,
        }
        Ok(())
    }

    fn modify(&mut self, path: &str, patches: &[Patch]) -> Result<()> {
        let mut whole = self.bytes(path)?.clone();
        for patch in patches {
            let Some(offset) = usize::try_from(patch.offset).ok().filter(|at| *at <= whole.len()) else {
                let message = format!("{path} has {} bytes, fewer than {}", whole.len(), patch.offset);
                return refusal(ErrorKind::InvalidInput, message);
            };
            let end = offset + patch.bytes.len();
            whole.resize(whole.len().max(end), 0);
            whole[offset..end].copy_from_slice(&patch.bytes);
        }
        self.write(path, &whole, None)
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.node(path)?;
        let key = self.key(path);
        if path == "/" || self.children(&key).next().is_some() {
            return refusal(ErrorKind::InvalidInput, format!("{path} is not empty"));
        }
        self.nodes.remove(&key);
        Ok(())
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        let node = self.node(old)?.clone();
        if matches!(node.content, Content::Directory) {
            return refusal(ErrorKind::Unsupported, format!("{old} is a directory"));
        }
        if self.node(new).is_ok() {
            self.bytes(new)?;
            self.remove(new)?;
        }
        self.create(new, node.content.clone(), node.mode, None)?;
        self.nodes.insert(self.key(new), node);
        let old = self.key(old);
        self.nodes.remove(&old);
        Ok(())
    }
}

/// One change, as the plan will print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// write, modify, append, rename, remove, make-directory, make-symlink, write-boot-code or relabel.
    pub action: &'static str,
    /// The path without links.
    pub object: String,
    /// Why, in the adapter's words.
    pub reason: String,
    /// The content before: of a file that was replaced or removed, the old name of one that was renamed.
    pub before: Option<Vec<u8>>,
    /// What was written or appended, the new name, the link's target.
    pub after: Option<Vec<u8>>,
}

/// A directory `inside` of a volume, which is a position in [`State::volumes`], seen at `path`.
struct Mount {
    path: String,
    volume: usize,
    inside: String,
}

#[derive(Default)]
struct State {
    volumes: Vec<MemoryVolume>,
    mounts: Vec<Mount>,
    edits: Vec<Edit>,
    /// Edited on volumes with the fact `fs.edits`, and not deferred.
    pending: Vec<String>,
    /// What labels say, by volume and key.
    labels: BTreeMap<(String, String), String>,
    deferred: Vec<String>,
}

/// A guest's tree over [`MemoryVolume`]s. Nothing is mounted at first. Directories list their names in descending order,
/// so that nobody relies on an order.
#[derive(Default)]
pub struct MemoryTree(RefCell<State>);

/// The components of a path, last first, without `.` and empty ones.
fn components(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|name| !name.is_empty() && *name != ".").map(Into::into).collect()
}

impl State {
    /// The volume that holds an absolute path without links, and the path within it.
    fn place(&self, path: &str) -> Result<(usize, String)> {
        let holds = |mount: &&Mount| {
            mount.path == "/"
                || path == mount.path
                || path.strip_prefix(&mount.path).is_some_and(|r| r.starts_with('/'))
        };
        let Some(mount) = self.mounts.iter().filter(holds).max_by_key(|mount| mount.path.len()) else {
            return refusal(ErrorKind::NotFound, format!("nothing is mounted at {path}"));
        };
        let inner = if mount.path == "/" { path } else { &path[mount.path.len()..] };
        let inner = format!("{}{}", mount.inside.trim_end_matches('/'), inner.trim_end_matches('/'));
        Ok((mount.volume, if inner.is_empty() { "/".into() } else { inner }))
    }

    fn stat(&self, path: &str) -> Result<Meta> {
        let (volume, inner) = self.place(path)?;
        self.volumes[volume].meta(&inner)
    }

    fn mount(&mut self, volume: &str, inside: &str, path: &str) -> Result<()> {
        let path = if path == "/" { path.to_owned() } else { self.resolve(path, true)? };
        if self.mounts.iter().any(|mount| mount.path == path) {
            return refusal(ErrorKind::Exists, format!("something is mounted at {path} already"));
        }
        let Some(number) = self.volumes.iter().position(|v| v.volume.id == volume) else {
            return refusal(ErrorKind::NotFound, format!("there is no volume {volume}"));
        };
        let found = &self.volumes[number];
        if crate::find(&found.volume.facts, "fs.kind").is_none() {
            return refusal(ErrorKind::Unsupported, format!("no adapter knows the file system of {volume}"));
        }
        if found.meta(inside)?.kind != Kind::Directory {
            return refusal(ErrorKind::InvalidInput, format!("{inside} of {volume} is not a directory"));
        }
        self.mounts.push(Mount { path, volume: number, inside: inside.into() });
        Ok(())
    }

    /// Resolves symbolic links in all components, or in all but the last.
    fn resolve(&self, path: &str, last: bool) -> Result<String> {
        if !path.starts_with('/') || path.len() > PATH_MOST || path.contains('\0') {
            return refusal(ErrorKind::InvalidInput, format!("`{path}` is not an absolute path"));
        }
        let mut pending = components(path);
        let (mut done, mut links) = (Vec::<String>::new(), 0);
        while let Some(name) = pending.pop() {
            if name == ".." {
                done.pop();
                continue;
            }
            done.push(name);
            let here = format!("/{}", done.join("/"));
            match self.stat(&here) {
                Ok(meta) if meta.kind == Kind::Symlink && (last || !pending.is_empty()) => {}
                Ok(meta) if meta.kind != Kind::Directory && !pending.is_empty() => {
                    return refusal(ErrorKind::NotFound, format!("{here} is not a directory"));
                }
                Ok(_) => continue,
                Err(e) if e.kind == ErrorKind::NotFound && pending.is_empty() => continue,
                Err(e) => return Err(e),
            }
            links += 1;
            if links > LINKS_MOST {
                return refusal(ErrorKind::InvalidInput, format!("{path}: too many symbolic links"));
            }
            let target = self.link(&here)?;
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            pending.extend(components(&target));
        }
        Ok(format!("/{}", done.join("/")))
    }

    fn link(&self, path: &str) -> Result<String> {
        let (volume, inner) = self.place(path)?;
        match &self.volumes[volume].node(&inner)?.content {
            Content::Symlink(target) => Ok(target.clone()),
            _ => refusal(ErrorKind::InvalidInput, format!("{path} is not a symbolic link")),
        }
    }

    fn content(&self, path: &str) -> Option<Vec<u8>> {
        let (volume, inner) = self.place(path).ok()?;
        self.volumes[volume].bytes(&inner).ok().cloned()
    }

    /// Makes one change in the volume that holds `path`, and records it.
    fn edit(
        &mut self,
        mut edit: Edit,
        follow: bool,
        change: impl FnOnce(&mut MemoryVolume, &str) -> Result<()>,
    ) -> Result<()> {
        if edit.reason.is_empty() {
            return refusal(ErrorKind::InvalidInput, format!("{}: an edit needs a reason", edit.object));
        }
        edit.object = self.resolve(&edit.object, follow)?;
        if matches!(edit.action, "write" | "remove") {
            edit.before = self.content(&edit.object);
        }
        let (volume, inner) = self.place(&edit.object)?;
        change(&mut self.volumes[volume], &inner)?;
        if crate::find(&self.volumes[volume].volume.facts, "fs.edits").is_some() {
            let new = edit.after.as_ref().filter(|_| edit.action == "rename");
            let new = new.map(|new| String::from_utf8_lossy(new).into_owned());
            for path in [Some(edit.object.clone()), new].into_iter().flatten() {
                if !self.pending.contains(&path) {
                    self.pending.push(path);
                }
            }
        }
        self.edits.push(edit);
        Ok(())
    }
}

impl MemoryTree {
    /// A tree over these volumes.
    pub fn new(volumes: Vec<MemoryVolume>) -> Self {
        Self(RefCell::new(State { volumes, ..State::default() }))
    }

    /// What was changed since the tree was made or [`MemoryTree::forget`] was called.
    pub fn edits(&self) -> Vec<Edit> {
        self.0.borrow().edits.clone()
    }

    /// By what means the guest makes edits itself.
    pub fn deferred(&self) -> Vec<String> {
        self.0.borrow().deferred.clone()
    }

    /// Forgets the list of edits, not the edits.
    pub fn forget(&self) {
        self.0.borrow_mut().edits.clear();
    }

    /// The whole file as text.
    ///
    /// # Panics
    /// If it is missing or not UTF-8.
    pub fn text(&self, path: &str) -> String {
        let bytes = self.read_all(path, u64::MAX).unwrap_or_else(|e| panic!("{path}: {}", e.message));
        String::from_utf8(bytes).unwrap_or_else(|_| panic!("{path} is not text"))
    }
}

fn edit(action: &'static str, object: &str, reason: &str, after: Option<&[u8]>) -> Edit {
    let after = after.map(<[u8]>::to_vec);
    Edit { action, object: object.into(), reason: reason.into(), before: None, after }
}

impl Tree for MemoryTree {
    fn volumes(&self) -> Vec<Volume> {
        self.0.borrow().volumes.iter().map(|volume| volume.volume.clone()).collect()
    }

    fn mount(&self, volume: &str, path: &str) -> Result<()> {
        self.0.borrow_mut().mount(volume, "/", path)
    }

    fn mount_inside(&self, volume: &str, inside: &str, path: &str) -> Result<()> {
        self.0.borrow_mut().mount(volume, inside, path)
    }

    fn unmount_all(&self) {
        self.0.borrow_mut().mounts.clear();
    }

    fn stat(&self, path: &str) -> Result<Meta> {
        let state = self.0.borrow();
        state.stat(&state.resolve(path, false)?)
    }

    fn entries(&self, path: &str) -> Result<Vec<Entry>> {
        let state = self.0.borrow();
        let path = state.resolve(path, true)?;
        let (number, inner) = state.place(&path)?;
        let volume = &state.volumes[number];
        if volume.meta(&inner)?.kind != Kind::Directory {
            return refusal(ErrorKind::InvalidInput, format!("{path} is not a directory"));
        }
        let entry = |(name, key): (&str, &String)| {
            let meta = Meta { attributes: Vec::new(), ..volume.meta(key)? };
            Ok(Entry { name: name.into(), meta })
        };
        let mut entries: Vec<Entry> =
            volume.children(&volume.key(&inner)).map(entry).collect::<Result<_>>()?;
        entries.reverse();
        Ok(entries)
    }

    fn read(&self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let state = self.0.borrow();
        let path = state.resolve(path, true)?;
        let (volume, inner) = state.place(&path)?;
        let bytes = state.volumes[volume].bytes(&inner)?;
        let start = bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let end = bytes.len().min(start + length.min(READ_MOST) as usize);
        Ok(bytes[start..end].to_vec())
    }

    fn read_link(&self, path: &str) -> Result<String> {
        let state = self.0.borrow();
        state.link(&state.resolve(path, false)?)
    }

    fn canonical(&self, path: &str) -> Result<String> {
        let state = self.0.borrow();
        let path = state.resolve(path, true)?;
        state.stat(&path)?;
        Ok(path)
    }

    fn room(&self, path: &str) -> Result<Room> {
        let state = self.0.borrow();
        let volume = &state.volumes[state.place(&state.resolve(path, true)?)?.0];
        Ok(Room { total: volume.volume.size, free: volume.free, free_files: None })
    }

    fn write(&self, path: &str, bytes: &[u8], like: Option<&Meta>, reason: &str) -> Result<()> {
        let edit = edit("write", path, reason, Some(bytes));
        self.0.borrow_mut().edit(edit, true, |volume, path| volume.write(path, bytes, like))
    }

    fn modify(&self, path: &str, patches: &[Patch], shown: Option<&Change>, reason: &str) -> Result<()> {
        let size = self.stat(&self.canonical(path)?)?.size;
        let edit = match (patches, shown) {
            ([patch], None) if patch.offset == size => edit("append", path, reason, Some(&patch.bytes)),
            (_, shown) => {
                let mut edit = edit("modify", path, reason, shown.map(|shown| shown.after.as_bytes()));
                edit.before = shown.map(|shown| shown.before.clone().into_bytes());
                edit
            }
        };
        self.0.borrow_mut().edit(edit, true, |volume, path| volume.modify(path, patches))
    }

    fn rename(&self, old: &str, new: &str, reason: &str) -> Result<()> {
        let mut state = self.0.borrow_mut();
        let new = state.resolve(new, false)?;
        let (there, inner) = state.place(&new)?;
        if state.place(&state.resolve(old, false)?)?.0 != there {
            return refusal(ErrorKind::InvalidInput, format!("{old} and {new} are on two volumes"));
        }
        let edit = edit("rename", old, reason, Some(new.as_bytes()));
        state.edit(edit, false, |volume, old| volume.rename(old, &inner))
    }

    fn remove(&self, path: &str, reason: &str) -> Result<()> {
        let edit = edit("remove", path, reason, None);
        self.0.borrow_mut().edit(edit, false, MemoryVolume::remove)
    }

    fn make_directory(&self, path: &str, like: Option<&Meta>, reason: &str) -> Result<()> {
        let edit = edit("make-directory", path, reason, None);
        let make =
            |volume: &mut MemoryVolume, path: &str| volume.create(path, Content::Directory, 0o755, like);
        self.0.borrow_mut().edit(edit, false, make)
    }

    fn make_symlink(&self, path: &str, target: &str, reason: &str) -> Result<()> {
        let edit = edit("make-symlink", path, reason, Some(target.as_bytes()));
        let make = |volume: &mut MemoryVolume, path: &str| {
            if volume.fat() {
                return refusal(ErrorKind::Unsupported, "FAT has no symbolic links".to_owned());
            }
            volume.create(path, Content::Symlink(target.into()), 0o777, None)
        };
        self.0.borrow_mut().edit(edit, false, make)
    }

    /// The edit's bytes are all patches, each with its offset of 8 bytes before it; ranges are the host's to check.
    fn write_boot_code(&self, disk: &str, patches: &[Patch], reason: &str) -> Result<()> {
        let mut state = self.0.borrow_mut();
        if !state.volumes.iter().any(|one| one.volume.id == disk && one.volume.kind == "disk") {
            return refusal(ErrorKind::NotFound, format!("there is no disk {disk}"));
        }
        let pieces = patches.iter().map(|patch| [&patch.offset.to_le_bytes()[..], &patch.bytes].concat());
        let bytes = pieces.collect::<Vec<_>>().concat();
        state.edits.push(edit("write-boot-code", disk, reason, Some(&bytes)));
        Ok(())
    }

    /// Volumes with the fact `label.pool` are of that pool.
    fn relabel(&self, volumes: &[String], facts: &[crate::Fact], reason: &str) -> Result<u64> {
        let mut state = self.0.borrow_mut();
        let pool = crate::find(facts, "pool").unwrap_or_default();
        let (mut shown, mut found) = (String::new(), false);
        for (number, id) in volumes.iter().enumerate() {
            let Some(one) = state.volumes.iter().find(|one| one.volume.id == *id) else {
                return refusal(ErrorKind::NotFound, format!("there is no volume {id}"));
            };
            if crate::find(&one.volume.facts, "label.pool") != Some(pool) {
                continue;
            }
            found = true;
            for fact in facts {
                let Some(key) = fact.key.strip_prefix(&format!("{number}.")) else { continue };
                let old = state.labels.insert((id.clone(), key.to_owned()), fact.value.clone());
                if old.as_ref() != Some(&fact.value) {
                    shown.push_str(&format!("{id} {key} {}\n", fact.value));
                }
            }
        }
        if !found {
            return refusal(ErrorKind::NotFound, format!("no volume is of the pool {pool}"));
        }
        if !shown.is_empty() {
            state.edits.push(edit("relabel", pool, reason, Some(shown.as_bytes())));
        }
        Ok(shown.len() as u64)
    }

    fn pending(&self) -> Vec<String> {
        self.0.borrow().pending.clone()
    }

    fn defer(&self, means: &str) {
        let mut state = self.0.borrow_mut();
        state.pending.clear();
        state.deferred.push(means.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> MemoryTree {
        let root = MemoryVolume::new("root", &[("fs.kind", "ext4")])
            .file("/usr/bin/dash", "x")
            .symlink("/bin", "usr/bin")
            .symlink("/usr/bin/sh", "dash")
            .symlink("/loop", "loop")
            .symlink("/etc", "/boot/../conf")
            .file("/conf/hosts", "one\n")
            .owned("/conf/hosts", 0o600, 3, 4)
            .directory("/boot");
        let boot = MemoryVolume::new("boot", &[("fs.kind", "vfat")]).file("/EFI/Boot/a.efi", "a").room(100);
        let tree = MemoryTree::new(vec![root, boot, MemoryVolume::new("swap", &[])]);
        assert_eq!(tree.stat("/").err().map(|e| e.kind), Some(ErrorKind::NotFound));
        tree.mount("root", "/").expect("mounts");
        tree.mount("boot", "/boot").expect("mounts");
        tree
    }

    fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
        result.err().map(|e| e.kind)
    }

    #[test]
    fn paths() {
        let tree = tree();
        assert_eq!(tree.canonical("/etc/hosts").as_deref(), Ok("/conf/hosts"));
        assert_eq!(tree.stat("/usr/bin/sh").map(|m| m.kind), Ok(Kind::Symlink));
        assert_eq!(tree.canonical("/bin").as_deref(), Ok("/usr/bin"));
        assert_eq!(kind(tree.canonical("/loop")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(tree.stat("etc")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(tree.stat("/nowhere/x")), Some(ErrorKind::NotFound));
        assert_eq!(kind(tree.read("/boot/none/../EFI/BOOT/A.EFI", 0, 9)), Some(ErrorKind::NotFound));
        assert_eq!(tree.read("/boot/EFI/BOOT/A.EFI", 0, 9).as_deref(), Ok(&b"a"[..]));
        assert_eq!(kind(tree.mount("swap", "/x")), Some(ErrorKind::Unsupported));
        assert_eq!(kind(tree.mount("root", "/boot")), Some(ErrorKind::Exists));
        let names: Vec<String> = tree.entries("/").expect("lists").into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["usr", "loop", "etc", "conf", "boot", "bin"]);
    }

    #[test]
    fn subvolumes_and_refused_edits() {
        let disk = MemoryVolume::new("disk", &[("fs.kind", "btrfs"), ("fs.edits", "they are shared")])
            .file("/@/etc/fstab", "here")
            .directory("/@/home")
            .file("/@home/me", "x");
        let tree = MemoryTree::new(vec![disk]);
        tree.mount_inside("disk", "/@", "/").expect("mounts");
        tree.mount_inside("disk", "/@home", "/home").expect("mounts");
        assert_eq!(kind(tree.mount_inside("disk", "/none", "/etc")), Some(ErrorKind::NotFound));
        assert_eq!((tree.text("/etc/fstab").as_str(), tree.text("/home/me").as_str()), ("here", "x"));
        tree.write("/etc/fstab", b"there", None, "why").expect("writes");
        tree.write("/etc/fstab", b"where", None, "why").expect("writes");
        tree.rename("/home/me", "/home/you", "why").expect("renames");
        assert_eq!(tree.pending(), ["/etc/fstab", "/home/me", "/home/you"]);
        tree.defer("a hook");
        assert_eq!((tree.pending().len(), tree.deferred()), (0, vec!["a hook".to_owned()]));
    }

    #[test]
    fn edits() {
        let tree = tree();
        tree.write("/etc/hosts", b"two\n", None, "why").expect("writes");
        let meta = tree.stat("/etc/hosts").expect("there");
        assert_eq!((meta.mode, meta.uid, meta.gid), (0o600, 3, 4));
        tree.append("/etc/hosts", b"three\n", "why").expect("appends");
        assert_eq!(tree.text("/conf/hosts"), "two\nthree\n");
        assert_eq!(kind(tree.write("/boot/big", &[0; 101], None, "why")), Some(ErrorKind::NoSpace));
        assert_eq!(kind(tree.write("/no/file", b"", None, "why")), Some(ErrorKind::NotFound));
        assert_eq!(kind(tree.write("/usr", b"", None, "why")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(tree.append("/none", b"", "why")), Some(ErrorKind::NotFound));
        assert_eq!(kind(tree.remove("/usr", "why")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(tree.make_directory("/usr", None, "why")), Some(ErrorKind::Exists));
        assert_eq!(kind(tree.make_symlink("/boot/x", "y", "why")), Some(ErrorKind::Unsupported));
        assert_eq!(kind(tree.rename("/conf/hosts", "/boot/hosts", "why")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(tree.write("/etc/x", b"", None, "")), Some(ErrorKind::InvalidInput));
        tree.rename("/conf/hosts", "/conf/new", "why").expect("renames");
        tree.remove("/bin/sh", "why").expect("removes the link");
        let done: Vec<_> = tree.edits().into_iter().map(|e| (e.action, e.object)).collect();
        let expected = [
            ("write", "/conf/hosts"),
            ("append", "/conf/hosts"),
            ("rename", "/conf/hosts"),
            ("remove", "/usr/bin/sh"),
        ];
        assert_eq!(done, expected.map(|(action, object)| (action, object.to_owned())));
        assert_eq!(tree.edits()[0].before.as_deref(), Some(&b"one\n"[..]));
        tree.forget();
        assert!(tree.edits().is_empty());
    }
}
