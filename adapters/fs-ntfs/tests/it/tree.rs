//! Trees of files: the model that everything is compared with, read through the adapter and through a directory.

use fs_ntfs::Ntfs;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use wherry_sdk::testing::Random;
use wherry_sdk::{FileSystem, Kind, Meta, READ_MOST};

/// What an object holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    File(Vec<u8>),
    Directory,
    Link(String),
    Other,
}

impl std::fmt::Debug for Content {
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

/// An object. Directories have no link count that both sides agree on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub content: Content,
    pub mtime: i64,
    pub links: u32,
    pub id: u64,
}

/// Objects by absolute path.
pub type Tree = BTreeMap<String, Node>;

/// Bytes that depend on a seed.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Reads a whole file through the adapter, in uneven pieces.
pub fn read_all(fs: &mut Ntfs, path: &str, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let piece = fs.read(path, bytes.len() as u64, READ_MOST - 777).unwrap();
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    assert_eq!(bytes.len() as u64, size, "{path}");
    bytes
}

fn node(fs: &mut Ntfs, path: &str, meta: Meta) -> Node {
    let content = match meta.kind {
        Kind::File => Content::File(read_all(fs, path, meta.size)),
        Kind::Directory => Content::Directory,
        Kind::Symlink => Content::Link(fs.read_link(path).unwrap()),
        Kind::Other => Content::Other,
    };
    // ntfs-3g counts a short name as one more.
    let short = meta.attributes.iter().any(|(name, _)| name == "ntfs.short-name");
    let links = if meta.kind == Kind::File { meta.links + u32::from(short) } else { 1 };
    Node { content, mtime: meta.mtime, links, id: meta.id }
}

/// The tree as the adapter sees it.
pub fn from_adapter(fs: &mut Ntfs) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![String::new()];
    while let Some(directory) = todo.pop() {
        let mut next = Some(0);
        while let Some(start) = next {
            let shown = if directory.is_empty() { "/" } else { &directory };
            let page = fs.entries(shown, start, 100).unwrap();
            for entry in page.entries {
                let path = format!("{directory}/{}", entry.name);
                let meta = fs.stat(&path).unwrap();
                let listed = Meta { attributes: meta.attributes.clone(), ..entry.meta };
                assert_eq!(format!("{listed:?}"), format!("{meta:?}"), "{path}");
                if meta.kind == Kind::Directory {
                    todo.push(path.clone());
                }
                let node = node(fs, &path, meta);
                assert!(tree.insert(path.clone(), node).is_none(), "{path} is listed twice");
            }
            next = page.next;
        }
    }
    tree
}

fn walk(root: &Path, directory: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(root.join(directory.trim_start_matches('/'))).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        let meta = entry.metadata().unwrap();
        let content = if meta.is_dir() {
            walk(root, &path, tree);
            Content::Directory
        } else if meta.is_symlink() {
            Content::Link(std::fs::read_link(entry.path()).unwrap().to_str().unwrap().into())
        } else if meta.is_file() {
            Content::File(std::fs::read(entry.path()).unwrap_or_else(|error| panic!("{path}: {error}")))
        } else {
            Content::Other
        };
        let links = if meta.is_file() { meta.nlink() as u32 } else { 1 };
        tree.insert(path, Node { content, mtime: meta.mtime(), links, id: meta.ino() });
    }
}

/// The tree below a directory of this machine, for instance a mounted image.
pub fn from_directory(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, "", &mut tree);
    tree
}

/// Compares two trees and names the first difference.
pub fn assert_same<T: PartialEq + std::fmt::Debug>(
    left: &BTreeMap<String, T>,
    right: &BTreeMap<String, T>,
    what: &str,
) {
    for path in left.keys().chain(right.keys()) {
        let (a, b) = (left.get(path), right.get(path));
        assert!(a == b, "{what}: {path}: {a:?} is not {b:?}");
    }
}
