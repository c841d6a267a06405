//! Workers claim chunks in the disk's order, read, hash and pack them side by side, and have them placed one after the
//! other; writers write them side by side. Where a unit goes depends on the disk alone, never on who was faster.
//!
//! Writers are threads of their own because they sleep most of the time: when the medium is done, such a thread gets a
//! processor at once, where a worker that has just packed a chunk would wait behind others, and the medium with it.

use crate::desks::Desks;
use crate::journal::{self, Hash, Record};
use crate::layout::{Ending, Layout, MIB, Shape, Unit};
use crate::progress::{Meter, Stage, Tell};
use crate::read::Desk;
use crate::ring::{Ended, Ring, Write};
use crate::sink::Sink;
use crate::{Error, ErrorKind, Result};
use block::{Disk, Ranges, Step, Walk};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Units that wait for a checkpoint at most; more make one due. Some 40 bytes each.
const QUEUED_UNITS_MOST: usize = 1 << 18;
/// Smaller gaps in a format's file are not worth a hole.
const GAP_LEAST: u64 = MIB;
/// Two, so that one goes on while the other makes a checkpoint.
const RINGS: usize = 2;
/// Pages of an ending at most, about 1 MiB each.
const PAGES_MOST: u32 = 1 << 20;

/// How to transfer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workers; at least one. More than processors, since they also wait for sources.
    pub threads: usize,
    /// Have the kernel write (io_uring) where it can. Else threads write, half as many as there are workers: as fast or faster
    /// where it was measured (ARCHITECTURE.md).
    pub ring: bool,
    /// Bytes that buffers may take; bounds the workers.
    pub memory: u64,
    /// Read the complete target back and compare it with what was read from the source.
    pub verify: bool,
    /// The target holds an older state of the disk: read it, and write only what differs. For existing targets.
    pub update: bool,
    /// With `update`: what changed since the state that the target holds; the rest is neither read nor written, nor verified.
    pub changed: Option<Ranges>,
    /// Bytes read from the source per second.
    pub limit_rate: Option<u64>,
    /// What makes the source this one: only a checkpoint of the same is resumed.
    pub identity: String,
    /// Time between checkpoints: what a killed run has to do again at most.
    pub checkpoint: Duration,
    /// Set to stop soon; the same call goes on from there.
    pub cancel: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: 4 * processors,
            ring: false,
            memory: 128 << 20,
            verify: false,
            update: false,
            changed: None,
            limit_rate: None,
            identity: String::new(),
            checkpoint: Duration::from_secs(3),
            cancel: Arc::default(),
        }
    }
}

impl Options {
    /// Whether what is read is hashed: for the report, and to compare the target with it.
    pub(crate) fn hashes(&self, source: &dyn Disk) -> bool {
        self.verify || !source.is_checked()
    }

    /// Workers that fit into the memory.
    pub(crate) fn workers(&self, shape: &Shape) -> usize {
        let fit = self.memory / Desk::bytes(shape);
        self.threads.clamp(1, fit.max(1) as usize)
    }
}

/// A chunk on its way from its worker to a writer.
pub(crate) struct Ready {
    number: u64,
    pub desk: Desk,
    offsets: Vec<u64>,
    gaps: Vec<Gap>,
    /// Its place in the queue for a checkpoint, unless it is all zero.
    ticket: Option<u64>,
}

/// A placed chunk; recorded only once it and all before it are durable.
struct Placed {
    record: Record,
    written: bool,
}

/// What happens in the disk's order.
pub(crate) struct Order {
    pub layout: Box<dyn Layout>,
    /// The chunk whose turn it is.
    pub next: u64,
    /// BLAKE3 over the hashes so far.
    pub root: blake3::Hasher,
    /// Everything before this byte of the target is written, a gap that was told, or in `gaps`.
    pub covered: u64,
    /// Where formats go back to what they left out: gaps that may yet be filled, in order; told when the target is finished.
    gaps: Vec<Gap>,
    /// In the order of placement; the first has number `first`.
    queue: VecDeque<Placed>,
    first: u64,
    queued_units: usize,
}

