//! Reads the complete target back, side by side, and compares every MiB with what was read from the source.

use crate::engine::{Options, lock};
use crate::journal::{Hash, Reader, Record};
use crate::layout::{MIB, Shape, Unit};
use crate::progress::Meter;
use crate::sink::Sink;
use crate::{Error, ErrorKind, Result};
use block::{Buffer, is_zero};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub(crate) struct Verify<'a> {
    pub sink: &'a dyn Sink,
    /// The target, for messages.
    pub name: &'a Path,
    pub shape: Shape,
    /// Whether ranges without data lie at their own offsets and have to be read as well: nothing but this transfer made
    /// them zero.
    pub zeroes: bool,
    /// Bytes of the disk.
    pub length: u64,
    pub options: &'a Options,
    pub meter: Meter<'a>,
}

/// What is left of the checkpoint.
struct Rest<'a> {
    records: Reader<'a>,
    /// Chunks taken.
    seen: u64,
    /// Chunks of zeroes of the last record that are still to be read.
    zeroes: u64,
}

/// A chunk to compare; one of zeroes has neither hashes nor units.
struct Chunk {
    start: u64,
    length: usize,
    hashes: Vec<Hash>,
    units: Vec<(Unit, u64)>,
}

impl Verify<'_> {
    /// Compares all that the checkpoint says is there.
    pub fn run(&self, records: Reader<'_>) -> Result<()> {
        let queue = Mutex::new(Rest { records, seen: 0, zeroes: 0 });
        let (failure, stop) = (Mutex::new(None), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..self.options.workers(&self.shape) {
                scope.spawn(|| {
                    if let Err(e) = self.work(&queue, &stop) {
                        stop.store(true, Relaxed);
                        lock(&failure).get_or_insert(e);
                    }
                });
            }
        });
        if let Some(e) = lock(&failure).take() {
            return Err(e);
        }
        let seen = lock(&queue).seen;
        if seen != self.length.div_ceil(self.shape.chunk()) {
            let what = format!("{}: the checkpoint knows of {seen} chunks only", self.name.display());
            return Err(Error::new(ErrorKind::Verify, what));
        }
        self.meter.end();
        Ok(())
    }

    fn work(&self, queue: &Mutex<Rest<'_>>, stop: &AtomicBool) -> Result<()> {
        let mut buffer = Buffer::new(self.shape.chunk() as usize);
        while let Some(chunk) = self.next(queue).filter(|_| !stop.load(Relaxed)) {
            if self.options.cancel.load(Relaxed) {
                let what = format!("stopped as asked while {} was compared", self.name.display());
                return Err(Error::new(ErrorKind::Cancelled, what));
            }
            self.compare(&chunk, &mut buffer)?;
            self.meter.add(chunk.length as u64);
        }
        Ok(())
    }

    /// The next chunk that has to be read.
    fn next(&self, queue: &Mutex<Rest<'_>>) -> Option<Chunk> {
        let mut queue = lock(queue);
        let size = self.shape.chunk();
        loop {
            let start = queue.seen * size;
            let length = size.min(self.length.saturating_sub(start)) as usize;
            if queue.zeroes > 0 {
                queue.seen += 1;
                queue.zeroes -= 1;
                return Some(Chunk { start, length, hashes: Vec::new(), units: Vec::new() });
            }
            match queue.records.next()? {
                Record::Zero(count) if self.zeroes => queue.zeroes = count,
                Record::Zero(count) => {
                    queue.seen += count;
                    self.meter.add((queue.seen * size).min(self.length) - start);
                }
                Record::Chunk { hashes, units } => {
                    queue.seen += 1;
                    return Some(Chunk { start, length, hashes, units });
                }
                Record::Complete(_) => {}
            }
        }
    }

    fn compare(&self, chunk: &Chunk, buffer: &mut [u8]) -> Result<()> {
        let unit = self.shape.unit as usize;
        let mut at = 0;
        let mut units = &chunk.units[..];
        while let Some((first, rest)) = units.split_first() {
            let from = (first.0.index * unit as u64 - chunk.start) as usize;
            self.between(chunk.start + at as u64, &mut buffer[at..from])?;
            // Plain units that are neighbours here and there are read as one.
            let neighbours = rest.iter().zip(1..).take_while(|((next, offset), distance)| {
                !first.0.compressed
                    && !next.compressed
                    && next.index == first.0.index + distance
                    && *offset == first.1 + distance * unit as u64
            });
            let count = 1 + neighbours.count();
            at = from + count * unit;
            self.read(first, &mut buffer[from..at])?;
            units = &units[count..];
        }
        let end = chunk.length.max(at);
        self.between(chunk.start + at as u64, &mut buffer[at..end])?;
        if chunk.hashes.is_empty() && !is_zero(&buffer[..chunk.length]) {
            return Err(self.differs(chunk.start, "bytes that must be zero are not"));
        }
        for (hash, mib) in chunk.hashes.iter().zip(buffer[..chunk.length].chunks(MIB as usize)) {
            if *blake3::hash(mib).as_bytes() != *hash {
                return Err(self.differs(chunk.start, "bytes differ"));
            }
        }
        Ok(())
    }

    /// What lies between units reads as zeroes.
    fn between(&self, at: u64, into: &mut [u8]) -> Result<()> {
        if !self.zeroes || into.is_empty() {
            into.fill(0);
            return Ok(());
        }
        let io = |e| Error::io(format!("cannot read back {}", self.name.display()), e);
        if self.sink.read_at(into, at).map_err(io)? < into.len() {
            return Err(self.differs(at, "the target is too short"));
        }
        Ok(())
    }

    fn read(&self, (unit, offset): &(Unit, u64), into: &mut [u8]) -> Result<()> {
        let logical = unit.index * u64::from(self.shape.unit);
        let io = |e| Error::io(format!("cannot read back {}", self.name.display()), e);
        if unit.compressed {
            let mut stored = vec![0; unit.stored as usize];
            if self.sink.read_at(&mut stored, *offset).map_err(io)? < stored.len() {
                return Err(self.differs(logical, "the file is too short"));
            }
            let unpacked =
                self.shape.codec.decode(&stored, into).map_err(|e| self.differs(logical, &e.context))?;
            if unpacked < into.len() {
                return Err(self.differs(logical, "a unit unpacks to too little"));
            }
            return Ok(());
        }
        let read = self.sink.read_at(into, *offset).map_err(io)?;
        // A raw file ends where the disk does, which may be within its last unit.
        let there = (self.length - logical).min(into.len() as u64) as usize;
        if read < there {
            return Err(self.differs(logical, "the file is too short"));
        }
        into[read..].fill(0);
        Ok(())
    }

    fn differs(&self, at: u64, what: &str) -> Error {
        let name = self.name.display();
        let what = format!("{name} does not hold what was written to it: {what} at byte {at} of the disk");
        Error::new(ErrorKind::Verify, format!("{what}; its medium is not to be trusted, write to another"))
    }
}
