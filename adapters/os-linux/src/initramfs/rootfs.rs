//! What `/` holds after the kernel has unpacked an initramfs, by the rules of `init/initramfs.c`: a later entry wins,
//! an entry of another type removes what is there, an entry whose parent is missing is lost, a file with several names
//! is rewritten under all of them.

use super::cpio::{DIRECTORY, Header, TYPE};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io;

/// The most entries; the largest images have some ten thousand.
const ENTRIES_MOST: usize = 200_000;
/// The most bytes of names.
const NAMES_MOST: usize = 32 << 20;
/// Files up to this length are kept: lists, hooks and settings are this small.
const SMALL: u32 = 16 << 10;
/// `/init`, which says whose image it is, is kept up to this length.
const INIT_MOST: u32 = 128 << 10;
/// Module indexes up to this length are kept; a distribution's largest has 2 MiB.
const INDEX_MOST: u32 = 16 << 20;
/// The most bytes kept of all files.
const KEPT_MOST: usize = 64 << 20;
/// The most path components looked at, which chains of symbolic links can multiply.
const STEPS_MOST: u32 = 20_000_000;
/// Linux's limit for symbolic links in one path.
const LINKS_MOST: usize = 40;

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// a directory
    Directory,
    /// a regular file, by its number in the list of files
    File(usize),
    /// a symbolic link and its target
    Symlink(String),
    /// a device, pipe or socket with this type
    Other(u32),
}

/// A regular file.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// permissions
    pub mode: u32,
    /// names that it has
    pub names: u32,
    /// bytes
    pub size: u32,
    /// bytes, if it was small or a module index
    pub content: Option<Vec<u8>>,
}

/// The tree. Paths have no leading slash; the root itself is not listed.
#[derive(Clone, Debug)]
pub struct Rootfs {
    nodes: BTreeMap<String, Node>,
    files: Vec<File>,
    links: HashMap<((u32, u32, u32), u32), String>,
    names: usize,
    kept: usize,
    steps: Cell<u32>,
    /// Entries that the kernel drops without a word.
    pub lost: Vec<String>,
}

impl Rootfs {
    /// What the kernel itself puts there (`usr/default_cpio_list`).
    pub fn new() -> Self {
        let nodes =
            [("dev", Node::Directory), ("dev/console", Node::Other(0o020_000)), ("root", Node::Directory)];
        let nodes = nodes.map(|(path, node)| (path.to_owned(), node)).into();
        Self {
            nodes,
            files: Vec::new(),
            links: HashMap::new(),
            names: 0,
            kept: 0,
            steps: Cell::new(0),
            lost: Vec::new(),
        }
    }

