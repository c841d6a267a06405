//! Where bytes go: a file, a block device, or a disk that somebody else keeps.

use crate::engine::lock;
use crate::layout::MIB;
use block::{ALIGN, Buffer, Disk, Kind};
use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Random-access bytes to be written, by several threads at once.
pub(crate) trait Sink: Sync {
    /// Writes all of `bytes`, making room where it is needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Where the kernel can be asked to write these bytes: a file that takes them past the page cache, with room for them,
    /// and an offset in it. None for bytes, or for a sink, that need `write_at`.
    fn lend(&self, _bytes: &[u8], _offset: u64) -> io::Result<Option<(BorrowedFd<'_>, u64)>> {
        Ok(None)
    }
    /// Whether that can be had for most bytes.
    fn lends(&self) -> bool {
        false
    }
    /// Makes a range that was not written in this transfer read as zeroes.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Fills the buffer as far as there are bytes, from the medium if that can be had.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Whether ranges that this transfer did not write may hold something else than zeroes.
    fn holds_old_bytes(&self) -> bool {
        false
    }
    /// Bytes that were truly written, where that is fewer than were given.
    fn written(&self) -> Option<u64> {
        None
    }
    /// Makes everything durable that was written before the call.
    fn sync(&self) -> io::Result<()>;
    /// The complete parts have these many bytes, durably; called before `finish`, nothing for a target of one file.
    fn set_lengths(&self, _parts: &[u64]) -> io::Result<()> {
        Ok(())
    }
    /// The complete target has this many bytes.
    fn finish(&self, length: u64) -> io::Result<()>;
}

/// A file grows ahead of what is written by this much, since direct writes beyond the end exclude each other.
const AHEAD: u64 = 64 * MIB;

/// How a file has grown.
#[derive(Default)]
struct Growth {
    /// Where the write ended that made it grow last, and what had been written by then.
    end: u64,
    written: u64,
    /// Before this byte there may be blocks that nothing was written to.
    granted: u64,
    /// The end of the last hole that was passed over.
    passed: u64,
}

impl Growth {
    /// Whether nearly all was written that the file grew by, and no hole is known to follow `end`.
    fn is_dense(&self, end: u64, written: u64) -> bool {
        let (grown, written) = (end.saturating_sub(self.end), written.saturating_sub(self.written));
        grown >= AHEAD && written >= grown / 8 * 7 && self.passed < end
    }
}

/// A regular file or a block device.
pub(crate) struct FileSink {
    file: File,
    /// Past the page cache: half the processor time of buffered writes, and no wait for a late flush. Only for aligned
    /// ranges, and only where the filesystem can.
    direct: Option<File>,
    device: bool,
    length: AtomicU64,
    /// Bytes given to be written.
    written: AtomicU64,
    growth: Mutex<Growth>,
}

impl FileSink {
    /// `file` is what is open for reading and writing at `path`.
    pub fn new(file: File, path: &Path, device: bool) -> io::Result<Self> {
        let flags = OFlags::DIRECT.bits() as i32;
        let direct = File::options().read(true).write(true).custom_flags(flags).open(path).ok();
        let length = AtomicU64::new(file.metadata()?.len());
        let (written, growth) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { file, direct, device, length, written, growth })
    }

    /// Makes room for a write. Blocks that are there already are written to side by side, a sixth faster than where each
    /// write has to find its own: a file without holes gets them ahead.
    fn grow(&self, offset: u64, end: u64) -> io::Result<()> {
        if self.device {
            return Ok(());
        }
        let written = self.written.fetch_add(end - offset, Relaxed) + (end - offset);
        if end <= self.length.load(Relaxed) {
            return Ok(());
        }
        let mut growth = lock(&self.growth);
        if end > self.length.load(Relaxed) {
            let ahead = end.saturating_add(AHEAD).min(i64::MAX as u64);
            let allocate = || fallocate(&self.file, FallocateFlags::empty(), offset, ahead - offset);
            if growth.is_dense(end, written) && allocate().is_ok() {
                growth.granted = ahead;
            }
            // Where the limit of file sizes is near, to the byte.
            let grown =
                self.file.set_len(ahead).map(|()| ahead).or_else(|_| self.file.set_len(end).map(|()| end))?;
            self.length.store(grown, Relaxed);
            (growth.end, growth.written) = (end, written);
        }
        Ok(())
    }

    /// A range is a hole for good: it gives back the blocks that were made ahead.
    fn give_back(&self, offset: u64, length: u64) {
        let granted = {
            let mut growth = lock(&self.growth);
            growth.passed = growth.passed.max(offset.saturating_add(length));
            growth.granted
        };
        if offset < granted {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // They read as zeroes in any case.
            let _ignored = fallocate(&self.file, how, offset, length);
        }
    }

    fn direct_for(&self, bytes: &[u8], offset: u64) -> Option<&File> {
        let aligned = bytes.as_ptr().addr() | bytes.len() | offset as usize;
        self.direct.as_ref().filter(|_| aligned.is_multiple_of(ALIGN))
    }
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

