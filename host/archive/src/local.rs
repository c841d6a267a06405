//! An archive in a directory.

use crate::store::{Object, Reader, Store};
use crate::{Error, ErrorKind, Result};
use block::ALIGN;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a half-written object's file is called.
const HALF: &str = ".half-";
/// Written past the page cache from this size on: the page cache would cost more than the disk.
const DIRECT_FROM: usize = 1 << 20;

/// A directory.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
}

impl Local {
    /// The directory may be missing: the first object makes it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn error(&self, what: &str, key: &str, e: &io::Error) -> Error {
        let path = self.path(key);
        let kind = if e.kind() == Io::NotFound { ErrorKind::Missing } else { ErrorKind::Store };
        let next = match e.kind() {
            Io::StorageFull => "; free some room and repeat the command, what is complete stays",
            Io::PermissionDenied => "; the archive's directory must be readable and, to write, writable",
            _ => "",
        };
        Error::new(kind, format!("cannot {what} {}: {e}{next}", path.display()))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<bool> {
        let folder = path.parent().unwrap_or(&self.root);
        make_folders(folder)?;
        let half = folder.join(format!("{HALF}{:016x}", RandomState::new().hash_one(path)));
        let done = write_file(&half, bytes).and_then(|()| publish(&half, path));
        if !matches!(done, Ok(true)) {
            let _gone = std::fs::remove_file(&half);
        }
        if done? {
            File::open(folder)?.sync_all()?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// Makes the folders that are missing, each durable in its parent.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folders(parent)?;
    match std::fs::create_dir(folder) {
        Err(e) if e.kind() != Io::AlreadyExists => return Err(e),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = File::options().write(true).create_new(true).open(path)?;
    let whole = if bytes.len() < DIRECT_FROM || !bytes.as_ptr().addr().is_multiple_of(ALIGN) {
        0
    } else {
        write_direct(path, &bytes[..bytes.len() - bytes.len() % ALIGN])?
    };
    file.write_all_at(&bytes[whole..], whole as u64)?;
    file.sync_all()
}

/// As much as the file system takes past the page cache.
fn write_direct(path: &Path, bytes: &[u8]) -> io::Result<usize> {
    let flags = OFlags::DIRECT.bits() as i32;
    let Ok(file) = File::options().write(true).custom_flags(flags).open(path) else { return Ok(0) };
    match file.write_all_at(bytes, 0) {
        // A file system that is stricter than others.
        Err(e) if e.kind() == Io::InvalidInput => Ok(0),
        done => done.map(|()| bytes.len()),
    }
}

/// Gives the file its name, unless another has it.
fn publish(half: &Path, path: &Path) -> io::Result<bool> {
    match renameat_with(CWD, half, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        // Not every file system knows that flag; a second link does the same.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match std::fs::hard_link(half, path) {
            Ok(()) => std::fs::remove_file(half).map(|()| true),
            Err(e) if e.kind() == Io::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        },
        Err(e) => Err(e.into()),
    }
}

impl Store for Local {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(key);
        if path.exists() {
            return Ok(false);
        }
        self.write(&path, bytes).map_err(|e| self.error("write", key, &e))
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        read_file(&self.path(key)).map_err(|e| self.error("open", key, &e))
    }

    fn list(&self, prefix: &str, tell: &mut dyn FnMut(Object)) -> Result<()> {
        self.walk(&self.path(prefix), &mut |path, meta| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let key = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            if let Some(key) = key.filter(|_| !name.starts_with(HALF.as_bytes())) {
                let modified = meta.modified()?;
                tell(Object { key: key.to_owned(), size: meta.len(), modified });
            }
            Ok(())
        })
        .map_err(|e| self.error("list", prefix, &e))
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        let remove = || match std::fs::remove_file(&path) {
            Err(e) if e.kind() == Io::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => File::open(path.parent().unwrap_or(&self.root))?.sync_all(),
        };
        remove().map_err(|e| self.error("remove", key, &e))
    }

    fn sweep(&self, before: SystemTime) -> Result<()> {
        self.walk(&self.root, &mut |path, meta| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(HALF.as_bytes()) && meta.modified()? < before {
                let _gone = std::fs::remove_file(path);
            }
            Ok(())
        })
        .map_err(|e| self.error("tidy", "", &e))
    }
}

impl Local {
    /// Every file below a folder; what vanishes meanwhile is passed over.
    fn walk(
        &self,
        folder: &Path,
        tell: &mut dyn FnMut(&Path, &std::fs::Metadata) -> io::Result<()>,
    ) -> io::Result<()> {
        let entries = match std::fs::read_dir(folder) {
            Err(e) if e.kind() == Io::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let told = match entry.metadata() {
                Ok(meta) if meta.is_dir() => self.walk(&entry.path(), tell),
                Ok(meta) if meta.is_file() => tell(&entry.path(), &meta),
                Ok(_) => Ok(()),
                Err(e) => Err(e),
            };
            match told {
                Err(e) if e.kind() == Io::NotFound => {}
                told => told?,
            }
        }
        Ok(())
    }
}

/// A file as an opened object.
pub(crate) fn read_file(path: &Path) -> io::Result<Box<dyn Reader>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(Box::new(LocalReader { file, path: path.into(), length }))
}

struct LocalReader {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Reader for LocalReader {
    fn length(&self) -> u64 {
        self.length
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|e| {
            let what =
                format!("cannot read {} bytes at {offset} of {}: {e}", buffer.len(), self.path.display());
            let kind = if e.kind() == Io::UnexpectedEof { ErrorKind::Corrupt } else { ErrorKind::Store };
            Error::new(kind, what)
        })
    }
}