pub(crate) struct Job<'a> {
    pub source: &'a dyn Disk,
    pub sink: &'a dyn Sink,
    /// The target, for messages.
    pub name: &'a Path,
    pub shape: Shape,
    pub options: &'a Options,
    pub meter: Meter<'a>,
    /// None where the source checks what is read itself, and nobody compares it with the target.
    pub zero_hash: Option<Hash>,
    desks: Desks,
    plan: Mutex<Walk<'a>>,
    order: Mutex<Order>,
    turn: Condvar,
    /// Held through a checkpoint, so that they are in order; and when the last was made, unless it failed: what follows a
    /// checkpoint that is not there would be misunderstood.
    journal: Mutex<(&'a File, Option<Instant>)>,
    failed: AtomicBool,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// BLAKE3 of a MiB of zeroes.
pub(crate) fn zero_hash() -> Hash {
    *blake3::hash(&vec![0; MIB as usize]).as_bytes()
}

impl Order {
    pub fn new(layout: Box<dyn Layout>) -> Self {
        let (root, queue) = (blake3::Hasher::new(), VecDeque::new());
        Self { layout, next: 0, root, covered: 0, gaps: Vec::new(), queue, first: 0, queued_units: 0 }
    }

    /// Where units go, checked, and the ranges of the target that are passed over on the way.
    pub fn place(&mut self, units: &[Unit], shape: &Shape) -> Result<(Vec<u64>, Vec<Gap>)> {
        if units.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let offsets = self.layout.place(units)?;
        let possible = u64::from(shape.lead)..i64::MAX as u64 - (1 << 30);
        if offsets.len() != units.len() || offsets.iter().any(|offset| !possible.contains(offset)) {
            let what = format!("{} units placed at {} offsets, or out of range", units.len(), offsets.len());
            return Err(Error::new(ErrorKind::Layout, what));
        }
        let starts = offsets.iter().map(|offset| offset - u64::from(shape.lead));
        let ranges = starts.zip(units).map(|(start, unit)| (start, start + shape.padded(unit.stored)));
        let gaps = ranges.filter_map(|(start, end)| self.cover(start, end)).collect();
        Ok((offsets, gaps))
    }

    /// A range is going to be written; what lies between it and all that was before has to be zeroed. A raw disk is written in
    /// its own order, so that is told at once; any other layout may go back.
    fn cover(&mut self, offset: u64, end: u64) -> Option<Gap> {
        let gap = (self.covered, offset.saturating_sub(self.covered));
        if offset < self.covered {
            self.fill(offset, end);
        }
        self.covered = self.covered.max(end);
        if self.layout.is_plain() {
            return Some(gap).filter(|gap| gap.1 > 0);
        }
        self.gaps.extend(Some(gap).filter(|gap| gap.1 >= GAP_LEAST));
        None
    }

    /// A range is a gap no more.
    fn fill(&mut self, offset: u64, end: u64) {
        let first = self.gaps.partition_point(|gap| gap.0 + gap.1 <= offset);
        let touched = self.gaps[first..].iter().take_while(|gap| gap.0 < end).count();
        let rest = self.gaps[first..first + touched].iter().flat_map(|&(start, length)| {
            let after = end.max(start);
            [(start, offset.saturating_sub(start)), (after, (start + length).saturating_sub(after))]
        });
        let rest: Vec<Gap> = rest.filter(|gap| gap.1 >= GAP_LEAST).collect();
        self.gaps.splice(first..first + touched, rest);
    }
}

/// Offset and length of a range of the target that nothing was written to.
pub(crate) type Gap = (u64, u64);

/// Wakes everybody up if a worker dies.
struct Alarm<'a, 'b>(&'a Job<'b>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
    }
}

impl<'a> Job<'a> {
    pub fn new(
        source: &'a dyn Disk,
        (sink, name): (&'a dyn Sink, &'a Path),
        journal: &'a File,
        order: Order,
        options: &'a Options,
        tell: Tell<'a>,
    ) -> Self {
        let shape = order.layout.shape();
        let hashed = options.hashes(source);
        let before = order.next.saturating_mul(shape.chunk()).min(source.length());
        let meter = Meter::new(tell, Stage::Copy, source.length(), before);
        Self {
            source,
            sink,
            name,
            shape,
            options,
            plan: Mutex::new(Walk::new(source, shape.chunk(), order.next)),
            zero_hash: hashed.then(zero_hash),
            desks: Desks::new(options.workers(&shape)),
            order: Mutex::new(order),
            turn: Condvar::new(),
            journal: Mutex::new((journal, Some(meter.started))),
            failed: AtomicBool::new(false),
            meter,
        }
    }

