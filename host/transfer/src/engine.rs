//! Workers claim chunks, read, hash, drop zeroes, have the rest placed and write it.

use crate::journal::{self, Record};
use crate::{Codec, Ending, Error, ErrorKind, Layout, Result, Shape, Unit};
use block::{Disk, Kind, is_zero};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is hashed, recorded and claimed at once.
pub(crate) const CHUNK: u64 = 1 << 20;
/// A worker's share of the memory: its buffer, and as much again for the journal's queue.
const WORKER: u64 = 2 * CHUNK;
const PAGES_MOST: u32 = 1 << 20;

/// How to transfer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workers; at least one.
    pub threads: usize,
    /// Bytes that buffers may take; bounds the workers.
    pub memory: u64,
    /// Read back what was placed and compare.
    pub verify: bool,
    /// Bytes of the source per second.
    pub limit_rate: Option<u64>,
    /// What makes the source this one: only a checkpoint of the same is resumed.
    pub identity: String,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, memory: 128 << 20, verify: false, limit_rate: None, identity: String::new() }
    }
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stage {
    Copy,
    Verify,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes of the disk done.
    pub done: u64,
    /// Bytes of the disk.
    pub total: u64,
    /// What is being done.
    pub stage: Stage,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Report {
    /// Read from the source in this run.
    pub bytes_read: u64,
    /// Written as units in this run.
    pub bytes_written: u64,
    /// Found to be zero, or known to be, in this run.
    pub zero_bytes: u64,
    /// BLAKE3 over the BLAKE3s of every MiB of the disk.
    pub hash: [u8; 32],
    /// How long it took.
    pub elapsed: Duration,
}

/// A placed chunk; recorded only once it and all that were placed before it are durable.
struct Placed {
    record: Record,
    written: bool,
}

struct State {
    layout: Box<dyn Layout>,
    /// In the order of placement; the first has number `first`.
    queue: VecDeque<Placed>,
    first: u64,
    hashes: Vec<Option<[u8; 32]>>,
    /// Unit and offset, only kept to verify.
    placed: Vec<(u64, u64)>,
}

/// Called before each write, so that tests can fail one.
pub(crate) type Gate<'a> = &'a (dyn Fn() -> io::Result<()> + Sync);

/// When to make a checkpoint.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub bytes: u64,
    pub time: Duration,
}

struct Job<'a> {
    source: &'a dyn Disk,
    target: File,
    name: &'a Path,
    shape: Shape,
    options: &'a Options,
    gate: Gate<'a>,
    pace: Pace,
    progress: &'a (dyn Fn(Progress) + Sync),
    state: Mutex<State>,
    /// The checkpoint file and when it was last appended to; held through a checkpoint, so that they are in order.
    journal: Mutex<(File, Instant)>,
    started: Instant,
    stop: AtomicBool,
    claimed: AtomicU64,
    done: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    zero: AtomicU64,
    unsynced: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn beside(target: &Path, what: &str) -> Result<PathBuf> {
    let none = || Error::new(ErrorKind::Io, format!("{} is no file name", target.display()));
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().ok_or_else(none)?);
    name.push(what);
    Ok(target.with_file_name(name))
}

fn check(shape: &Shape) -> Result<()> {
    let refuse = |what: String| Err(Error::new(ErrorKind::Unsupported, what));
    if shape.codec != Codec::None {
        return refuse(format!(
            "the engine does not compress yet ({:?}): ask for an uncompressed image",
            shape.codec
        ));
    }
    if shape.unit < 512 || !CHUNK.is_multiple_of(shape.unit.into()) {
        return refuse(format!("units of {} bytes: they must be 512 or more and divide 1 MiB", shape.unit));
    }
    if !shape.unit.is_multiple_of(shape.align.max(1)) {
        return refuse(format!("units of {} bytes are not aligned to {}", shape.unit, shape.align));
    }
    Ok(())
}