impl Sink for FileSink {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.grow(offset, offset.saturating_add(bytes.len() as u64))?;
        if let Some(direct) = self.direct_for(bytes, offset) {
            match direct.write_all_at(bytes, offset) {
                // A device or filesystem that is stricter than others.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => {}
                done => return done,
            }
        }
        self.file.write_all_at(bytes, offset)
    }

    fn lend(&self, bytes: &[u8], offset: u64) -> io::Result<Option<(BorrowedFd<'_>, u64)>> {
        let Some(direct) = self.direct_for(bytes, offset) else { return Ok(None) };
        self.grow(offset, offset.saturating_add(bytes.len() as u64))?;
        Ok(Some((direct.as_fd(), offset)))
    }

    fn lends(&self) -> bool {
        self.direct.is_some()
    }

    /// A file is new or was cut to nothing: what was not written are holes.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        if !self.device {
            self.give_back(offset, length);
            return Ok(());
        }
        let keep = FallocateFlags::KEEP_SIZE;
        for how in [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE] {
            if fallocate(&self.file, how | keep, offset, length).is_ok() {
                return Ok(());
            }
        }
        let zeroes = Buffer::new(MIB as usize);
        let mut at = offset;
        while at < offset + length {
            let take = MIB.min(offset + length - at);
            self.write_at(&zeroes[..take as usize], at)?;
            at += take;
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(direct) = self.direct_for(buffer, offset) {
            // Short at the end of the file, where a direct read cannot go on: the rest is read below.
            let read = direct.read_at(buffer, offset);
            if read.is_ok_and(|read| read == buffer.len()) {
                return Ok(buffer.len());
            }
        }
        read_full(&self.file, buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn finish(&self, length: u64) -> io::Result<()> {
        if !self.device {
            self.file.set_len(length)?;
        }
        self.file.sync_all()?;
        // Clean pages go, so that what is read back comes from the medium; a filesystem may ignore it.
        let _ignored = fadvise(&self.file, 0, None, Advice::DontNeed);
        Ok(())
    }
}

/// A disk that somebody else keeps.
pub(crate) struct DiskSink<'a> {
    pub disk: &'a dyn Disk,
}

fn system(e: block::Error) -> io::Error {
    e.source.unwrap_or_else(|| io::Error::other(e.context))
}

impl Sink for DiskSink<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write_at(offset, bytes).map_err(system)
    }

    /// What the disk says is zero stays as it is: unallocated, if it was.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let extents = self.disk.extents(offset, length).map_err(system)?;
        let mut old = extents.iter().filter(|extent| extent.kind == Kind::Data);
        old.try_for_each(|extent| self.disk.zero(extent.offset, extent.length)).map_err(system)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = self.disk.length().saturating_sub(offset).min(buffer.len() as u64) as usize;
        self.disk.read_at(offset, &mut buffer[..there]).map_err(system)?;
        Ok(there)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.flush().map_err(system)
    }

    fn finish(&self, _: u64) -> io::Result<()> {
        self.sync()
    }
}
