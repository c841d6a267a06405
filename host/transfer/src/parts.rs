//! A target of several files: one space of offsets, cut where each part begins.

use crate::sink::{FileSink, Sink};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One of the files; all of them are new.
struct Piece {
    start: u64,
    file: FileSink,
    /// Something was written since the last flush: there may be a thousand files, of which one is written.
    changed: AtomicBool,
}

/// Handles of a part, and those that everything else needs.
const HANDLES: u64 = 2;
const OTHER_HANDLES: u64 = 256;

/// Lets this process open so many parts: the usual limit is 1024 files, and the system allows more to who asks.
pub(crate) fn allow_handles(parts: usize) {
    let needed = HANDLES * parts as u64 + OTHER_HANDLES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = limit.maximum.map_or(needed, |most| most.min(needed));
        // Where it cannot be, opening says so.
        let _ignored = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    }
}

/// The target's own file and its parts, by their starts.
pub(crate) struct Parts(Vec<Piece>);

impl Parts {
    /// `files`, each with its start: the target's own at 0 comes first, then its parts.
    pub fn new(files: impl IntoIterator<Item = (u64, FileSink)>) -> Self {
        let piece = |(start, file)| Piece { start, file, changed: AtomicBool::new(true) };
        Self(files.into_iter().map(piece).collect())
    }

    /// The file that holds a range, and the offset in it.
    fn at(&self, offset: u64, length: usize) -> io::Result<(&Piece, u64)> {
        let next = self.0.partition_point(|piece| piece.start <= offset);
        let end = self.0.get(next).map_or(u64::MAX, |piece| piece.start);
        let piece = next.checked_sub(1).and_then(|at| self.0.get(at));
        let whole = offset.checked_add(length as u64).is_some_and(|to| to <= end);
        let piece = piece.filter(|_| whole).ok_or_else(|| {
            io::Error::other(format!("{length} bytes at {offset} are not within one of the files"))
        })?;
        Ok((piece, offset - piece.start))
    }
}

impl Sink for Parts {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (piece, offset) = self.at(offset, bytes.len())?;
        piece.file.write_at(bytes, offset)?;
        // Only now: a flush that runs meanwhile need not have seen these bytes.
        piece.changed.store(true, Relaxed);
        Ok(())
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let next = self.0.partition_point(|piece| piece.start <= at);
            let stop = self.0.get(next).map_or(end, |piece| piece.start.min(end));
            let (piece, offset) = self.at(at, (stop - at) as usize)?;
            piece.file.zero(offset, stop - at)?;
            at = stop;
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (piece, offset) = self.at(offset, buffer.len())?;
        piece.file.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0
            .iter()
            .filter(|piece| piece.changed.swap(false, Relaxed))
            .try_for_each(|piece| piece.file.sync().inspect_err(|_| piece.changed.store(true, Relaxed)))
    }

    fn set_lengths(&self, parts: &[u64]) -> io::Result<()> {
        let pieces = self.0.get(1..).unwrap_or_default();
        if pieces.len() != parts.len() {
            return Err(io::Error::other(format!("{} lengths for {} files", parts.len(), pieces.len())));
        }
        for (piece, length) in pieces.iter().zip(parts) {
            piece.file.finish(*length)?;
            piece.changed.store(false, Relaxed);
        }
        Ok(())
    }

    /// The parts have their lengths.
    fn finish(&self, length: u64) -> io::Result<()> {
        self.sync()?;
        self.0.first().map_or(Ok(()), |own| own.file.finish(length))
    }
}