/// Copies `source` into a new file `target`, or goes on where a killed run was.
pub fn run(
    source: &dyn Disk,
    target: &Path,
    layout: Box<dyn Layout>,
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report> {
    let pace = Pace { bytes: 256 << 20, time: Duration::from_secs(3) };
    run_gated(source, target, layout, options, progress, &|| Ok(()), pace)
}

pub(crate) fn run_gated(
    source: &dyn Disk,
    target: &Path,
    layout: Box<dyn Layout>,
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
    gate: Gate<'_>,
    pace: Pace,
) -> Result<Report> {
    let shape = layout.shape();
    check(&shape)?;
    let exists = || Error::new(ErrorKind::Exists, format!("{} exists: name another", target.display()));
    if target.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let (partial, checkpoint) = (beside(target, ".wherry-partial")?, beside(target, ".wherry-checkpoint")?);
    let open = |path: &Path| {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        file.map_err(|e| Error::io(format!("cannot open {}", path.display()), e))
    };
    let mut journal = open(&checkpoint)?;
    let busy = |_| Error::new(ErrorKind::Busy, format!("another process writes {}", target.display()));
    journal.try_lock().map_err(busy)?;
    let file = open(&partial)?;
    let header = journal::header(&options.identity, source.length(), &shape);
    let io = |e| Error::io(format!("checkpoint {}", checkpoint.display()), e);
    let fresh = file.metadata().map_err(io)?.len() == 0;
    let records = if fresh { None } else { journal::load(&mut journal, &header).map_err(io)? };
    if records.is_none() {
        file.set_len(0).map_err(io)?;
        journal::reset(&mut journal, &header).map_err(io)?;
    }
    let hashes = vec![None; source.length().div_ceil(CHUNK) as usize];
    let state = State { layout, queue: VecDeque::new(), first: 0, hashes, placed: Vec::new() };
    let zero = AtomicU64::default;
    let started = Instant::now();
    let job = Job {
        source,
        target: file,
        name: &partial,
        shape,
        options,
        gate,
        pace,
        progress,
        state: Mutex::new(state),
        journal: Mutex::new((journal, started)),
        started,
        stop: AtomicBool::new(false),
        claimed: zero(),
        done: zero(),
        read: zero(),
        written: zero(),
        zero: zero(),
        unsynced: zero(),
    };
    job.replay(records.unwrap_or_default())?;
    job.copy()?;
    let hash = job.root()?;
    if options.verify {
        job.verify()?;
    }
    job.finish()?;
    publish(&partial, target).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => Error::io(format!("cannot rename {} to {}", partial.display(), target.display()), e),
    })?;
    std::fs::remove_file(&checkpoint).map_err(io)?;
    Ok(Report {
        bytes_read: job.read.into_inner(),
        bytes_written: job.written.into_inner(),
        zero_bytes: job.zero.into_inner(),
        hash,
        elapsed: started.elapsed(),
    })
}

