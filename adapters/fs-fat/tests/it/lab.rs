//! Images, the tools that make and check them, and trees of files to compare.

use fs_fat::Fat;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random};
use wherry_sdk::{FileSystem, Kind};

/// Contents by path; none is a directory.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// One image in a folder of its own.
pub struct Lab {
    pub folder: TempDir,
    pub image: PathBuf,
}

/// Every kind of table, several sizes of sectors and clusters: arguments of mkfs.vfat and KiB.
pub const SHAPES: [(&[&str], u64); 7] = [
    (&["-F", "12", "-s", "1"], 1000),
    (&["-F", "12", "-s", "8", "-r", "64", "-f", "1"], 8192),
    (&["-F", "16", "-s", "1"], 6000),
    (&["-F", "16", "-s", "4", "-S", "1024"], 40_000),
    (&["-F", "32", "-s", "1"], 36_000),
    (&["-F", "32", "-s", "4", "-f", "1"], 140_000),
    (&["-F", "32", "-s", "1", "-S", "4096"], 280_000),
];

impl Lab {
    /// An empty volume of this many KiB.
    pub fn new(arguments: &[&str], kib: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let image = folder.path().join("volume");
        std::fs::File::create(&image).unwrap().set_len(kib << 10).unwrap();
        run(Command::new("/usr/sbin/mkfs.vfat")
            .args(["-i", "5ee05ee0", "-n", "VOYAGE"])
            .args(arguments)
            .arg(&image));
        Self { folder, image }
    }

    /// Copies a tree onto the volume with mtools.
    pub fn fill(&self, tree: &Tree) {
        let source = self.folder.path().join("source");
        for (path, content) in tree {
            let path = source.join(&path[1..]);
            match content {
                None => std::fs::create_dir_all(path).unwrap(),
                Some(bytes) => {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, bytes).unwrap();
                }
            }
        }
        let mut top: Vec<PathBuf> = std::fs::read_dir(&source).unwrap().map(|e| e.unwrap().path()).collect();
        top.sort();
        run(mtools("mcopy").arg("-i").arg(&self.image).args(["-s", "-Q", "-m"]).args(top).arg("::/"));
    }

    /// Copies a tree onto the volume with the adapter, which also works where mtools takes a small FAT32 for a FAT12.
    pub fn fill_with_adapter(&self, tree: &Tree) {
        let (blob, mut fat) = self.mount();
        for (path, content) in tree {
            match content {
                None => fat.make_directory(path, None).unwrap(),
                Some(bytes) => fat.write(path, &MemoryBlob::new(bytes.clone()), None).unwrap(),
            }
        }
        self.apply(&blob, &mut fat);
    }

    /// A writable mount; its changes stay in memory until they are applied.
    pub fn mount(&self) -> (FileBlob, Fat) {
        let blob = FileBlob::open(&self.image).unwrap();
        (blob.clone(), Fat::mount(Box::new(blob), true).unwrap())
    }

    /// Writes the changes of a mount into the image.
    pub fn apply(&self, blob: &FileBlob, fat: &mut Fat) {
        fat.sync().unwrap();
        blob.apply(&self.image).unwrap();
    }

    /// fsck.fat finds nothing.
    pub fn assert_clean(&self) {
        run(Command::new("/usr/sbin/fsck.fat").arg("-n").arg(&self.image));
    }

    /// Everything on the volume as mtools reads it.
    pub fn read_with_mtools(&self) -> Tree {
        let target = self.folder.path().join("target");
        let _ = std::fs::remove_dir_all(&target);
        std::fs::create_dir(&target).unwrap();
        run(mtools("mcopy").arg("-i").arg(&self.image).args(["-s", "-n", "::/"]).arg(&target));
        let mut tree = Tree::new();
        walk_host(&target, &target, &mut tree);
        tree
    }
}

fn mtools(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("LC_ALL", "C.UTF-8").env("MTOOLS_SKIP_CHECK", "1").env("MTOOLSRC", "/dev/null");
    command
}

fn walk_host(top: &Path, at: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(top).unwrap().to_str().unwrap());
        if path.is_dir() {
            tree.insert(name, None);
            walk_host(top, &path, tree);
        } else {
            tree.insert(name, Some(std::fs::read(path).unwrap()));
        }
    }
}

/// Everything on the volume as the adapter reads it, in small pages and pieces.
pub fn walk(fat: &mut Fat, at: &str, tree: &mut Tree) {
    let mut start = Some(0);
    while let Some(cursor) = start {
        let page = fat.entries(at, cursor, 7).unwrap();
        start = page.next;
        for entry in page.entries {
            let path = format!("{}/{}", at.trim_end_matches('/'), entry.name);
            assert_eq!(fat.stat(&path).unwrap().id, entry.meta.id, "{path}");
            if entry.meta.kind == Kind::Directory {
                tree.insert(path.clone(), None);
                walk(fat, &path, tree);
            } else {
                let mut content = Vec::new();
                while (content.len() as u64) < entry.meta.size {
                    let piece = fat.read(&path, content.len() as u64, 100_000).unwrap();
                    assert!(!piece.is_empty());
                    content.extend(piece);
                }
                tree.insert(path, Some(content));
            }
        }
    }
}

/// Fails with the first difference instead of megabytes of bytes.
pub fn assert_same(found: &Tree, expected: &Tree) {
    let missing: Vec<&String> = expected.keys().filter(|path| !found.contains_key(*path)).collect();
    let surplus: Vec<&String> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
    for (path, content) in expected {
        assert!(found[path] == *content, "{path} differs");
    }
}

/// Bytes that compress badly.
pub fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next_u64() as u8).collect()
}

/// Runs a command that must succeed; its output.
pub fn run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; `cargo xtask test` installs it"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}
