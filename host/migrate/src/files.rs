//! Single files of a guest, read through the file system adapters, without mounting anything.

use crate::plan::inspect;
use crate::tree::Tree;
use crate::{Error, Result};
use runtime::contract::{Kind, Meta};
use runtime::{Adapters, Tree as _};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are read at once.
const PIECE: u32 = 1 << 20;

/// A guest's files.
pub struct Files {
    tree: Arc<Mutex<Tree>>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name in the directory.
    pub name: String,
    /// file, directory, symlink ...
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970-01-01 UTC.
    pub modified: i64,
    /// Where a symlink points to.
    pub target: Option<String>,
}

fn told<T>(answer: runtime::Answer<T>, path: &str) -> Result<T> {
    answer.map_err(|e| Error::failed(format!("{path}: {}", e.message)))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::Other => "other",
    }
}

impl Files {
    /// The files of the system on these disks, or of one volume (`mbr:1`, `lvm:vg/root`) alone.
    pub fn open(
        disks: &[String],
        keys: &[String],
        volume: Option<&str>,
        adapters: &Adapters,
    ) -> Result<Self> {
        let found = inspect(disks, keys, adapters)?;
        if let Some(volume) = volume {
            let tree = found.machine.tree(adapters);
            told(lock(&tree).mount(volume, "/"), volume)?;
            return Ok(Self { tree });
        }
        let volumes = found.machine.devices.iter().filter(|device| device.driver.is_some());
        let volumes: Vec<&str> = volumes.map(|device| device.volume.id.as_str()).collect();
        match &found.system {
            Some(_) => Ok(Self { tree: found.tree() }),
            None => Err(Error::failed(format!(
                "no adapter knows an operating system here; say --volume with one of: {}",
                volumes.join(", ")
            ))),
        }
    }

    /// A directory's entries by name, or the one that is no directory.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>> {
        let mut tree = lock(&self.tree);
        let canonical = told(tree.canonical(path), path)?;
        let meta = told(tree.stat(&canonical), path)?;
        if meta.kind != Kind::Directory {
            return Ok(vec![entry(&mut tree, path, "", &meta)]);
        }
        let mut list = told(tree.entries(&canonical), path)?;
        list.sort_by(|a, b| a.name.cmp(&b.name));
        let real = list.iter().filter(|each| each.name != "." && each.name != "..");
        Ok(real.map(|each| entry(&mut tree, &canonical, &each.name, &each.meta)).collect())
    }

    /// Copies a file into a new one, or a directory with everything in it into a new directory; bytes written. Owners and
    /// permissions are not carried over; links are kept as links, and what is neither file nor directory is passed over.
    pub fn copy(&self, path: &str, to: &Path) -> Result<u64> {
        let canonical = told(lock(&self.tree).canonical(path), path)?;
        let io = |e| Error::failed(format!("cannot write {}: {e}", to.display()));
        if to.symlink_metadata().is_ok() {
            return Err(Error::failed(format!("{} exists already", to.display())));
        }
        let meta = told(lock(&self.tree).stat(&canonical), path)?;
        match meta.kind {
            Kind::File => self.copy_file(&canonical, to, meta.size),
            Kind::Directory => self.copy_directory(&canonical, to),
            Kind::Symlink => {
                let target = told(lock(&self.tree).read_link(&canonical), path)?;
                std::os::unix::fs::symlink(target, to).map(|()| 0).map_err(io)
            }
            Kind::Other => Err(Error::failed(format!("{path} is neither file, directory nor link"))),
        }
    }

    fn copy_directory(&self, path: &str, to: &Path) -> Result<u64> {
        std::fs::create_dir(to).map_err(|e| Error::failed(format!("cannot make {}: {e}", to.display())))?;
        let mut written = 0;
        let mut pending = vec![(path.to_owned(), to.to_path_buf())];
        while let Some((from, into)) = pending.pop() {
            let entries = told(lock(&self.tree).entries(&from), &from)?;
            for each in entries {
                // A guest chooses its names: one that is more than a name could leave the directory.
                if matches!(each.name.as_str(), "" | "." | "..") || each.name.contains(['/', '\0']) {
                    continue;
                }
                let (path, to) =
                    (format!("{}/{}", from.trim_end_matches('/'), each.name), into.join(&each.name));
                let io = |e| Error::failed(format!("cannot make {}: {e}", to.display()));
                match each.meta.kind {
                    Kind::Directory => {
                        std::fs::create_dir(&to).map_err(io)?;
                        pending.push((path, to));
                    }
                    Kind::File => written += self.copy_file(&path, &to, each.meta.size)?,
                    Kind::Symlink => {
                        let target = told(lock(&self.tree).read_link(&path), &path)?;
                        std::os::unix::fs::symlink(target, &to).map_err(io)?;
                    }
                    Kind::Other => tracing::warn!("{path} is neither file, directory nor link; passed over"),
                }
            }
        }
        Ok(written)
    }

    fn copy_file(&self, path: &str, to: &Path, size: u64) -> Result<u64> {
        let io = |e| Error::failed(format!("cannot write {}: {e}", to.display()));
        let mut file = std::fs::File::create_new(to).map_err(io)?;
        let mut at = 0;
        while at < size {
            let bytes = told(lock(&self.tree).read(path, at, PIECE), path)?;
            if bytes.is_empty() {
                return Err(Error::failed(format!("{path} ends at byte {at} of {size}")));
            }
            file.write_all(&bytes).map_err(io)?;
            at += bytes.len() as u64;
        }
        file.sync_all().map_err(io)?;
        Ok(at)
    }
}

fn lock(tree: &Arc<Mutex<Tree>>) -> std::sync::MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entry(tree: &mut Tree, folder: &str, name: &str, meta: &Meta) -> Entry {
    let path =
        if name.is_empty() { folder.to_owned() } else { format!("{}/{name}", folder.trim_end_matches('/')) };
    let target = (meta.kind == Kind::Symlink).then(|| tree.read_link(&path).ok()).flatten();
    Entry {
        name: if name.is_empty() { path.rsplit('/').next().unwrap_or_default().into() } else { name.into() },
        kind: kind(meta.kind).into(),
        size: meta.size,
        mode: meta.mode,
        owner: (meta.uid, meta.gid),
        modified: meta.mtime,
        target,
    }
}