    pub fn io(&self, what: &str, e: io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.name.display()), e)
    }

    fn fail(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let _order = lock(&self.order);
        self.failed.store(true, Relaxed);
        self.turn.notify_all();
        self.desks.close();
    }

    fn cancelled(&self) -> bool {
        self.options.cancel.load(Relaxed)
    }

    /// Copies what is left. If it cannot, a checkpoint is made of all that was done.
    pub fn copy(&self) -> Result<()> {
        let failure = Mutex::new(None);
        let run = |part: Result<()>| {
            if let Err(e) = part {
                lock(&failure).get_or_insert(e);
                self.fail();
            }
        };
        let (ready, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        let workers = self.options.workers(&self.shape);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let ready = ready.clone();
                scope.spawn(move || run(self.alarmed(|| self.work(&ready))));
            }
            let rings = self.rings();
            let writers = if rings.is_empty() { workers.div_ceil(2) } else { 0 };
            for ring in rings {
                let receiver = &receiver;
                scope.spawn(move || run(self.alarmed(|| self.deliver_by(ring, receiver))));
            }
            for _ in 0..writers {
                scope.spawn(|| run(self.alarmed(|| self.deliver(&receiver))));
            }
            drop(ready);
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        if failure.is_some() || self.cancelled() {
            let recorded = self.checkpoint(true);
            failure.map_or(Ok(()), |e| Err(self.explain(e)))?;
            recorded?;
            let what = format!("stopped as asked; the same command goes on with {}", self.name.display());
            return Err(Error::new(ErrorKind::Cancelled, what));
        }
        self.meter.end();
        Ok(())
    }

    /// A part of the job whose panic ends all others.
    fn alarmed(&self, part: impl FnOnce() -> Result<()>) -> Result<()> {
        let _alarm = Alarm(self);
        part()
    }

    /// None where the target or the kernel has no use for them.
    fn rings(&self) -> Vec<Ring<'a>> {
        let wanted = if self.options.ring && self.sink.lends() { RINGS } else { 0 };
        let rings: io::Result<Vec<_>> = (0..wanted).map(|_| Ring::new(self.shape)).collect();
        rings.unwrap_or_default()
    }

    fn work(&self, ready: &Sender<Ready>) -> Result<()> {
        while !self.failed.load(Relaxed) && !self.cancelled() {
            // Before the claim: whoever has claimed a chunk can go on with it, so that nobody waits for ever.
            let Some(mut desk) = self.desks.take(&self.shape)? else { break };
            let step = lock(&self.plan).step()?;
            match step {
                None => break,
                Some(Step::Hole(first, count)) => {
                    self.hole(first, count)?;
                    self.desks.put(desk);
                }
                Some(Step::Chunk(number, data)) => {
                    let bytes = data.iter().map(|range| range.end - range.start).sum();
                    let stop = || self.failed.load(Relaxed) || self.cancelled();
                    self.meter.throttle(bytes, self.options.limit_rate, stop);
                    desk.read(self, number, &data)?;
                    self.meter.read.fetch_add(bytes, Relaxed);
                    desk.pack(&self.shape).map_err(|e| Error::io("cannot compress", e))?;
                    let Some(placed) = self.place(number, desk)? else { break };
                    // Without writers the job has failed, and they have said why.
                    let _ended = ready.send(placed);
                }
            }
        }
        // At the disk's end as after a failure: nobody needs another.
        self.desks.close();
        Ok(())
    }

    fn deliver(&self, ready: &Mutex<Receiver<Ready>>) -> Result<()> {
        while let Ok(next) = { lock(ready).recv() } {
            if !self.failed.load(Relaxed) {
                self.store(&next)?;
            }
            self.desks.put(next.desk);
        }
        Ok(())
    }

    /// As `deliver`, with as many writes going at once as there are chunks.
    fn deliver_by(&self, mut ring: Ring<'a>, ready: &Mutex<Receiver<Ready>>) -> Result<()> {
        let mut open = true;
        while open || !ring.is_idle() {
            // Another may hold the lock and sleep: whoever has writes going only looks.
            let next = match (ring.is_idle(), ring.has_room()) {
                (true, _) => lock(ready).recv().map_err(|_| TryRecvError::Disconnected),
                (false, true) => ready.try_lock().map_or(Err(TryRecvError::Empty), |ready| ready.try_recv()),
                (false, false) => Err(TryRecvError::Empty),
            };
            match next {
                Ok(next) if self.failed.load(Relaxed) => self.desks.put(next.desk),
                Ok(next) => self.begin(&mut ring, next)?,
                Err(e) => {
                    open &= e == TryRecvError::Empty;
                    for ended in ring.wait().map_err(|e| self.io("write to", e))? {
                        self.end(ended)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Has the kernel write a chunk, but for what has to be written here.
    fn begin(&self, ring: &mut Ring<'a>, ready: Ready) -> Result<()> {
        let io = |e| self.io("write to", e);
        ready.gaps.iter().try_for_each(|gap| self.zero(*gap))?;
        // The sink's own lifetime, not this borrow's.
        let sink: &'a dyn Sink = self.sink;
        let (bytes, mut writes) = (ready.desk.stored(&self.shape).0, Vec::new());
        for (from, length, offset) in self.runs(&ready.desk, &ready.offsets) {
            let run = &bytes[from..from + length];
            match sink.lend(run, offset).map_err(io)? {
                Some((file, offset)) => writes.push(Write::new(file, offset, (from, length))),
                None => sink.write_at(run, offset).map_err(io)?,
            }
        }
        match writes.is_empty() {
            true => self.end(Ended { ready, refused: Vec::new() }),
            false => ring.begin(ready, writes).map_err(io),
        }
    }

    fn end(&self, Ended { ready, refused }: Ended<'_>) -> Result<()> {
        for (write, e) in refused {
            // A device or filesystem that is stricter than others: `write_at` knows another way.
            if e.kind() != io::ErrorKind::InvalidInput {
                return Err(self.io("write to", e));
            }
            let bytes = &ready.desk.stored(&self.shape).0[write.from..write.from + write.length];
            self.sink.write_at(bytes, write.offset).map_err(|e| self.io("write to", e))?;
        }
        let sent = self.runs(&ready.desk, &ready.offsets).iter().map(|run| run.1 as u64).sum();
        self.stored(&ready, sent)?;
        self.desks.put(ready.desk);
        Ok(())
    }

    /// Waits until all chunks before `number` are placed; none if the job failed meanwhile.
    fn turn_of(&self, number: u64) -> Option<MutexGuard<'_, Order>> {
        let mut order = lock(&self.order);
        while order.next != number {
            if self.failed.load(Relaxed) {
                return None;
            }
            order = self.turn.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        Some(order)
    }

    /// Bytes of the disk in `count` chunks from `first` on.
    fn bytes(&self, first: u64, count: u64) -> u64 {
        let (chunk, length) = (self.shape.chunk(), self.source.length());
        ((first + count) * chunk).min(length) - first * chunk
    }

    fn hole(&self, first: u64, count: u64) -> Result<()> {
        let bytes = self.bytes(first, count);
        let Some(mut order) = self.turn_of(first) else { return Ok(()) };
        hash_zeroes(&mut order.root, bytes, self.zero_hash.as_ref());
        order.next += count;
        order.push_zero(count);
        drop(order);
        self.turn.notify_all();
        self.done(bytes, bytes, 0)
    }

    /// Has the units placed when it is the chunk's turn; none if the job failed meanwhile.
    fn place(&self, number: u64, mut desk: Desk) -> Result<Option<Ready>> {
        let Some(mut order) = self.turn_of(number) else { return Ok(None) };
        let (offsets, gaps) = order.place(&desk.units, &self.shape)?;
        if self.shape.lead > 0 && !desk.units.is_empty() {
            let heads = order.layout.heads(&desk.units)?;
            desk.lead(&heads, &self.shape)?;
        }
        desk.hashes.iter().for_each(|hash| {
            order.root.update(hash);
        });
        order.next += 1;
        let ticket = if desk.units.is_empty() {
            order.push_zero(1);
            None
        } else {
            let units = desk.units.iter().copied().zip(offsets.iter().copied()).collect();
            Some(order.push(Record::Chunk { hashes: desk.hashes.clone(), units }))
        };
        drop(order);
        self.turn.notify_all();
        Ok(Some(Ready { number, desk, offsets, gaps, ticket }))
    }

    fn store(&self, ready: &Ready) -> Result<()> {
        ready.gaps.iter().try_for_each(|gap| self.zero(*gap))?;
        let (bytes, mut sent) = (ready.desk.stored(&self.shape).0, 0);
        for (from, length, offset) in self.runs(&ready.desk, &ready.offsets) {
            let written = self.sink.write_at(&bytes[from..from + length], offset);
            written.map_err(|e| self.io("write to", e))?;
            sent += length as u64;
        }
        self.stored(ready, sent)
    }

    /// A chunk is where it belongs.
    fn stored(&self, ready: &Ready, sent: u64) -> Result<()> {
        if let Some(ticket) = ready.ticket {
            lock(&self.order).mark_written(ticket);
        }
        let (bytes, data) =
            (self.bytes(ready.number, 1), ready.desk.units.len() as u64 * u64::from(self.shape.unit));
        self.done(bytes, bytes.saturating_sub(data), sent)
    }

    fn zero(&self, (offset, length): Gap) -> Result<()> {
        self.sink.zero(offset, length).map_err(|e| self.io("write zeroes to", e))
    }

    /// What is to be written: where it begins in the desk's bytes, its length, and its offset in the target. Units that are
    /// neighbours here and there go as one.
    fn runs(&self, desk: &Desk, offsets: &[u64]) -> Vec<(usize, usize, u64)> {
        let (_, starts) = desk.stored(&self.shape);
        let lead = self.shape.lead as usize;
        let mut runs: Vec<(usize, usize, u64)> = Vec::new();
        for ((unit, start), offset) in desk.units.iter().zip(starts).zip(offsets) {
            let (from, at) = (start - lead, offset - lead as u64);
            let length = self.shape.padded(unit.stored) as usize;
            match runs.last_mut() {
                Some(last) if last.0 + last.1 == from && last.2 + last.1 as u64 == at => last.1 += length,
                _ => runs.push((from, length, at)),
            }
        }
        runs
    }

    fn done(&self, bytes: u64, zero: u64, sent: u64) -> Result<()> {
        self.meter.sent.fetch_add(sent, Relaxed);
        self.meter.zero.fetch_add(zero, Relaxed);
        self.meter.add(bytes);
        self.checkpoint(false)
    }

    /// Makes the longest written run of placed chunks durable, then records it.
    fn checkpoint(&self, now: bool) -> Result<()> {
        let mut journal = match self.journal.try_lock() {
            Ok(journal) => journal,
            Err(_) if now => lock(&self.journal),
            Err(_) => return Ok(()),
        };
        let Some(last) = journal.1 else { return Ok(()) };
        let ready = {
            let mut order = lock(&self.order);
            let full = order.queued_units > QUEUED_UNITS_MOST;
            if !now && !full && last.elapsed() < self.options.checkpoint {
                return Ok(());
            }
            order.take_written()
        };
        journal.1 = None;
        self.sink.sync().map_err(|e| self.io("flush", e))?;
        journal::append(journal.0, &ready).map_err(|e| self.io("record a checkpoint of", e))?;
        journal.1 = Some(Instant::now());
        Ok(())
    }

    /// What no checkpoint has recorded yet; it may be once `finish` has made it durable.
    pub fn unrecorded(&self) -> Vec<Record> {
        lock(&self.order).take_written()
    }

    /// BLAKE3 over the hashes of every MiB, if they were made.
    pub fn root(&self) -> Option<Hash> {
        self.zero_hash.map(|_| *lock(&self.order).root.finalize().as_bytes())
    }

    /// Tables first; everything is durable before the last patch, which makes the target valid. Says how long it is.
    pub fn finish(&self) -> Result<u64> {
        let mut order = lock(&self.order);
        for page in 0..PAGES_MOST {
            let Ending { mut patches, length, more } = order.layout.finish(page)?;
            let last = if more { None } else { patches.pop() };
            for (offset, bytes) in patches {
                self.patch(&mut order, offset, &bytes)?;
            }
            if more {
                continue;
            }
            let last_end =
                last.as_ref().map_or(0, |(offset, bytes)| offset.saturating_add(bytes.len() as u64));
            order.fill(last.as_ref().map_or(0, |last| last.0), last_end);
            let end = order.cover(length, length);
            std::mem::take(&mut order.gaps).into_iter().chain(end).try_for_each(|gap| self.zero(gap))?;
            let flush = || self.sink.finish(length).map_err(|e| self.io("flush", e));
            self.sink.set_lengths(&order.layout.lengths()?).map_err(|e| self.io("flush", e))?;
            flush()?;
            if let Some((offset, bytes)) = last {
                self.patch(&mut order, offset, &bytes)?;
                flush()?;
            }
            return Ok(length);
        }
        Err(Error::new(ErrorKind::Layout, "the format writer does not end: more than a million pages"))
    }

    fn patch(&self, order: &mut Order, offset: u64, bytes: &[u8]) -> Result<()> {
        order
            .cover(offset, offset.saturating_add(bytes.len() as u64))
            .map_or(Ok(()), |gap| self.zero(gap))?;
        self.sink.write_at(bytes, offset).map_err(|e| self.io("finish", e))
    }

    /// Adds what is still to be copied to an error that says there is no room.
    fn explain(&self, e: Error) -> Error {
        if e.kind != ErrorKind::NoSpace {
            return e;
        }
        let mut rest = Walk::new(self.source, self.shape.chunk(), lock(&self.order).next);
        let mut bytes = 0;
        while let Ok(Some(step)) = rest.step() {
            if let Step::Chunk(_, data) = step {
                bytes += data.iter().map(|range| range.end - range.start).sum::<u64>();
            }
        }
        Error { context: format!("{}; {bytes} more bytes of data are to be copied", e.context), ..e }
    }
}

/// As many hashes of zeroes as there are MiB in `bytes`; the disk's last may be shorter. Nothing where none are made.
pub(crate) fn hash_zeroes(root: &mut blake3::Hasher, bytes: u64, zero_hash: Option<&Hash>) {
    let Some(zero_hash) = zero_hash else { return };
    for _ in 0..bytes / MIB {
        root.update(zero_hash);
    }
    if !bytes.is_multiple_of(MIB) {
        root.update(blake3::hash(&vec![0; (bytes % MIB) as usize]).as_bytes());
    }
}

impl Order {
    fn push(&mut self, record: Record) -> u64 {
        if let Record::Chunk { units, .. } = &record {
            self.queued_units += units.len() + 1;
        }
        self.queue.push_back(Placed { record, written: false });
        self.first + self.queue.len() as u64 - 1
    }

    /// Chunks of zeroes need no writing; a run of them is one record.
    fn push_zero(&mut self, count: u64) {
        match self.queue.back_mut() {
            Some(Placed { record: Record::Zero(run), .. }) => *run += count,
            _ => self.queue.push_back(Placed { record: Record::Zero(count), written: true }),
        }
    }

    fn mark_written(&mut self, ticket: u64) {
        if let Some(placed) = self.queue.get_mut((ticket - self.first) as usize) {
            placed.written = true;
        }
    }

    /// The written ones at the front.
    fn take_written(&mut self) -> Vec<Record> {
        let ready = self.queue.iter().take_while(|placed| placed.written).count();
        self.first += ready as u64;
        let records: Vec<Record> = self.queue.drain(..ready).map(|placed| placed.record).collect();
        self.queued_units = self
            .queue
            .iter()
            .map(|placed| match &placed.record {
                Record::Chunk { units, .. } => units.len() + 1,
                _ => 0,
            })
            .sum();
        records
    }
}
