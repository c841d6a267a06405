//! Brings a disk into an archive. Each worker reads, looks for zeroes, hashes, compares with the same place in the parent, asks
//! the index, and packs: everything while the bytes are in its cache.

use crate::archive::Archive;
use crate::chunk::{Id, Kind, Packer};
use crate::chunks::Chunks;
use crate::disk::ArchiveDisk;
use crate::index::{self, Index};
use crate::marks::{self, LOST, Names};
use crate::snapshot::{Snapshot, new_id};
use crate::tree::{DiskRecord, LEAF, bytes};
use crate::writer::{Made, Writer, session};
use crate::{Error, ErrorKind, Result};
use block::{Buffer, Disk, Step, Walk, fill, is_zero};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is read at once.
const GROUP: u64 = 1 << 20;
/// How often a capture begins again because prunes were in its way.
const TRIES: u32 = 5;
const TELL_EVERY: Duration = Duration::from_millis(100);

/// A disk to be captured.
pub struct Source {
    /// As it is named in the snapshot.
    pub name: String,
    /// Its bytes.
    pub disk: Arc<dyn Disk>,
    /// The ranges that may differ from the parent's, in order, where something knows them; none: all is read.
    pub changed: Option<Vec<Range<u64>>>,
}

/// What a snapshot says beside its disks.
#[derive(Clone, Debug)]
pub struct About {
    /// The machine's name.
    pub machine: String,
    /// The operator's words.
    pub tags: Vec<String>,
    /// What is known of the machine.
    pub description: serde_json::Value,
    /// Time since 1970-01-01 UTC. A state of a machine is later than its parent, whatever this says.
    pub time: Duration,
    /// The snapshot of another archive that this is a copy of.
    pub origin: Option<String>,
}

/// How to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// zstd's.
    pub level: i32,
    /// Workers.
    pub threads: usize,
    /// Bytes of the source per second.
    pub limit_rate: Option<u64>,
    /// Asks for an orderly stop.
    pub cancel: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from) + 1;
        Self { level: 1, threads, limit_rate: None, cancel: Arc::default() }
    }
}

/// How far a capture is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The disk's number.
    pub disk: usize,
    /// Bytes of the disk done, and in all.
    pub done: u64,
    /// Bytes of the disk.
    pub total: u64,
    /// Bytes that were new and are stored, of all disks.
    pub stored: u64,
    /// Bytes of the disk per second.
    pub rate: u64,
}

