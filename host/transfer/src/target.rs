//! Names, locks and the rename: what makes a target appear only when it is complete.

use crate::held::{Held, Mark};
use crate::same::Same;
use crate::sink::{DiskSink, FileSink, Sink};
use crate::{Error, ErrorKind, Result};
use block::Disk;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where a disk goes.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A new file: written under a temporary name beside it and renamed when it is complete and flushed.
    New(&'a Path),
    /// An existing file or block device, overwritten in place. Until everything else is durable it begins with a mark
    /// (`is_incomplete`) instead of its first MiB, which waits in a file beside the checkpoint.
    Existing {
        /// What is overwritten.
        path: &'a Path,
        /// A file that this transfer makes, and removes at the end.
        checkpoint: &'a Path,
    },
    /// A disk that somebody else keeps, such as a server's export, overwritten in the same way.
    Disk {
        /// What is overwritten. It has to have room, and to flush.
        disk: &'a dyn Disk,
        /// What it is called in messages.
        name: &'a Path,
        /// As above.
        checkpoint: &'a Path,
    },
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for Target<'a> {
    fn from(path: &'a P) -> Self {
        Target::New(path.as_ref())
    }
}

/// The files behind a target.
pub(crate) struct Files<'a> {
    target: Target<'a>,
    /// What is written.
    path: PathBuf,
    device: bool,
    checkpoint: PathBuf,
    /// What is held back of an existing target.
    head: Option<PathBuf>,
    /// Locked until it is dropped.
    pub journal: File,
}

fn beside(target: &Path, what: &str) -> Result<PathBuf> {
    let none = || Error::new(ErrorKind::Io, format!("{} is no file name", target.display()));
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().ok_or_else(none)?);
    name.push(what);
    Ok(target.with_file_name(name))
}

fn open(path: &Path, options: &mut std::fs::OpenOptions) -> Result<File> {
    let opened = options.read(true).write(true).open(path);
    opened.map_err(|e| Error::io(format!("cannot open {} for writing", path.display()), e))
}

