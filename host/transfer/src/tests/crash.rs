//! Power failures: every write and every flush can be the last one, and what was not flushed may be there or not.

use super::*;
use crate::engine::Order;
use crate::journal;
use crate::run::{Past, Transfer, replay};
use crate::sink::Sink;
use block::{Disk, MemoryDisk};
use std::fs::File;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is on the medium, and what is on its way.
pub(super) struct Medium {
    pub durable: Vec<u8>,
    pub pending: Vec<(u64, Vec<u8>)>,
    /// Bytes that are written as a whole.
    pub sector: usize,
    /// Operations until the power fails.
    pub left: u64,
}

/// A disk or file that forgets.
pub(super) struct Fragile(pub Mutex<Medium>);

impl Medium {
    fn step(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::Error::other("the power failed"))?;
        Ok(())
    }
    fn apply(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset as usize + bytes.len();
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[offset as usize..end].copy_from_slice(bytes);
    }
    fn flush(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            self.apply(offset, &bytes);
        }
    }
    /// Some of what was on its way arrives, some of it in part, and the power is back.
    pub fn fail(&mut self, random: &mut Random, left: u64) {
        for (offset, mut bytes) in std::mem::take(&mut self.pending) {
            match random.below(3) {
                0 => {}
                1 => {
                    let whole = random.below(bytes.len() as u64 + 1) as usize;
                    bytes.truncate(whole - whole % self.sector);
                    self.apply(offset, &bytes);
                }
                _ => self.apply(offset, &bytes),
            }
        }
        self.left = left;
    }
}

impl Fragile {
    fn with<T>(&self, what: impl FnOnce(&mut Medium) -> io::Result<T>) -> io::Result<T> {
        let mut medium = self.0.lock().unwrap();
        medium.step()?;
        what(&mut medium)
    }
}

impl Sink for Fragile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|medium| {
            medium.pending.push((offset, bytes.to_vec()));
            Ok(())
        })
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        self.write_at(&vec![0; length as usize], offset)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|medium| {
            medium.flush();
            let there = &medium.durable[(offset as usize).min(medium.durable.len())..];
            let take = there.len().min(buffer.len());
            buffer[..take].copy_from_slice(&there[..take]);
            Ok(take)
        })
    }
    fn sync(&self) -> io::Result<()> {
        self.with(|medium| {
            medium.flush();
            Ok(())
        })
    }
    fn finish(&self, length: u64) -> io::Result<()> {
        self.with(|medium| {
            medium.flush();
            medium.durable.truncate(length as usize);
            Ok(())
        })
    }
}

/// One run, as `run` does it around the files.
fn attempt(
    source: &dyn Disk,
    sink: &dyn Sink,
    journal: &File,
    layout: Box<dyn Layout>,
    threads: usize,
) -> Result<Report> {
    let options = Options { checkpoint: Duration::ZERO, ..options(threads) };
    let header = journal::header(&options.identity, source.length(), &layout.shape());
    let mut order = Order::new(layout);
    match replay(journal, &header, &mut order, (source.length(), true))? {
        Past::Nothing => journal::reset(journal, &header).unwrap(),
        Past::Begun => {}
        Past::Complete(_) => panic!("complete, and run again"),
    }
    let (name, header) = (Path::new("fragile"), &header[..]);
    Transfer { source, sink, name, journal, header, options: &options, tell: &|_| () }.run(order)
}

/// Fails after every number of operations, twice, then lets it end; says how much was spared by checkpoints.
fn every_crash(seed: u64, length: usize, layout: impl Fn() -> Box<dyn Layout>, old: Vec<u8>) -> u64 {
    let bytes = content(seed, length);
    let source = MemoryDisk::new(bytes.clone());
    let mut random = Random::new(seed);
    let medium =
        |left| Fragile(Mutex::new(Medium { durable: old.clone(), pending: Vec::new(), sector: 1, left }));
    let calm = medium(u64::MAX);
    let report = attempt(&source, &calm, &tempfile::tempfile().unwrap(), layout(), 1).unwrap();
    assert_eq!(report.hash, Some(root(&bytes)));
    let expected = calm.0.into_inner().unwrap();
    let operations = u64::MAX - expected.left;
    let mut spared = 0;
    for crash in 0..operations {
        let (sink, journal) = (medium(crash), tempfile::tempfile().unwrap());
        attempt(&source, &sink, &journal, layout(), 1).unwrap_err();
        let second = random.below(operations);
        sink.0.lock().unwrap().fail(&mut random, second);
        let threads = 1 + random.below(4) as usize;
        let done = attempt(&source, &sink, &journal, layout(), threads);
        if done.is_err() {
            sink.0.lock().unwrap().fail(&mut random, u64::MAX);
            let report = attempt(&source, &sink, &journal, layout(), threads).unwrap();
            assert_eq!(report.hash, Some(root(&bytes)));
            spared += report.resumed_bytes;
        }
        let found = sink.0.into_inner().unwrap();
        assert!(
            found.durable == expected.durable,
            "seed {seed}, crashes after {crash} and {second} operations"
        );
    }
    spared
}