/// Whom to tell.
pub type Tell<'a> = &'a (dyn Fn(Progress) + Sync);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Archive {
    /// Captures disks as a snapshot that is complete and durable when this returns. What is equal to `parent` at the same place
    /// costs a hash and a comparison. Killed, the same call finds what is stored already.
    pub fn capture(
        &self,
        sources: &[Source],
        about: &About,
        parent: Option<&Snapshot>,
        options: &Options,
        tell: Tell<'_>,
    ) -> Result<Snapshot> {
        for _ in 0..TRIES {
            let made = self.bring(sources, parent, options, tell)?;
            let mut snapshot = Snapshot {
                id: new_id()?,
                time: about.time.as_secs(),
                nanoseconds: about.time.subsec_nanos(),
                machine: about.machine.clone(),
                tags: about.tags.clone(),
                parent: parent.map(|parent| parent.id.clone()),
                origin: about.origin.clone(),
                disks: made.what.clone(),
                description: about.description.clone(),
                added: made.added,
            };
            if let (Some(parent), None) = (parent, &about.origin) {
                snapshot.follow(parent);
            }
            let sound = || Ok(!made.raced(self)? && self.has(parent)?);
            if self.publish(&snapshot, sound)? {
                index::merge(self, &made.index)?;
                return Ok(snapshot);
            }
        }
        Err(Error::new(ErrorKind::Raced, format!("prunes of {} were in the way {TRIES} times", self.name())))
    }

    /// What was equal to the parent was not looked up: it is there as long as the parent is.
    fn has(&self, parent: Option<&Snapshot>) -> Result<bool> {
        let Some(parent) = parent else { return Ok(true) };
        match self.snapshot(&parent.id) {
            Ok(_) => Ok(true),
            Err(e) if e.kind == ErrorKind::Missing => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn bring(
        &self,
        sources: &[Source],
        parent: Option<&Snapshot>,
        options: &Options,
        tell: Tell<'_>,
    ) -> Result<Made<Vec<DiskRecord>>> {
        let index = Index::open(&self.keys, self.store.as_ref())?;
        let parent = parent.filter(|parent| self.has(Some(parent)).unwrap_or(false));
        let chunks = parent.map(|_| Chunks::open(self).map(Arc::new)).transpose()?;
        let lost = marks::read(self, LOST)?;
        session(self, index, |writer| {
            let each = |(number, source): (usize, &Source)| {
                let before = parent.and_then(|parent| parent.disks.get(number));
                let before = before.filter(|before| before.chunk_size == self.config.chunk_size);
                let before = before.zip(chunks.clone());
                let before = before.map(|(record, chunks)| ArchiveDisk::open(chunks, record));
                // A parent that cannot be read is only a loss of speed.
                let before = before.and_then(Result::ok);
                let job = Job::new(writer, (number, source), before.as_ref(), &lost, options, tell);
                job.run()
            };
            sources.iter().enumerate().map(each).collect()
        })
    }
}

/// A leaf that is being filled.
struct Open {
    ids: Vec<Id>,
    left: usize,
    before: Option<Arc<Vec<Id>>>,
}

struct Job<'a> {
    writer: &'a Writer<'a>,
    number: usize,
    source: &'a Source,
    before: Option<&'a ArchiveDisk>,
    lost: &'a Names,
    options: &'a Options,
    tell: Tell<'a>,
    record: DiskRecord,
    walk: Mutex<Walk<'a>>,
    open: Mutex<BTreeMap<usize, Open>>,
    root: Mutex<Vec<Id>>,
    done: AtomicU64,
    data: AtomicU64,
    started: Instant,
    told: Mutex<Instant>,
    failed: AtomicBool,
}

/// A worker's buffers.
struct Desk {
    packer: Packer,
    group: Buffer,
    ids: Vec<Id>,
}

impl<'a> Job<'a> {
    fn new(
        writer: &'a Writer<'a>,
        (number, source): (usize, &'a Source),
        before: Option<&'a ArchiveDisk>,
        lost: &'a Names,
        options: &'a Options,
        tell: Tell<'a>,
    ) -> Self {
        let chunk_size = writer.archive.config.chunk_size;
        let record = DiskRecord {
            name: source.name.clone(),
            size: source.disk.length(),
            sector_size: source.disk.sector_size(),
            chunk_size,
            root: Id::ZERO.to_string(),
            data: 0,
        };
        let group = GROUP.max(chunk_size.into());
        let root = Mutex::new(vec![Id::ZERO; record.leaves()]);
        let (started, none) = (Instant::now(), AtomicU64::default);
        Self {
            writer,
            number,
            source,
            before,
            lost,
            options,
            tell,
            record,
            walk: Mutex::new(Walk::new(source.disk.as_ref(), group, 0)),
            open: Mutex::default(),
            root,
            done: none(),
            data: none(),
            started,
            told: Mutex::new(started),
            failed: AtomicBool::new(false),
        }
    }

    fn run(&self) -> Result<DiskRecord> {
        self.record.check()?;
        std::thread::scope(|scope| {
            let work = || scope.spawn(|| self.work().inspect_err(|_| self.failed.store(true, Relaxed)));
            let workers: Vec<_> = (0..self.options.threads.max(1)).map(|_| work()).collect();
            let crashed = |_| Err(Error::new(ErrorKind::Source, "a worker crashed"));
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(crashed))
        })?;
        let root = lock(&self.root);
        let mut record = self.record.clone();
        if root.iter().any(|leaf| *leaf != Id::ZERO) {
            let list = bytes(&root);
            let id = Id(self.writer.archive.keys.id(&list));
            self.writer.put(&mut Packer::new(self.options.level)?, Kind::Root, &list, &id)?;
            record.root = id.to_string();
        }
        record.data = self.data.load(Relaxed);
        self.say(true);
        Ok(record)
    }

    fn work(&self) -> Result<()> {
        let group = GROUP.max(self.record.chunk_size.into()) as usize;
        let mut desk =
            Desk { packer: Packer::new(self.options.level)?, group: Buffer::new(group), ids: Vec::new() };
        loop {
            if self.failed.load(Relaxed) {
                return Ok(());
            }
            if self.options.cancel.load(Relaxed) {
                let what = "stopped as asked; the same command finds what is stored already";
                return Err(Error::new(ErrorKind::Cancelled, what));
            }
            let step = lock(&self.walk).step()?;
            match step {
                None => return Ok(()),
                Some(Step::Hole(first, count)) => self.hole(&mut desk, first, count)?,
                Some(Step::Chunk(number, data)) => self.group(&mut desk, number, &data)?,
            }
        }
    }

    /// Chunks of groups that are zero without a look.
    fn hole(&self, desk: &mut Desk, first: u64, count: u64) -> Result<()> {
        let per = GROUP.max(self.record.chunk_size.into()) / u64::from(self.record.chunk_size);
        let mut at = first * per;
        let end = ((first + count) * per).min(self.record.chunks());
        while at < end {
            let leaf = (at / LEAF as u64) as usize;
            let to = ((leaf as u64 + 1) * LEAF as u64).min(end);
            let whole = to - at == self.record.slots(leaf) as u64;
            if !whole {
                desk.ids.clear();
                desk.ids.resize((to - at) as usize, Id::ZERO);
                self.keep(desk, at)?;
            }
            at = to;
        }
        self.count(self.bytes(first, count));
        Ok(())
    }

    fn bytes(&self, first: u64, count: u64) -> u64 {
        let group = GROUP.max(self.record.chunk_size.into());
        (count * group).min(self.record.size - (first * group).min(self.record.size))
    }

    /// Reads a group and finds or brings each chunk of it.
    fn group(&self, desk: &mut Desk, number: u64, data: &[Range<u64>]) -> Result<()> {
        let (start, length) = (number * GROUP.max(self.record.chunk_size.into()), self.bytes(number, 1));
        let first = start / u64::from(self.record.chunk_size);
        let count = length.div_ceil(self.record.chunk_size.into());
        let before = self.before_of(first)?;
        let from = (first % LEAF as u64) as usize;
        let before = before.as_ref().and_then(|ids| ids.get(from..(from + count as usize).min(ids.len())));
        let before = before.unwrap_or_default();
        desk.ids.clear();
        let sound = before.len() as u64 == count && !before.iter().any(|id| self.lost.contains(&id.0));
        if sound && !self.may_differ(start..start + length) {
            desk.ids.extend_from_slice(before);
            let data = before.iter().filter(|id| **id != Id::ZERO).count() as u64;
            self.data.fetch_add(data * u64::from(self.record.chunk_size), Relaxed);
        } else {
            self.read(desk, start, length as usize, data)?;
            self.identify(desk, length as usize, before)?;
        }
        self.keep(desk, first)?;
        self.count(length);
        Ok(())
    }

    fn read(&self, desk: &mut Desk, start: u64, length: usize, data: &[Range<u64>]) -> Result<()> {
        if let Some(rate) = self.options.limit_rate {
            let due = (self.done.load(Relaxed) + length as u64) as f64 / rate.max(1) as f64;
            let early = Duration::from_secs_f64(due).saturating_sub(self.started.elapsed());
            std::thread::sleep(early);
        }
        fill(self.source.disk.as_ref(), start, &mut desk.group[..length], data)?;
        Ok(())
    }

    fn identify(&self, desk: &mut Desk, length: usize, before: &[Id]) -> Result<()> {
        let Desk { packer, group, ids } = desk;
        for (place, plain) in group[..length].chunks(self.record.chunk_size as usize).enumerate() {
            if is_zero(plain) {
                ids.push(Id::ZERO);
                continue;
            }
            self.data.fetch_add(plain.len() as u64, Relaxed);
            let id = Id(self.writer.archive.keys.id(plain));
            let same = before.get(place) == Some(&id) && !self.lost.contains(&id.0);
            if !same {
                self.writer.put(packer, Kind::Data, plain, &id)?;
            }
            ids.push(id);
        }
        Ok(())
    }

    fn may_differ(&self, range: Range<u64>) -> bool {
        let Some(changed) = &self.source.changed else { return true };
        let first = changed.partition_point(|each| each.end <= range.start);
        changed.get(first).is_some_and(|each| each.start < range.end)
    }

    /// The parent's leaf that holds a chunk.
    fn before_of(&self, chunk: u64) -> Result<Option<Arc<Vec<Id>>>> {
        let leaf = (chunk / LEAF as u64) as usize;
        if let Some(open) = lock(&self.open).get(&leaf) {
            return Ok(open.before.clone());
        }
        self.leaf_before(leaf)
    }

    fn leaf_before(&self, leaf: usize) -> Result<Option<Arc<Vec<Id>>>> {
        match self.before.filter(|before| leaf < before.leaves()) {
            Some(before) => before.leaf(leaf).map(Some),
            None => Ok(None),
        }
    }

    /// Puts ids of consecutive chunks, which lie in one leaf or follow each other over several, into their leaves.
    fn keep(&self, desk: &mut Desk, first: u64) -> Result<()> {
        let leaf = (first / LEAF as u64) as usize;
        let at = (first % LEAF as u64) as usize;
        let before = self.before_of(first)?;
        let mut open = lock(&self.open);
        let slots = self.record.slots(leaf);
        let entry =
            open.entry(leaf).or_insert_with(|| Open { ids: vec![Id::ZERO; slots], left: slots, before });
        entry.ids[at..at + desk.ids.len()].copy_from_slice(&desk.ids);
        entry.left -= desk.ids.len();
        if entry.left > 0 {
            return Ok(());
        }
        let full = open.remove(&leaf);
        drop(open);
        full.map_or(Ok(()), |full| self.close(&mut desk.packer, leaf, &full))
    }

    fn close(&self, packer: &mut Packer, leaf: usize, full: &Open) -> Result<()> {
        if full.ids.iter().all(|id| *id == Id::ZERO) {
            return Ok(());
        }
        let list = bytes(&full.ids);
        let id = Id(self.writer.archive.keys.id(&list));
        let same = full.before.as_ref().is_some_and(|before| **before == full.ids);
        if !same || self.lost.contains(&id.0) {
            self.writer.put(packer, Kind::Leaf, &list, &id)?;
        }
        lock(&self.root)[leaf] = id;
        Ok(())
    }

    fn count(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
        self.say(false);
    }

    fn say(&self, last: bool) {
        let Ok(mut told) = self.told.try_lock() else { return };
        if !last && told.elapsed() < TELL_EVERY {
            return;
        }
        *told = Instant::now();
        let done = self.done.load(Relaxed);
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(1e-6);
        let (disk, total, stored) = (self.number, self.record.size, self.writer.stored());
        (self.tell)(Progress { disk, done, total, stored, rate: rate as u64 });
    }
}