    /// Every path and what it is, in the order of bytes.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Every path below `directory`.
    pub fn below<'a>(&'a self, directory: &str) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        let prefix = format!("{directory}/");
        let from = self.nodes.range(prefix.clone()..);
        from.map(|(path, node)| (path.as_str(), node)).take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// What is at exactly this path, which must be canonical.
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The regular file at this path; symbolic links are followed.
    pub fn regular(&self, path: &str) -> Option<&File> {
        match self.nodes.get(&self.resolve(path)?)? {
            Node::File(number) => self.files.get(*number),
            _ => None,
        }
    }

    /// The kept content of a file; symbolic links are followed.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.regular(path)?.content.as_deref()
    }

    /// Whether something is there; symbolic links are followed.
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path).is_some_and(|path| path.is_empty() || self.nodes.contains_key(&path))
    }

    /// The path with all symbolic links replaced. Components that do not exist are kept as they are.
    pub fn resolve(&self, path: &str) -> Option<String> {
        let mut todo: Vec<String> = components(path);
        let mut done = String::new();
        let mut followed = 0;
        while let Some(part) = todo.pop() {
            self.steps.set(self.steps.get().saturating_add(1));
            if part == ".." {
                done.truncate(done.rfind('/').unwrap_or(0));
                continue;
            }
            let start = done.len();
            if start > 0 {
                done.push('/');
            }
            done.push_str(&part);
            let Some(Node::Symlink(target)) = self.nodes.get(&done) else { continue };
            followed += 1;
            if followed > LINKS_MOST || todo.len() > 1024 {
                return None;
            }
            done.truncate(if target.starts_with('/') { 0 } else { start });
            todo.extend(components(target));
        }
        Some(done)
    }

    fn spend(&mut self, name: &str) -> io::Result<()> {
        self.names += name.len();
        let entries = self.nodes.len().max(self.files.len());
        if entries >= ENTRIES_MOST || self.names > NAMES_MOST || self.steps.get() > STEPS_MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the archive has too many entries"));
        }
        Ok(())
    }

    /// The canonical path of a new entry if its parent is a directory; otherwise the kernel loses it.
    fn place(&mut self, name: &str) -> io::Result<Option<String>> {
        self.spend(name)?;
        let parent = name.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
        let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let parent = self.resolve(parent).filter(|parent| self.is_directory(parent));
        let path = match (parent, last) {
            (Some(_), "" | "." | "..") => return Ok(None),
            (Some(parent), last) if parent.is_empty() => Some(last.to_owned()),
            (Some(parent), last) => Some(format!("{parent}/{last}")),
            (None, _) => None,
        };
        if path.is_none() && self.lost.len() < 64 {
            self.lost.push(name.to_owned());
        }
        Ok(path)
    }

    /// Whether this canonical path is a directory.
    pub fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || self.nodes.get(path) == Some(&Node::Directory)
    }

    /// The kernel's `clean_path`: what has another type than `kind` goes, unless it is a directory with entries.
    fn clean(&mut self, path: &str, kind: u32) {
        let old = match self.nodes.get(path) {
            None => return,
            Some(Node::Directory) => DIRECTORY,
            Some(Node::File(_)) => super::cpio::REGULAR,
            Some(Node::Symlink(_)) => super::cpio::SYMLINK,
            Some(Node::Other(kind)) => *kind,
        };
        if old == kind || old == DIRECTORY && self.below(path).next().is_some() {
            return;
        }
        if let Some(Node::File(number)) = self.nodes.remove(path)
            && let Some(file) = self.files.get_mut(number)
        {
            file.names = file.names.saturating_sub(1);
        }
    }

    /// The kernel's `maybe_link`: an earlier name of the same file. A first name is remembered.
    fn earlier(&mut self, path: &str, header: &Header) -> Option<String> {
        if header.links < 2 {
            return None;
        }
        let key = (header.identity, header.mode & TYPE);
        let old = self.links.get(&key).cloned();
        if old.is_none() {
            self.links.insert(key, path.to_owned());
        }
        old
    }

    /// A regular file's entry; answers the file that gets its content.
    pub fn file(&mut self, name: &str, header: &Header) -> io::Result<Option<usize>> {
        let Some(path) = self.place(name)? else { return Ok(None) };
        self.clean(&path, header.mode & TYPE);
        if let Some(old) = self.earlier(&path, header) {
            self.clean(&path, 0);
            let Some(Node::File(number)) = self.nodes.get(&old).cloned() else { return Ok(None) };
            if self.nodes.contains_key(&path) {
                return Ok(None);
            }
            if let Some(file) = self.files.get_mut(number) {
                file.names += 1;
            }
            self.nodes.insert(path, Node::File(number));
            // Only the last of several names carries the content; an empty one must not clear it.
            return Ok((header.size > 0).then_some(number));
        }
        match self.nodes.get(&path) {
            Some(Node::File(number)) => {
                let number = *number;
                if let Some(file) = self.files.get_mut(number) {
                    file.mode = header.mode & 0o7777;
                }
                Ok(Some(number))
            }
            Some(_) => Ok(None),
            None => {
                self.files.push(File { mode: header.mode & 0o7777, names: 1, ..File::default() });
                self.nodes.insert(path, Node::File(self.files.len() - 1));
                Ok(Some(self.files.len() - 1))
            }
        }
    }

    /// Whether this file's content is to be kept.
    pub fn wants(&self, name: &str, size: u32) -> bool {
        size <= SMALL
            || size <= INIT_MOST && name.trim_start_matches(['.', '/']) == "init"
            || size <= INDEX_MOST && name.rsplit('/').next().is_some_and(|last| last.starts_with("modules."))
    }

    /// Gives a file its content, which is kept or not.
    pub fn fill(&mut self, file: Option<usize>, size: u32, content: Option<Vec<u8>>) -> io::Result<()> {
        let Some(file) = file.and_then(|number| self.files.get_mut(number)) else { return Ok(()) };
        let length = |content: &Option<Vec<u8>>| content.as_ref().map_or(0, Vec::len);
        self.kept = self.kept.saturating_sub(length(&file.content)) + length(&content);
        file.content = content;
        file.size = size;
        if self.kept > KEPT_MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too many bytes in small files"));
        }
        Ok(())
    }

    /// A symbolic link's entry.
    pub fn symlink(&mut self, name: &str, target: String) -> io::Result<()> {
        self.spend(&target)?;
        let Some(path) = self.place(name)? else { return Ok(()) };
        self.clean(&path, 0);
        self.nodes.entry(path).or_insert(Node::Symlink(target));
        Ok(())
    }

    /// The entry of a directory, device, pipe or socket.
    pub fn other(&mut self, name: &str, header: &Header) -> io::Result<()> {
        let kind = header.mode & TYPE;
        let Some(path) = self.place(name)? else { return Ok(()) };
        self.clean(&path, kind);
        if kind == DIRECTORY {
            self.nodes.entry(path).or_insert(Node::Directory);
        } else if matches!(kind, 0o010_000 | 0o020_000 | 0o060_000 | 0o140_000)
            && self.earlier(&path, header).is_none()
        {
            self.nodes.entry(path).or_insert(Node::Other(kind));
        }
        Ok(())
    }

    /// Hard links do not reach from one archive into the next.
    pub fn forget_links(&mut self) {
        self.links.clear();
    }
}

/// The components of a path in reverse order, without empty ones and dots.
fn components(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}
