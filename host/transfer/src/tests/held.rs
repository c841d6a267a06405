//! Targets that are overwritten in place: complete, or visibly not.

use super::crash::{Fragile, Medium};
use super::*;
use crate::engine::Order;
use crate::held::{Held, Mark, is_incomplete};
use crate::journal;
use crate::run::{Past, Transfer, replay};
use crate::sink::Sink;
use block::{Disk, Extent, Kind, MemoryDisk};
use std::fs::File;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const LENGTH: usize = (5 << 20) + 512;

fn raw() -> Box<dyn Layout> {
    Box::new(Raw { length: LENGTH as u64 })
}

impl Sink for &Fragile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        (*self).write_at(bytes, offset)
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        (*self).zero(offset, length)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (*self).read_at(buffer, offset)
    }
    fn sync(&self) -> io::Result<()> {
        (*self).sync()
    }
    fn finish(&self, length: u64) -> io::Result<()> {
        (*self).finish(length)
    }
}

/// One run, as `run` does it around the files; whether it was complete before.
fn attempt(source: &dyn Disk, medium: &Fragile, head: &File, journal: &File, threads: usize) -> Result<bool> {
    let options = Options { checkpoint: Duration::ZERO, ..options(threads) };
    let header = journal::header(&options.identity, source.length(), &raw().shape());
    let (mut order, mark) = (Order::new(raw()), Mark::new(&header));
    let (head, io) = (head.try_clone().unwrap(), |e| Error::io("the medium", e));
    let held = match replay(journal, &header, &mut order, (source.length(), true))? {
        Past::Nothing => {
            let held = Held::begin(medium, head, source.length(), &mark).map_err(io)?;
            journal::reset(journal, &header).unwrap();
            held
        }
        Past::Begun => Held::resume(medium, head, source.length(), &mark).map_err(io)?.expect("it is ours"),
        Past::Complete(_) => return Ok(true),
    };
    let (name, header) = (Path::new("held"), &header[..]);
    let transfer = Transfer { source, sink: &held, name, journal, header, options: &options, tell: &|_| () };
    transfer.run(order).map(|_| false)
}

