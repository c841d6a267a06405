//! Names, locks and the rename: what makes a target appear only when it is complete.

use crate::held::{Held, Mark};
use crate::layout::Part;
use crate::parts::{Parts, allow_handles};
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

/// A file in the making.
struct New {
    partial: PathBuf,
    path: PathBuf,
    /// The offset that is its first byte.
    start: u64,
}

impl New {
    fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Whether it has its name already, and this many bytes.
    fn is_published(&self, length: u64) -> bool {
        let right = |meta: std::fs::Metadata| meta.is_file() && meta.len() == length;
        !self.partial.exists() && self.path.symlink_metadata().is_ok_and(right)
    }

    /// Whether a checkpoint could be about it.
    fn has_content(&self) -> bool {
        has_content(&self.partial) || has_content(&self.path)
    }

    fn open(&self) -> Result<File> {
        open(&self.partial, File::options().create(true).truncate(false))
    }

    /// Renames without replacing; `earlier`: its bytes, if an earlier run may have done so.
    fn publish(&self, earlier: Option<&u64>) -> Result<()> {
        if earlier.is_some_and(|length| self.is_published(*length)) {
            return Ok(());
        }
        rename(&self.partial, &self.path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.path),
            io::ErrorKind::NotFound if self.is_there() => exists(&self.path),
            _ => {
                let (partial, path) = (self.partial.display(), self.path.display());
                Error::io(format!("cannot rename {partial} to {path}"), e)
            }
        })
    }

    /// Makes names durable.
    fn sync_folder(&self) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| Error::io(format!("cannot flush {}", folder.display()), e))
    }
}

fn has_content(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| !meta.is_file() || meta.len() > 0)
}

/// The files behind a target.
pub(crate) struct Files<'a> {
    target: Target<'a>,
    /// The parts of a new target, then its own file, which appears last.
    new: Vec<New>,
    /// What is written.
    path: PathBuf,
    device: bool,
    checkpoint: PathBuf,
    /// What is held back of an existing target.
    head: Option<PathBuf>,
    /// Locked until it is dropped.
    pub journal: File,
}

const PARTIAL: &str = ".wherry-partial";

/// The parts and the target's own file; all temporary names are the target's, and guarded by its lock.
fn new_files(own: &Path, partial: &Path, parts: &[Part]) -> Result<Vec<New>> {
    let part = |(number, part): (usize, &Part)| {
        let partial = beside(own, &format!("{PARTIAL}-{}", number + 1))?;
        Ok(New { partial, path: own.with_file_name(&part.name), start: part.start })
    };
    let mut new: Vec<New> = parts.iter().enumerate().map(part).collect::<Result<_>>()?;
    new.push(New { partial: partial.into(), path: own.into(), start: 0 });
    Ok(new)
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
    pub fn lock(target: Target<'a>, parts: &[Part]) -> Result<Self> {
        let (path, checkpoint) = match target {
            Target::New(path) => (beside(path, PARTIAL)?, beside(path, ".wherry-checkpoint")?),
            Target::Existing { path, checkpoint } => (path.to_path_buf(), checkpoint.to_path_buf()),
            Target::Disk { name, checkpoint, .. } => (name.to_path_buf(), checkpoint.to_path_buf()),
        };
        let new = match target {
            Target::New(own) => new_files(own, &path, parts)?,
            _ if parts.is_empty() => Vec::new(),
            _ => {
                let what = format!("{} is one disk, and the format writes several files", path.display());
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
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
        Ok(Self { target, new, path, device, checkpoint, head, journal })
    }

    /// What is written, for messages.
    pub fn name(&self) -> &Path {
        &self.path
    }

    /// Fails if the target or a part of it is there already, and leaves nothing behind then.
    pub fn refuse_existing(&self) -> Result<()> {
        let Some(there) = self.new.iter().find(|new| new.is_there()) else { return Ok(()) };
        if !self.path.exists() {
            self.forget()?;
        }
        Err(exists(&there.path))
    }

    /// Opens what is written; `fresh` cuts it to nothing, unless it is to be updated. Of an existing target nothing is touched
    /// from byte `end` on.
    pub fn open(&self, (fresh, update): (bool, bool), header: &[u8], end: u64) -> Result<Box<dyn Sink + 'a>> {
        let io = |e| Error::io(format!("cannot prepare {}", self.path.display()), e);
        let device = self.device;
        let file = match self.target {
            Target::New(own) => {
                if fresh {
                    self.remove_parts_of_others(own)?;
                }
                match self.new.as_slice() {
                    [own] => own.open()?,
                    _ => return self.open_parts(fresh),
                }
            }
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

    /// Another transfer to this target, which is forgotten, may have had more parts.
    fn remove_parts_of_others(&self, own: &Path) -> Result<()> {
        for number in self.new.len().. {
            let part = beside(own, &format!("{PARTIAL}-{number}"))?;
            match std::fs::remove_file(&part) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                Err(e) => return Err(Error::io(format!("cannot remove {}", part.display()), e)),
            }
        }
        Ok(())
    }

    /// A fresh file has a byte at once, so that one that is missing is noticed; by then the checkpoint tells nothing.
    fn open_parts(&self, fresh: bool) -> Result<Box<dyn Sink + 'a>> {
        let io = |e| Error::io(format!("cannot prepare {}", self.path.display()), e);
        if fresh {
            self.journal.set_len(0).and_then(|()| self.journal.sync_data()).map_err(io)?;
        }
        allow_handles(self.new.len());
        let mut files = Vec::new();
        for new in &self.new {
            let file = new.open()?;
            if fresh {
                file.set_len(0).and_then(|()| file.set_len(1)).map_err(io)?;
            }
            files.push((new.start, FileSink::new(file, &new.partial, false).map_err(io)?));
        }
        // The target's own, whose start is 0.
        files.rotate_right(1);
        Ok(Box::new(Parts::new(files)))
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
        match self.target {
            Target::New(_) => self.new.iter().all(New::has_content),
            Target::Existing { path, .. } => has_content(path),
            Target::Disk { .. } => true,
        }
    }

    /// Makes the complete target appear, durably, and removes the checkpoint. `earlier`: bytes of the parts and of the
    /// target's own file, if an earlier run may have done this for some of them.
    pub fn publish(&self, earlier: &[u64]) -> Result<()> {
        let Some((own, parts)) = self.new.split_last() else { return self.forget() };
        for (number, part) in parts.iter().enumerate() {
            part.publish(earlier.get(number))?;
        }
        if !parts.is_empty() {
            own.sync_folder()?;
        }
        own.publish(earlier.get(parts.len()))?;
        own.sync_folder()?;
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

/// Renames without replacing.
fn rename(partial: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, partial, CWD, target, RenameFlags::NOREPLACE) {
        // A filesystem without the flag: the check at the start has to do.
        Err(Errno::INVAL | Errno::NOSYS) if target.symlink_metadata().is_err() => {
            std::fs::rename(partial, target)?
        }
        other => other?,
    }
    Ok(())
}