#[test]
fn an_image_survives_every_crash() {
    let spared = every_crash(31, (7 << 20) + 99, || Append::boxed(64 << 10, Codec::None, 512), vec![]);
    assert!(spared > 0, "no run made use of its checkpoint");
}

#[test]
fn a_compressed_image_survives_every_crash() {
    let spared = every_crash(32, (7 << 20) + 99, || Append::boxed(64 << 10, Codec::Zstd, 1), vec![]);
    assert!(spared > 0, "no run made use of its checkpoint");
}

#[test]
fn a_device_with_old_content_survives_every_crash() {
    let length = (7 << 20) + 512;
    let layout = || Box::new(Raw { length: length as u64 }) as Box<dyn Layout>;
    let spared = every_crash(33, length, layout, vec![0xee; length.next_multiple_of(64 << 10)]);
    assert!(spared > 0, "no run made use of its checkpoint");
}

#[test]
fn a_torn_or_damaged_journal_ends_there() {
    let bytes = content(34, 7 << 20);
    let source = MemoryDisk::new(bytes.clone());
    let layout = || Append::boxed(64 << 10, Codec::Zlib, 1);
    let mut random = Random::new(34);
    for round in 0..40 {
        let sink = Fragile(Mutex::new(Medium { durable: vec![], pending: vec![], sector: 1, left: 9 }));
        let journal = tempfile::NamedTempFile::new().unwrap();
        attempt(&source, &sink, journal.as_file(), layout(), 2).unwrap_err();
        sink.0.lock().unwrap().fail(&mut random, u64::MAX);
        let mut text = std::fs::read(journal.path()).unwrap();
        if round % 2 == 0 {
            text.truncate(random.below(text.len() as u64) as usize);
        } else {
            let at = random.below(text.len() as u64) as usize;
            text[at] ^= 1 << random.below(8);
        }
        std::fs::write(journal.path(), text).unwrap();
        attempt(&source, &sink, journal.as_file(), layout(), 2).unwrap();
        let found = sink.0.into_inner().unwrap();
        assert!(unpack(&found.durable, layout().shape(), bytes.len()) == bytes, "round {round}");
    }
}

/// Stores one byte wrong, once.
struct Liar(Fragile, Mutex<bool>);

impl Sink for Liar {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = bytes.to_vec();
        if std::mem::replace(&mut *self.1.lock().unwrap(), false) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        self.0.write_at(&bytes, offset)
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        self.0.zero(offset, length)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn finish(&self, length: u64) -> io::Result<()> {
        self.0.finish(length)
    }
}

#[test]
fn a_medium_that_lies_is_found_out() {
    for codec in [Codec::None, Codec::Deflate, Codec::Zlib, Codec::Zstd] {
        let source = MemoryDisk::new(content(35, 3 << 20));
        let medium = Medium { durable: vec![], pending: vec![], sector: 1, left: u64::MAX };
        let liar = Liar(Fragile(Mutex::new(medium)), Mutex::new(true));
        let journal = tempfile::NamedTempFile::new().unwrap();
        let layout = Append::boxed(64 << 10, codec, 1);
        let header = journal::header("a", source.length(), &layout.shape());
        journal::reset(journal.as_file(), &header).unwrap();
        let order = Order::new(layout);
        let (name, options) = (Path::new("liar"), options(2));
        let transfer = Transfer {
            source: &source,
            sink: &liar,
            name,
            journal: journal.as_file(),
            header: &header,
            options: &options,
            tell: &|_| (),
        };
        let error = transfer.run(order).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Verify, "{codec:?}: {error}");
        // The next run does not go on with it.
        assert_eq!(std::fs::read(journal.path()).unwrap(), b"");
    }
}

/// A medium that cannot flush once, and works again afterwards.
struct Hiccup {
    medium: Fragile,
    left: AtomicU64,
}

impl Sink for Hiccup {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.medium.write_at(bytes, offset)
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        self.medium.zero(offset, length)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.medium.read_at(buffer, offset)
    }
    fn sync(&self) -> io::Result<()> {
        match self.left.fetch_sub(1, Relaxed) {
            0 => Err(io::Error::other("a hiccup")),
            _ => self.medium.sync(),
        }
    }
    fn finish(&self, length: u64) -> io::Result<()> {
        self.medium.finish(length)
    }
}

/// What a failed checkpoint would have recorded is not missing in the middle of the journal.
#[test]
fn nothing_is_recorded_after_a_checkpoint_that_failed() {
    let bytes = content(7, 24 << 20);
    let source = MemoryDisk::new(bytes.clone());
    let layout = || Append::boxed(64 << 10, Codec::None, 1);
    for flushes in 0..16 {
        let medium = Medium { durable: Vec::new(), pending: Vec::new(), sector: 1, left: u64::MAX };
        let sink = Hiccup { medium: Fragile(Mutex::new(medium)), left: AtomicU64::new(flushes) };
        let journal = tempfile::tempfile().unwrap();
        if attempt(&source, &sink, &journal, layout(), 4).is_ok() {
            continue;
        }
        let report = attempt(&source, &sink, &journal, layout(), 4).unwrap();
        assert_eq!(report.hash, Some(root(&bytes)));
    }
}
