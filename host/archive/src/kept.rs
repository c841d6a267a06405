//! Copies of the index's segments on this machine: they never change, and are looked at page by page, again and again.

use crate::local::read_file;
use crate::store::Reader;
use crate::{Error, Result};
use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is kept.
pub(crate) const FOLDER: &str = "index/";
/// What a half-written copy's file is called.
const HALF: &str = ".half-";
/// Half-written copies that are older were left by a program that was killed.
const OLD: Duration = Duration::from_hours(24);

/// A store's copies; none are kept without a home.
pub(crate) struct Kept {
    folder: Option<PathBuf>,
}

impl Kept {
    /// `$XDG_CACHE_HOME/wherry/archive/HASH` (XDG Base Directory Specification).
    pub fn of(place: &str) -> Self {
        let set = |key| std::env::var_os(key).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        let name = blake3::hash(place.as_bytes()).to_hex();
        Self { folder: base.map(|base| base.join("wherry/archive").join(&name[..32])) }
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(key.strip_prefix(FOLDER)?))
    }

    pub fn open(&self, key: &str) -> Option<Box<dyn Reader>> {
        read_file(&self.path(key)?).ok()
    }

    /// A disk that is full must not stop anybody: then the copy is in memory.
    pub fn keep(&self, key: &str, bytes: Vec<u8>) -> Box<dyn Reader> {
        let kept = self.path(key).and_then(|path| {
            write(&path, &bytes).ok()?;
            read_file(&path).ok()
        });
        kept.unwrap_or_else(|| Box::new(Memory { key: key.into(), bytes }))
    }

    /// Segments that are gone need no copy.
    pub fn forget_all_but(&self, names: &HashSet<String>) {
        let entries = self.folder.as_ref().and_then(|folder| std::fs::read_dir(folder).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            let half = name.starts_with(HALF);
            if half && age().is_some_and(|age| age > OLD) || !half && !names.contains(&name) {
                let _gone = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let half = folder.join(format!("{HALF}{:016x}", RandomState::new().hash_one(path)));
    let done = (|| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&half)?;
        file.write_all(bytes)?;
        // Without it a copy may have its name and no bytes when the power comes back.
        file.sync_all()?;
        std::fs::rename(&half, path)
    })();
    if done.is_err() {
        let _gone = std::fs::remove_file(&half);
    }
    done
}

struct Memory {
    key: String,
    bytes: Vec<u8>,
}

impl Reader for Memory {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = self.bytes.get(start..start.saturating_add(buffer.len()));
        let part = part.ok_or_else(|| Error::corrupt(format!("{} ends before byte {offset}", self.key)))?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}
