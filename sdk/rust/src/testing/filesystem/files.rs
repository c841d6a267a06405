//! Trees of files, read through an adapter and through a directory of this machine.

use crate::{FileSystem, Kind, Meta, READ_MOST};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What an object holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A file's bytes.
    File(Vec<u8>),
    /// Names, which are objects of their own.
    Directory,
    /// The target of a symbolic link.
    Link(String),
    /// A device, a pipe, a socket.
    Other,
}

impl Content {
    /// The bytes of a file; none of everything else.
    pub fn into_file(self) -> Option<Vec<u8>> {
        if let Self::File(bytes) = self { Some(bytes) } else { None }
    }
}

impl Debug for Content {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(bytes) => {
                write!(to, "file of {} bytes, {:02x?}...", bytes.len(), &bytes[..bytes.len().min(8)])
            }
            Self::Directory => write!(to, "directory"),
            Self::Link(target) => write!(to, "link to {target}"),
            Self::Other => write!(to, "other"),
        }
    }
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it holds.
    pub content: Content,
    /// Permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Time of modification, in seconds since 1970.
    pub mtime: i64,
    /// The same for all names of one object.
    pub id: u64,
    /// How many these are.
    pub links: u32,
    /// Extended attributes, sorted.
    pub attributes: Vec<(String, Vec<u8>)>,
}

impl Node {
    /// With what `stat` told.
    pub fn new(content: Content, meta: &Meta) -> Self {
        let mut attributes = meta.attributes.clone();
        attributes.sort();
        let (mode, owner, mtime) = (meta.mode, (meta.uid, meta.gid), meta.mtime);
        Self { content, mode, owner, mtime, id: meta.id, links: meta.links, attributes }
    }
}

/// Objects by absolute path, without the root.
pub type Files = BTreeMap<String, Node>;

/// Reads a whole file through the adapter, in uneven pieces.
///
/// # Panics
/// If that fails, or what is read is not of this size.
pub fn read_all<F: FileSystem>(fs: &mut F, path: &str, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for length in [READ_MOST - 777, 99_999].into_iter().cycle() {
        let piece = fs.read(path, bytes.len() as u64, length).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    assert_eq!(bytes.len() as u64, size, "{path}");
    bytes
}

fn content<F: FileSystem>(fs: &mut F, path: &str, meta: &Meta) -> Content {
    match meta.kind {
        Kind::File => Content::File(read_all(fs, path, meta.size)),
        Kind::Directory => Content::Directory,
        Kind::Symlink => Content::Link(fs.read_link(path).unwrap_or_else(|e| panic!("{path}: {e:?}"))),
        Kind::Other => Content::Other,
    }
}

/// The tree as the adapter sees it, listed by pages of seven.
///
/// # Panics
/// If anything cannot be read, is listed twice, or is listed otherwise than `stat` has it.
pub fn from_adapter<F: FileSystem>(fs: &mut F) -> Files {
    let mut files = Files::new();
    let mut todo = vec![String::new()];
    while let Some(directory) = todo.pop() {
        let mut next = Some(0);
        while let Some(start) = next {
            let shown = if directory.is_empty() { "/" } else { &directory };
            let page = fs.entries(shown, start, 7).unwrap_or_else(|e| panic!("{shown}: {e:?}"));
            for entry in page.entries {
                let path = format!("{directory}/{}", entry.name);
                let meta = fs.stat(&path).unwrap_or_else(|e| panic!("{path}: {e:?}"));
                assert_eq!(entry.meta, Meta { attributes: Vec::new(), ..meta.clone() }, "{path}");
                if meta.kind == Kind::Directory {
                    todo.push(path.clone());
                }
                let node = Node::new(content(fs, &path, &meta), &meta);
                assert!(files.insert(path.clone(), node).is_none(), "{path} is listed twice");
            }
            next = page.next;
        }
    }
    files
}

/// The extended attributes of an object of this machine, sorted; none where there can be none.
///
/// # Panics
/// If one cannot be read.
pub fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 65536];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else { return Vec::new() };
    let mut attributes = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, name.as_str(), &mut value[..])
            .unwrap_or_else(|e| panic!("{name} of {}: {e}", path.display()));
        attributes.push((name, value[..length].to_vec()));
    }
    attributes.sort();
    attributes
}

fn walk(root: &Path, directory: &str, files: &mut Files) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root.join(directory.trim_start_matches('/')))? {
        let entry = entry?;
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        let meta = entry.metadata()?;
        let content = if meta.is_dir() {
            walk(root, &path, files)?;
            Content::Directory
        } else if meta.is_symlink() {
            Content::Link(std::fs::read_link(entry.path())?.to_string_lossy().into_owned())
        } else if meta.is_file() {
            Content::File(std::fs::read(entry.path()).unwrap_or_else(|e| panic!("{path}: {e}")))
        } else {
            Content::Other
        };
        let node = Node {
            content,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            mtime: meta.mtime(),
            id: meta.ino(),
            links: meta.nlink() as u32,
            attributes: Vec::new(),
        };
        files.insert(path, node);
    }
    Ok(())
}

/// The tree below a directory of this machine, for instance a mounted image; without [`attributes`].
///
/// # Panics
/// If it cannot be read.
pub fn from_directory(root: &Path) -> Files {
    let mut files = Files::new();
    walk(root, "", &mut files).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    files
}

/// Bytes by path; none for what is no file.
pub type Contents = BTreeMap<String, Option<Vec<u8>>>;

/// What the files hold, where nothing else counts.
pub fn contents(files: Files) -> Contents {
    files.into_iter().map(|(path, node)| (path, node.content.into_file())).collect()
}

/// Compares two trees, of whatever of their objects is to be the same.
///
/// # Panics
/// With the first difference.
pub fn assert_same<T: PartialEq + Debug>(
    left: &BTreeMap<String, T>,
    right: &BTreeMap<String, T>,
    what: &str,
) {
    let shown = |node: Option<&T>| format!("{node:?}").chars().take(1000).collect::<String>();
    for path in left.keys().chain(right.keys()) {
        let (a, b) = (left.get(path), right.get(path));
        assert!(a == b, "{what}: {path}: {} is not {}", shown(a), shown(b));
    }
}