/// Renames without replacing, durably.
fn publish(partial: &Path, target: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
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

impl Job<'_> {
    fn io(&self, what: &str, e: io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.name.display()), e)
    }

    /// Tells the layout what it placed in earlier runs, in that order.
    fn replay(&self, records: Vec<Record>) -> Result<()> {
        let mut state = lock(&self.state);
        for record in records {
            self.place(&mut state, &record.units)?;
            let unknown = || Error::new(ErrorKind::Layout, format!("checkpoint: no chunk {}", record.chunk));
            *state.hashes.get_mut(record.chunk as usize).ok_or_else(unknown)? = Some(record.hash);
            self.done.fetch_add(CHUNK, Relaxed);
        }
        Ok(())
    }

    fn place(&self, state: &mut State, units: &[Unit]) -> Result<Vec<u64>> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        let offsets = state.layout.place(units)?;
        let most = i64::MAX as u64 - u64::from(self.shape.unit);
        if offsets.len() != units.len() || offsets.iter().any(|offset| *offset > most) {
            let what = format!("{} units placed at {} offsets, or too far", units.len(), offsets.len());
            return Err(Error::new(ErrorKind::Layout, what));
        }
        if self.options.verify {
            state.placed.extend(units.iter().map(|unit| unit.index).zip(offsets.iter().copied()));
        }
        Ok(offsets)
    }

    fn copy(&self) -> Result<()> {
        let threads = (self.options.threads as u64).clamp(1, (self.options.memory / WORKER).max(1));
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    if let Err(e) = self.work() {
                        self.stop.store(true, Relaxed);
                        lock(&failure).get_or_insert(e);
                    }
                });
            }
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn work(&self) -> Result<()> {
        let mut buffer = vec![0; CHUNK as usize];
        while !self.stop.load(Relaxed) {
            let chunk = self.claimed.fetch_add(1, Relaxed);
            let Some(known) = lock(&self.state).hashes.get(chunk as usize).copied() else { break };
            if known.is_none() {
                self.chunk(chunk, &mut buffer)?;
            }
        }
        Ok(())
    }

    fn chunk(&self, chunk: u64, buffer: &mut [u8]) -> Result<()> {
        let start = chunk * CHUNK;
        let length = CHUNK.min(self.source.length() - start);
        buffer.fill(0);
        for extent in self.source.extents(start, length)? {
            if extent.kind == Kind::Data {
                let from = (extent.offset - start) as usize;
                self.source.read_at(extent.offset, &mut buffer[from..from + extent.length as usize])?;
                self.read.fetch_add(extent.length, Relaxed);
            }
        }
        self.throttle();
        let hash = *blake3::hash(&buffer[..length as usize]).as_bytes();
        let size = self.shape.unit as usize;
        let first = start / size as u64;
        let units: Vec<Unit> = (first..)
            .zip(buffer.chunks_exact(size))
            .filter(|(_, bytes)| !is_zero(bytes))
            .map(|(index, _)| Unit { index, stored: self.shape.unit, compressed: false })
            .collect();
        let stored = (units.len() * size) as u64;
        self.zero.fetch_add(length.saturating_sub(stored), Relaxed);
        let (number, offsets) = {
            let mut state = lock(&self.state);
            let offsets = self.place(&mut state, &units)?;
            state.hashes[chunk as usize] = Some(hash);
            let record = Record { chunk, hash, units: units.clone() };
            state.queue.push_back(Placed { record, written: false });
            (state.first + state.queue.len() as u64 - 1, offsets)
        };
        self.write(buffer, first, &units, &offsets)?;
        {
            let mut state = lock(&self.state);
            let at = (number - state.first) as usize;
            state.queue[at].written = true;
        }
        self.written.fetch_add(stored, Relaxed);
        let done = self.done.fetch_add(length, Relaxed) + length;
        let total = self.source.length();
        (self.progress)(Progress { done: done.min(total), total, stage: Stage::Copy });
        if self.unsynced.fetch_add(stored, Relaxed) + stored >= self.pace.bytes {
            self.checkpoint(true)
        } else {
            self.checkpoint(false)
        }
    }

    /// Writes units; neighbours in the disk that are neighbours in the file go as one.
    fn write(&self, buffer: &[u8], first: u64, units: &[Unit], offsets: &[u64]) -> Result<()> {
        let size = self.shape.unit as usize;
        let mut at = 0;
        while at < units.len() {
            let mut end = at + 1;
            while end < units.len()
                && units[end].index == units[end - 1].index + 1
                && offsets[end] == offsets[end - 1] + size as u64
            {
                end += 1;
            }
            let from = (units[at].index - first) as usize * size;
            (self.gate)()
                .and_then(|()| self.target.write_all_at(&buffer[from..from + (end - at) * size], offsets[at]))
                .map_err(|e| self.io("write to", e))?;
            at = end;
        }
        Ok(())
    }

    /// Makes the longest written run of placed chunks durable, then records it.
    fn checkpoint(&self, due: bool) -> Result<()> {
        let Ok(mut journal) = self.journal.try_lock() else { return Ok(()) };
        if !due && journal.1.elapsed() < self.pace.time {
            return Ok(());
        }
        self.unsynced.store(0, Relaxed);
        let records: Vec<Record> = {
            let mut state = lock(&self.state);
            let ready = state.queue.iter().take_while(|placed| placed.written).count();
            state.first += ready as u64;
            state.queue.drain(..ready).map(|placed| placed.record).collect()
        };
        self.target.sync_data().map_err(|e| self.io("sync", e))?;
        journal::append(&mut journal.0, &records).map_err(|e| self.io("record a checkpoint of", e))?;
        journal.1 = Instant::now();
        Ok(())
    }

    /// Sleeps until the average rate is not above the limit.
    fn throttle(&self) {
        let Some(rate) = self.options.limit_rate else { return };
        let due = Duration::from_secs_f64(self.read.load(Relaxed) as f64 / rate.max(1) as f64);
        while let Some(rest) = due.checked_sub(self.started.elapsed()).filter(|rest| !rest.is_zero()) {
            if self.stop.load(Relaxed) {
                return;
            }
            std::thread::sleep(rest.min(Duration::from_millis(200)));
        }
    }

    fn root(&self) -> Result<[u8; 32]> {
        let mut root = blake3::Hasher::new();
        for hash in &lock(&self.state).hashes {
            let missing = || Error::new(ErrorKind::Io, "a chunk was left out: report this");
            root.update(&hash.ok_or_else(missing)?);
        }
        Ok(*root.finalize().as_bytes())
    }

    /// Reads every placed unit back, chunk by chunk, and compares hashes.
    fn verify(&self) -> Result<()> {
        let mut state = lock(&self.state);
        let mut placed = std::mem::take(&mut state.placed);
        placed.sort_unstable();
        let size = u64::from(self.shape.unit);
        let mut next = placed.iter().peekable();
        let mut buffer = vec![0; CHUNK as usize];
        let total = self.source.length();
        for (chunk, hash) in (0..).zip(&state.hashes) {
            let (start, end) = (chunk * CHUNK, total.min((chunk + 1) * CHUNK));
            buffer.fill(0);
            while let Some((index, offset)) = next.next_if(|(index, _)| index * size < end) {
                let from = (index * size - start) as usize;
                let into = &mut buffer[from..from + size as usize];
                self.target.read_exact_at(into, *offset).map_err(|e| self.io("read back", e))?;
            }
            let found = *blake3::hash(&buffer[..(end - start) as usize]).as_bytes();
            if *hash != Some(found) {
                let what = format!("{}: bytes {start}..{end} are not what was written", self.name.display());
                return Err(Error::new(ErrorKind::Verify, what));
            }
            (self.progress)(Progress { done: end, total, stage: Stage::Verify });
        }
        Ok(())
    }

    /// Tables first; everything is durable before the last patch, which makes the file valid.
    fn finish(&self) -> Result<()> {
        let mut state = lock(&self.state);
        let patch = |(offset, bytes): &(u64, Vec<u8>)| {
            (self.gate)()
                .and_then(|()| self.target.write_all_at(bytes, *offset))
                .map_err(|e| self.io("finish", e))
        };
        for page in 0..PAGES_MOST {
            let Ending { patches, length, more } = state.layout.finish(page)?;
            if more {
                patches.iter().try_for_each(patch)?;
                continue;
            }
            let (last, rest) =
                patches.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
            rest.iter().try_for_each(patch)?;
            self.target.set_len(length).map_err(|e| self.io("set the length of", e))?;
            self.target.sync_data().map_err(|e| self.io("sync", e))?;
            last.into_iter().try_for_each(patch)?;
            return self.target.sync_all().map_err(|e| self.io("sync", e));
        }
        Err(Error::new(ErrorKind::Layout, "the format writer does not end: more than a million pages"))
    }
}
