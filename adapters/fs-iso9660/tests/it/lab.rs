//! Disks from a directory of files.

use fs_iso9660::Iso;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{FileSystem, Kind, READ_MOST};

/// Files by path; none is a directory.
pub type Files = BTreeMap<String, Option<Vec<u8>>>;

/// A directory with files, and images beside it.
pub struct Lab {
    directory: TempDir,
}

impl Lab {
    pub fn new(files: &Files) -> Self {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        for (path, content) in files {
            let path = root.join(path.trim_start_matches('/'));
            match content {
                Some(bytes) => {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, bytes).unwrap();
                }
                None => std::fs::create_dir_all(path).unwrap(),
            }
        }
        Self { directory }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// An image by `genisoimage` or `xorrisofs`.
    pub fn image(&self, program: &str, options: &[&str]) -> Vec<u8> {
        let image = self.directory.path().join("image.iso");
        let mut command = Command::new(program);
        command.args(["-quiet", "-V", "DRIVERS 1", "-o"]).arg(&image).args(options).arg(self.root());
        let output = command.output().unwrap_or_else(|e| panic!("{program}: {e}"));
        assert!(
            output.status.success(),
            "{program} {options:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::read(image).unwrap()
    }

    /// What xorriso reads of an image.
    pub fn by_xorriso(&self, image: &[u8]) -> Files {
        let (path, out) = (self.directory.path().join("other.iso"), self.directory.path().join("out"));
        std::fs::write(&path, image).unwrap();
        let _ = std::fs::remove_dir_all(&out);
        let mut command = Command::new("/usr/bin/xorriso");
        command.args(["-osirrox", "on", "-indev"]).arg(&path).args(["-extract", "/"]).arg(&out);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Command::new("/bin/chmod").args(["-R", "u+rwx"]).arg(&out).status().unwrap();
        let mut files = Files::new();
        collect(&out, &out, &mut files);
        files
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if path.is_dir() {
            files.insert(name, None);
            collect(root, &path, files);
        } else {
            files.insert(name, Some(std::fs::read(&path).unwrap()));
        }
    }
}

pub fn mount(image: &[u8]) -> Iso {
    Iso::mount(Box::new(MemoryBlob::read_only(image)), false).unwrap()
}

/// All of a disk, by pages of seven entries.
pub fn walk(iso: &mut Iso) -> Files {
    let (mut files, mut pending) = (Files::new(), vec![String::new()]);
    while let Some(folder) = pending.pop() {
        let mut start = Some(0);
        while let Some(from) = start {
            let page = iso.entries(if folder.is_empty() { "/" } else { &folder }, from, 7).unwrap();
            for entry in page.entries {
                let path = format!("{folder}/{}", entry.name);
                assert_eq!(iso.stat(&path).unwrap(), entry.meta, "{path}");
                let content = (entry.meta.kind == Kind::File).then(|| content(iso, &path, entry.meta.size));
                if entry.meta.kind == Kind::Directory {
                    pending.push(path.clone());
                }
                assert!(files.insert(path, content).is_none());
            }
            start = page.next;
        }
    }
    files
}

fn content(iso: &mut Iso, path: &str, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let piece = iso.read(path, bytes.len() as u64, READ_MOST).unwrap();
        assert!(!piece.is_empty());
        bytes.extend(piece);
    }
    assert!(iso.read(path, size, 10).unwrap().is_empty());
    bytes
}
