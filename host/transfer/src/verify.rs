//! Reads the complete target back, side by side, and compares every MiB with what was read from the source.

use crate::engine::{Options, lock};
use crate::journal::{Hash, Reader, Record};
use crate::layout::{MIB, Shape, Unit};
use crate::progress::Meter;
use crate::sink::Sink;
use crate::{Error, ErrorKind, Result};
use block::Buffer;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub(crate) struct Verify<'a> {
    pub sink: &'a dyn Sink,
    /// The target, for messages.
    pub name: &'a Path,
    pub shape: Shape,
    /// Bytes of the disk.
    pub length: u64,
    pub options: &'a Options,
    pub meter: Meter<'a>,
}

/// A chunk to compare.
struct Chunk {
    start: u64,
    length: usize,
    hashes: Vec<Hash>,
    units: Vec<(Unit, u64)>,
}

impl Verify<'_> {
    /// Compares all that the checkpoint says is there.
    pub fn run(&self, records: Reader<'_>) -> Result<()> {
        let queue = Mutex::new((records, 0));
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
        let seen = lock(&queue).1;
        if seen != self.length.div_ceil(self.shape.chunk()) {
            let what = format!("{}: the checkpoint knows of {seen} chunks only", self.name.display());
            return Err(Error::new(ErrorKind::Verify, what));
        }
        self.meter.end();
        Ok(())
    }

    fn work(&self, queue: &Mutex<(Reader<'_>, u64)>, stop: &AtomicBool) -> Result<()> {
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

    /// The next chunk that has something stored.
    fn next(&self, queue: &Mutex<(Reader<'_>, u64)>) -> Option<Chunk> {
        let mut queue = lock(queue);
        let size = self.shape.chunk();
        loop {
            let start = queue.1 * size;
            match queue.0.next()? {
                Record::Zero(count) => {
                    queue.1 += count;
                    self.meter.add((queue.1 * size).min(self.length) - start);
                }
                Record::Chunk { hashes, units } => {
                    queue.1 += 1;
                    let length = size.min(self.length - start) as usize;
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
            buffer[at..from].fill(0);
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
        buffer[at..end].fill(0);
        for (hash, mib) in chunk.hashes.iter().zip(buffer[..chunk.length].chunks(MIB as usize)) {
            if *blake3::hash(mib).as_bytes() != *hash {
                return Err(self.differs(chunk.start, "bytes differ"));
            }
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