#[test]
fn after_every_crash_it_is_complete_or_visibly_not() {
    let bytes = content(61, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    let old = vec![0xee; LENGTH.next_multiple_of(64 << 10)];
    let medium =
        |left| Fragile(Mutex::new(Medium { durable: old.clone(), pending: Vec::new(), sector: 512, left }));
    let mut random = Random::new(61);
    let (mut marked, mut crash) = (0, 0);
    loop {
        let (sink, head, journal) =
            (medium(crash), tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        if attempt(&source, &sink, &head, &journal, 1).is_ok() {
            break;
        }
        for left in [random.below(60), u64::MAX] {
            let mut medium = sink.0.lock().unwrap();
            medium.fail(&mut random, left);
            let begins = medium.durable[..4096] == bytes[..4096];
            assert!(
                !begins || medium.durable[..LENGTH] == bytes,
                "incomplete after {crash}, and not visibly"
            );
            marked += u32::from(is_incomplete(&medium.durable));
            drop(medium);
            let _ended = attempt(&source, &sink, &head, &journal, 1 + random.below(3) as usize);
        }
        assert!(attempt(&source, &sink, &head, &journal, 1).unwrap(), "after {crash}");
        assert!(sink.0.into_inner().unwrap().durable[..LENGTH] == bytes, "after {crash}");
        crash += 1;
    }
    assert!(crash > 20 && marked > 20, "{marked} of {crash}");
}

/// A file to be overwritten, and the folder that it is alone in.
fn disk(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = (folder.path().join("disk"), folder.path().join("checkpoint"));
    std::fs::write(&path, content).unwrap();
    (folder, path, checkpoint)
}

#[test]
fn a_stopped_copy_is_marked_and_goes_on_only_where_it_was() {
    let (folder, path, checkpoint) = disk(&vec![0xee; 6 << 20]);
    let bytes = content(62, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    let target = Target::Existing { path: &path, checkpoint: &checkpoint };
    let stopping = Options { limit_rate: Some(10 << 20), ..options(1) };
    let stop = |_| stopping.cancel.store(true, Relaxed);
    assert_eq!(run(&source, target, raw(), &stopping, &stop).unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(names(folder.path()), [".checkpoint-head", "checkpoint", "disk"]);
    let partial = std::fs::read(&path).unwrap();
    assert!(is_incomplete(&partial) && !is_incomplete(&bytes));
    // Another device under this name, as long and as empty as can be.
    std::fs::write(&path, vec![0; 6 << 20]).unwrap();
    let another = run(&source, target, raw(), &options(2), &|_| ()).unwrap_err();
    assert_eq!(another.kind, ErrorKind::Exists);
    let said = another.to_string();
    assert!(said.contains("/disk is not what") && said.contains("/checkpoint to start afresh"), "{said}");
    assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0), "nothing is written to it");
    std::fs::write(&path, partial).unwrap();
    let report = run(&source, target, raw(), &options(2), &|_| ()).unwrap();
    assert!(report.resumed_bytes > 0);
    assert_eq!(report.hash, Some(root(&bytes)));
    assert!(std::fs::read(&path).unwrap() == bytes);
    assert_eq!(names(folder.path()), ["disk"]);
}

#[test]
fn disks_shorter_than_what_is_held_back() {
    for length in [512, 4096, 4608, 1 << 20] {
        let (folder, path, checkpoint) = disk(&vec![0xee; 2 << 20]);
        let bytes = vec![7; length];
        let target = Target::Existing { path: &path, checkpoint: &checkpoint };
        let layout = Box::new(Raw { length: length as u64 });
        run(&MemoryDisk::new(bytes.clone()), target, layout, &options(2), &|_| ()).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes, "{length}");
        assert_eq!(names(folder.path()), ["disk"]);
    }
}

/// Somebody else's disk, which says which of it is zero and counts what it is asked to zero.
struct Export {
    disk: MemoryDisk,
    /// Zero from here on.
    used: u64,
    zeroed: AtomicU64,
}

impl Disk for Export {
    fn length(&self) -> u64 {
        self.disk.length()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> block::Result<()> {
        self.disk.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> block::Result<()> {
        self.disk.write_at(offset, bytes)
    }
    fn zero(&self, offset: u64, length: u64) -> block::Result<()> {
        assert!(offset + length <= self.used, "{offset}+{length} is zero already");
        self.zeroed.fetch_add(length, Relaxed);
        self.disk.zero(offset, length)
    }
    fn extents(&self, start: u64, length: u64) -> block::Result<Vec<Extent>> {
        let (end, middle) = (start + length, self.used.clamp(start, start + length));
        let both = [(start, middle, Kind::Data), (middle, end, Kind::Zero)];
        let there = both.into_iter().filter(|(from, to, _)| from < to);
        Ok(there.map(|(offset, to, kind)| Extent { offset, length: to - offset, kind }).collect())
    }
}

#[test]
fn somebody_else_s_disk_is_overwritten_to_the_byte_and_zeroed_where_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let bytes = content(63, 2 * LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    for (room, used) in [(bytes.len(), 0), (bytes.len(), 3 << 20), (bytes.len() + 9999, bytes.len() + 9999)] {
        let mut old = vec![0xee; room];
        old[used..].fill(0);
        let export = Export { disk: MemoryDisk::new(old), used: used as u64, zeroed: AtomicU64::new(0) };
        let target = Target::Disk { disk: &export, name: Path::new("export"), checkpoint: &checkpoint };
        let layout = || Box::new(Raw { length: bytes.len() as u64 });
        let stopping = Options { limit_rate: Some(20 << 20), ..options(1) };
        let stop = |_| stopping.cancel.store(true, Relaxed);
        assert_eq!(run(&source, target, layout(), &stopping, &stop).unwrap_err().kind, ErrorKind::Cancelled);
        let mut there = vec![0; room];
        export.read_at(0, &mut there).unwrap();
        assert!(is_incomplete(&there));
        let report = run(&source, target, layout(), &options(3), &|_| ()).unwrap();
        assert!(report.resumed_bytes > 0);
        export.read_at(0, &mut there).unwrap();
        assert!(there[..bytes.len()] == bytes, "{room} {used}");
        assert!(there[bytes.len()..].iter().all(|byte| *byte == 0xee), "what lies behind stays");
        assert_eq!(export.zeroed.load(Relaxed) > 0, used > 0);
        assert!(names(folder.path()).is_empty());
    }
    // Too small: the disk's own word, and the checkpoint stays.
    let small = MemoryDisk::new(vec![0; LENGTH]);
    let target = Target::Disk { disk: &small, name: Path::new("export"), checkpoint: &checkpoint };
    let layout = Box::new(Raw { length: bytes.len() as u64 });
    let failed = run(&source, target, layout, &options(2), &|_| ()).unwrap_err().to_string();
    assert!(failed.contains("export") && failed.contains("beyond"), "{failed}");
}

/// A device that does not zero a range when it is asked to for the `deaf`th time.
struct Deaf {
    medium: Fragile,
    asked: AtomicU64,
    deaf: u64,
}

impl Sink for Deaf {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.medium.write_at(bytes, offset)
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        match self.asked.fetch_add(1, Relaxed) == self.deaf {
            true => Ok(()),
            false => self.medium.zero(offset, length),
        }
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.medium.read_at(buffer, offset)
    }
    fn holds_old_bytes(&self) -> bool {
        true
    }
    fn sync(&self) -> io::Result<()> {
        self.medium.sync()
    }
    fn finish(&self, length: u64) -> io::Result<()> {
        self.medium.finish(length)
    }
}

#[test]
fn old_bytes_where_zeroes_must_be_are_found() {
    // A gap within a chunk, one of whole chunks and more, and one at the end.
    let length = (8 << 20) + 512;
    let mut bytes = vec![0; length];
    for range in [0..64 << 10, (256 << 10)..(300 << 10), (4 << 20)..(4 << 20) + 5] {
        bytes[range].fill(7);
    }
    let source = MemoryDisk::new(bytes);
    let mut found = Vec::new();
    for deaf in 0..4 {
        let durable = vec![0xee; length.next_multiple_of(64 << 10)];
        let medium = Medium { durable, pending: vec![], sector: 1, left: u64::MAX };
        let sink = Deaf { medium: Fragile(Mutex::new(medium)), asked: AtomicU64::new(0), deaf };
        let layout: Box<dyn Layout> = Box::new(Raw { length: length as u64 });
        let journal = tempfile::tempfile().unwrap();
        let header = journal::header("a", source.length(), &layout.shape());
        journal::reset(&journal, &header).unwrap();
        let (name, options) = (Path::new("deaf"), options(3));
        let transfer = Transfer {
            source: &source,
            sink: &sink,
            name,
            journal: &journal,
            header: &header,
            options: &options,
            tell: &|_| (),
        };
        let result = transfer.run(Order::new(layout));
        assert!(result.as_ref().err().is_none_or(|e| e.kind == ErrorKind::Verify));
        found.push(result.is_err());
    }
    assert_eq!(found, [true, true, true, false], "each of three gaps, and then there is none");
}
