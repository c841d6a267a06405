use crate::engine::{CHUNK, Pace, run_gated};
use crate::*;
use block::{Disk, MemoryDisk};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const LENGTH: usize = (5 << 20) + 4321;

/// Data, zeroes in between, an odd end.
fn disk(seed: u64) -> Vec<u8> {
    let mut random = seed | 1;
    let mut bytes = vec![0; LENGTH];
    for (number, block) in bytes.chunks_mut(32 << 10).enumerate() {
        for byte in block.iter_mut().filter(|_| number % 5 < 3) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            *byte = random as u8;
        }
    }
    bytes
}

/// Appends units and ends with a table of them, as image formats do.
#[derive(Default)]
struct Append(Vec<u64>);

impl Layout for Append {
    fn shape(&self) -> Shape {
        Shape { unit: 64 << 10, codec: Codec::None, level: 0, align: 512, plain_if_larger: true }
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let from = self.0.len() as u64;
        self.0.extend(units.iter().map(|unit| unit.index));
        Ok((from..self.0.len() as u64).map(|slot| slot * (64 << 10)).collect())
    }
    fn finish(&mut self, _: u32) -> Result<Ending> {
        let at = self.0.len() as u64 * (64 << 10);
        let table: Vec<u8> = self.0.iter().flat_map(|index| index.to_le_bytes()).collect();
        Ok(Ending { length: at + table.len() as u64, patches: vec![(at, table)], more: false })
    }
}

/// What an `Append` file holds.
fn unpack(path: &Path) -> Vec<u8> {
    let file = std::fs::read(path).unwrap();
    let count = file.len() / ((64 << 10) + 8);
    let (units, table) = file.split_at(count * (64 << 10));
    let mut bytes = vec![0; LENGTH.next_multiple_of(64 << 10)];
    for (unit, index) in units.chunks(64 << 10).zip(table.chunks(8)) {
        let index = u64::from_le_bytes(index.try_into().unwrap()) as usize;
        bytes[index << 16..(index + 1) << 16].copy_from_slice(unit);
    }
    bytes.truncate(LENGTH);
    bytes
}

fn options(identity: &str) -> Options {
    Options { threads: 3, verify: true, identity: identity.into(), ..Options::default() }
}

/// A run whose N-th write fails, with a checkpoint after every chunk.
fn killed(source: &dyn Disk, target: &Path, identity: &str, writes: u64) -> Result<Report> {
    let left = AtomicU64::new(writes);
    let gate = || {
        let more = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        more.map(|_| ()).map_err(|_| std::io::Error::other("killed"))
    };
    let pace = Pace { bytes: 0, time: Duration::ZERO };
    run_gated(source, target, Box::<Append>::default(), &options(identity), &|_| (), &gate, pace)
}

fn resume(source: &dyn Disk, target: &Path, identity: &str) -> Report {
    run(source, target, Box::<Append>::default(), &options(identity), &|_| ()).unwrap()
}

#[test]
fn raw_is_identical_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let bytes = disk(1);
    let source = MemoryDisk::new(bytes.clone());
    let raw = || Box::new(Raw { length: LENGTH as u64 });
    let report = run(&source, &target, raw(), &options("a"), &|_| ()).unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
    assert!(report.zero_bytes > 0);
    let mut root = blake3::Hasher::new();
    bytes.chunks(CHUNK as usize).for_each(|chunk| {
        root.update(blake3::hash(chunk).as_bytes());
    });
    assert_eq!(report.hash, *root.finalize().as_bytes());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let again = run(&source, &target, raw(), &options("a"), &|_| ()).unwrap_err();
    assert_eq!(again.kind, ErrorKind::Exists);
}

#[test]
fn a_killed_run_resumes_identically() {
    let bytes = disk(2);
    let source = MemoryDisk::new(bytes.clone());
    let mut spared = 0;
    for writes in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        if killed(&source, &target, "a", writes).is_ok() {
            continue;
        }
        assert!(!target.exists());
        // Killed a second time, then left alone.
        let second = killed(&source, &target, "a", 2).is_ok();
        if !second {
            let report = resume(&source, &target, "a");
            spared += u64::from(report.bytes_read < LENGTH as u64);
        }
        assert!(unpack(&target) == bytes, "killed at write {writes}");
    }
    assert!(spared > 0, "no run made use of its checkpoint");
}

#[test]
fn a_torn_or_damaged_journal_ends_there() {
    let bytes = disk(3);
    let source = MemoryDisk::new(bytes.clone());
    for cut in [0usize, 1, 7, 30, 200] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        killed(&source, &target, "a", 12).unwrap_err();
        let path = folder.path().join(".out.wherry-checkpoint");
        let mut journal = std::fs::read(&path).unwrap();
        journal.truncate(journal.len().saturating_sub(cut));
        if let Some(last) = journal.last_mut().filter(|_| cut == 30) {
            *last ^= 0x40;
        }
        std::fs::write(&path, journal).unwrap();
        resume(&source, &target, "a");
        assert!(unpack(&target) == bytes, "cut {cut}");
    }
}

#[test]
fn another_source_starts_afresh() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    killed(&MemoryDisk::new(disk(4)), &target, "a", 8).unwrap_err();
    let bytes = disk(5);
    let report = resume(&MemoryDisk::new(bytes.clone()), &target, "b");
    assert_eq!(report.bytes_read, LENGTH as u64);
    assert!(unpack(&target) == bytes);
}

#[test]
fn the_rate_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let source = MemoryDisk::new(disk(6));
    let options = Options { limit_rate: Some(10 << 20), ..options("a") };
    let start = Instant::now();
    run(&source, &folder.path().join("out"), Box::<Append>::default(), &options, &|_| ()).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(480));
}

#[test]
fn compression_is_refused_plainly() {
    struct Packed;
    impl Layout for Packed {
        fn shape(&self) -> Shape {
            Shape { codec: Codec::Zstd, ..Append::default().shape() }
        }
        fn place(&mut self, _: &[Unit]) -> Result<Vec<u64>> {
            Ok(Vec::new())
        }
        fn finish(&mut self, _: u32) -> Result<Ending> {
            Ok(Ending::default())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let source = MemoryDisk::new(vec![1; 100]);
    let refused = run(&source, &folder.path().join("out"), Box::new(Packed), &options("a"), &|_| ());
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Unsupported);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