/// Whether it is a block device; an error if it is neither that nor a file.
fn is_device(path: &Path) -> Result<bool> {
    let found = path.metadata().map_err(|e| Error::io(format!("cannot overwrite {}", path.display()), e))?;
    let device = found.file_type().is_block_device();
    if !device && !found.is_file() {
        let what = format!("{} is neither a file nor a block device", path.display());
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    Ok(device)
}

impl<'a> Files<'a> {
    /// Opens and locks the checkpoint; nothing of the target is touched.
    pub fn lock(target: Target<'a>) -> Result<Self> {
        let (path, checkpoint) = match target {
            Target::New(path) => (beside(path, ".wherry-partial")?, beside(path, ".wherry-checkpoint")?),
            Target::Existing { path, checkpoint } => (path.to_path_buf(), checkpoint.to_path_buf()),
            Target::Disk { name, checkpoint, .. } => (name.to_path_buf(), checkpoint.to_path_buf()),
        };
        let device = match target {
            Target::New(new) if new.symlink_metadata().is_ok() && !checkpoint.exists() => {
                return Err(exists(new));
            }
            Target::New(_) => false,
            Target::Existing { path, .. } => is_device(path)?,
            Target::Disk { .. } => true,
        };
        let journal = open(&checkpoint, File::options().create(true).truncate(false))?;
        journal.try_lock().map_err(|e| match e {
            std::fs::TryLockError::WouldBlock => {
                let what =
                    format!("another process writes {}, {} is locked", path.display(), checkpoint.display());
                Error::new(ErrorKind::Busy, what)
            }
            std::fs::TryLockError::Error(e) => Error::io(format!("cannot lock {}", checkpoint.display()), e),
        })?;
        let head = match target {
            Target::New(_) => None,
            _ => Some(beside(&checkpoint, "-head")?),
        };
        Ok(Self { target, path, device, checkpoint, head, journal })
    }

    /// What is written, for messages.
    pub fn name(&self) -> &Path {
        &self.path
    }

    /// Fails if the target is there already, and leaves nothing behind then.
    pub fn refuse_existing(&self) -> Result<()> {
        match self.target {
            Target::New(target) if target.symlink_metadata().is_ok() => {
                if !self.path.exists() {
                    self.forget()?;
                }
                Err(exists(target))
            }
            _ => Ok(()),
        }
    }

    /// Whether an earlier run got as far as the complete target of `length` bytes.
    pub fn is_published(&self, length: u64) -> bool {
        match self.target {
            Target::New(target) => {
                target.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == length)
            }
            _ => true,
        }
    }

    /// Opens what is written; `fresh` cuts it to nothing, unless it is to be updated. Of an existing target nothing is touched
    /// from byte `end` on.
    pub fn open(&self, (fresh, update): (bool, bool), header: &[u8], end: u64) -> Result<Box<dyn Sink + 'a>> {
        let io = |e| Error::io(format!("cannot prepare {}", self.path.display()), e);
        let device = self.device;
        let file = match self.target {
            Target::New(_) => open(&self.path, File::options().create(true).truncate(false))?,
            // Exclusive: a device that is mounted or part of another is busy.
            Target::Existing { path, .. } => {
                let flags = if device { OFlags::EXCL.bits() as i32 } else { 0 };
                open(path, File::options().custom_flags(flags))?
            }
            Target::Disk { disk, .. } => return self.kept(DiskSink { disk }, (fresh, update), header, end),
        };
        if fresh && !device && !update {
            file.set_len(0).map_err(io)?;
        }
        // An updated file has its bytes and its length, as a device has.
        let resized = (fresh && !device && update).then(|| file.try_clone()).transpose().map_err(io)?;
        let sink = FileSink::new(file, &self.path, device || update).map_err(io)?;
        let sink = self.kept(sink, (fresh, update), header, end)?;
        // Only once it begins with the mark: an old copy that was cut off must not look whole.
        resized.map_or(Ok(()), |file| file.set_len(end)).map_err(io)?;
        Ok(sink)
    }

    fn kept<S: Sink + 'a>(
        &self,
        sink: S,
        (fresh, update): (bool, bool),
        header: &[u8],
        end: u64,
    ) -> Result<Box<dyn Sink + 'a>> {
        match update {
            true => self.hold(Same::new(sink), fresh, header, end),
            false => self.hold(sink, fresh, header, end),
        }
    }

    /// Holds the beginning back, if the target has old bytes.
    fn hold<S: Sink + 'a>(
        &self,
        sink: S,
        fresh: bool,
        header: &[u8],
        end: u64,
    ) -> Result<Box<dyn Sink + 'a>> {
        let Some(head) = &self.head else { return Ok(Box::new(sink)) };
        let io = |e| Error::io(format!("cannot prepare {}", self.path.display()), e);
        let head = open(head, File::options().create(true).truncate(false))?;
        let mark = Mark::new(header);
        if fresh {
            return Ok(Box::new(Held::begin(sink, head, end, &mark).map_err(io)?));
        }
        match Held::resume(sink, head, end, &mark).map_err(io)? {
            Some(held) => Ok(Box::new(held)),
            None => Err(self.another()),
        }
    }

    /// The error for a target that does not begin as this transfer left it.
    fn another(&self) -> Error {
        let (path, checkpoint) = (self.path.display(), self.checkpoint.display());
        let what = format!("{path} is not what the interrupted run wrote to, or was written to since");
        let next = format!("name the right device, or remove {checkpoint} to start afresh");
        Error::new(ErrorKind::Exists, format!("{what}; {next}"))
    }

    /// Whether there is something that a checkpoint could be about.
    pub fn has_content(&self) -> bool {
        let there = |path: &Path| path.metadata().is_ok_and(|meta| !meta.is_file() || meta.len() > 0);
        match self.target {
            Target::New(target) => there(&self.path) || there(target),
            Target::Existing { path, .. } => there(path),
            Target::Disk { .. } => true,
        }
    }

    /// Makes the complete target appear, durably, and removes the checkpoint.
    pub fn publish(&self) -> Result<()> {
        if let Target::New(target) = self.target {
            rename(&self.path, target).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => exists(target),
                _ => Error::io(format!("cannot rename {} to {}", self.path.display(), target.display()), e),
            })?;
        }
        self.forget()
    }

    /// Removes the checkpoint: the next run starts afresh, or there is none.
    pub fn forget(&self) -> Result<()> {
        let remove = |path: &PathBuf| match std::fs::remove_file(path) {
            Err(e) if path == &self.checkpoint || e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", path.display()), e))
            }
            _ => Ok(()),
        };
        self.head.iter().try_for_each(remove)?;
        remove(&self.checkpoint)
    }

    /// Adds which checkpoint it is to an error.
    pub fn name_checkpoint(&self, e: Error) -> Error {
        Error { context: format!("{} ({})", e.context, self.checkpoint.display()), ..e }
    }

    /// Removes a checkpoint that says nothing yet.
    pub fn forget_empty(&self) -> Result<()> {
        if self.journal.metadata().is_ok_and(|meta| meta.len() == 0) { self.forget() } else { Ok(()) }
    }

    /// Adds what helps to an error that says there is no room.
    pub fn explain(&self, e: Error) -> Error {
        if e.kind != ErrorKind::NoSpace {
            return e;
        }
        if self.device {
            return Error { context: format!("{}: take a larger device", e.context), ..e };
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let Ok(found) = rustix::fs::statvfs(folder) else { return e };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let next = "make room and repeat the command, it goes on from here";
        let context = format!("{}; {free} bytes are free in {}: {next}", e.context, folder.display());
        Error { context, ..e }
    }
}

fn exists(target: &Path) -> Error {
    Error::new(ErrorKind::Exists, format!("{} exists already: name another target", target.display()))
}

/// Renames without replacing, durably.
fn rename(partial: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, partial, CWD, target, RenameFlags::NOREPLACE) {
        // A filesystem without the flag: the check at the start has to do.
        Err(Errno::INVAL | Errno::NOSYS) if target.symlink_metadata().is_err() => {
            std::fs::rename(partial, target)?
        }
        other => other?,
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
