//! Undisturbed transfers.

use super::*;
use block::{Disk, Extent, FileDisk, Kind, MemoryDisk};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const LENGTH: usize = (9 << 20) + 4321;

#[test]
fn raw_is_identical_and_sparse_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let bytes = content(1, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    let raw = || Box::new(Raw { length: LENGTH as u64 });
    let report = run(&source, &target, raw(), &options(3), &|_| ()).unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
    assert_eq!(report.hash, Some(root(&bytes)));
    assert_eq!(report.bytes_read, LENGTH as u64);
    assert!(report.zero_bytes > 3 << 20);
    assert!(target.metadata().unwrap().blocks() * 512 <= report.bytes_written + (64 << 10));
    assert_eq!(names(folder.path()), ["out"]);
    let again = run(&source, &target, raw(), &options(3), &|_| ()).unwrap_err();
    assert_eq!(again.kind, ErrorKind::Exists);
    assert_eq!(names(folder.path()), ["out"]);
}

#[test]
fn every_shape_is_the_same_file_by_any_number_of_workers() {
    let bytes = content(2, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    let shapes = [
        (64 << 10, Codec::None, 64 << 10),
        (64 << 10, Codec::Deflate, 1),
        (64 << 10, Codec::Zlib, 512),
        (64 << 10, Codec::Zstd, 4096),
        (512, Codec::None, 512),
        (4096, Codec::Zstd, 1),
        (256 << 10, Codec::None, 1),
        (1 << 20, Codec::Zstd, 512),
        (2 << 20, Codec::None, 1 << 20),
        (2 << 20, Codec::Zlib, 1),
    ];
    for (unit, codec, align) in shapes {
        let mut first: Option<Vec<u8>> = None;
        for threads in [1, 2, 9] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("out");
            let layout = Append::boxed(unit, codec, align);
            let shape = layout.shape();
            let report = run(&source, &target, layout, &options(threads), &|_| ()).unwrap();
            let file = std::fs::read(&target).unwrap();
            assert_eq!(report.hash, Some(root(&bytes)));
            assert!(unpack(&file, shape, LENGTH) == bytes, "{shape:?}");
            assert!(first.get_or_insert_with(|| file.clone()) == &file, "{shape:?} with {threads} workers");
        }
    }
}

#[test]
fn units_that_outgrow_are_stored_packed_if_the_format_wants_it() {
    let bytes: Vec<u8> = content(3, 3 << 20);
    let source = MemoryDisk::new(bytes.clone());
    for codec in [Codec::Deflate, Codec::Zlib, Codec::Zstd] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let shape = Shape { unit: 4096, codec, level: 0, align: 1, plain_if_larger: false, lead: 0 };
        let layout = Box::new(Append { shape, end: HEAD, table: Vec::new() });
        run(&source, &target, layout, &options(2), &|_| ()).unwrap();
        let file = std::fs::read(&target).unwrap();
        assert!(unpack(&file, shape, bytes.len()) == bytes);
        assert!(file.len() > bytes.len() / 3, "incompressible units are there");
    }
}

/// Says where its data is, and complains about reads elsewhere.
struct Holes {
    length: u64,
    data: Vec<std::ops::Range<u64>>,
    reads: AtomicU64,
}

impl Disk for Holes {
    fn length(&self) -> u64 {
        self.length
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> block::Result<()> {
        let end = offset + buffer.len() as u64;
        assert!(self.data.iter().any(|range| range.start <= offset && end <= range.end), "{offset}..{end}");
        self.reads.fetch_add(buffer.len() as u64, Relaxed);
        buffer.fill(7);
        Ok(())
    }
    fn extents(&self, start: u64, length: u64) -> block::Result<Vec<Extent>> {
        let (mut list, mut at) = (Vec::new(), start);
        let mut add = |to: u64, kind| {
            let to = to.min(start + length);
            if to > at {
                list.push(Extent { offset: at, length: to - at, kind });
                at = to;
            }
        };
        for range in &self.data {
            add(range.start, Kind::Zero);
            add(range.end, Kind::Data);
        }
        add(u64::MAX, Kind::Zero);
        Ok(list)
    }
}

#[test]
fn holes_are_never_read_and_huge_ones_cost_nothing() {
    let data = vec![5000..5001, (3 << 20) - 1..(3 << 20) + 70_000, (1 << 40) - 3..1 << 40];
    let source = Holes { length: (4 << 40) + 5, data, reads: AtomicU64::new(0) };
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let started = Instant::now();
    let layout = Append::boxed(64 << 10, Codec::None, 1);
    let report = run(&source, &target, layout, &options(4), &|_| ()).unwrap();
    assert_eq!(report.bytes_read, 1 + 70_001 + 3);
    assert_eq!(source.reads.load(Relaxed), report.bytes_read);
    assert_eq!(report.bytes_written, 5 * (64 << 10));
    assert_eq!(report.zero_bytes, source.length - report.bytes_written);
    assert!(started.elapsed() < Duration::from_secs(60), "4 TiB of holes were looked at byte by byte");
}

#[test]
fn a_sparse_file_is_copied_by_its_extents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    for at in [0u64, (7 << 20) + 123, 40 << 20, (64 << 20) - 1] {
        file.write_all_at(&[1; 1], at).unwrap();
    }
    let source = FileDisk::open_read(&path).unwrap();
    let target = folder.path().join("out");
    let report = run(&source, &target, Box::new(Raw { length: 64 << 20 }), &options(4), &|_| ()).unwrap();
    assert!(report.bytes_read <= 1 << 20, "{}", report.bytes_read);
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&target).unwrap());
    assert!(target.metadata().unwrap().blocks() * 512 <= 1 << 20);
}

#[test]
fn room_that_was_made_ahead_is_given_back_where_holes_follow() {
    const DENSE: usize = 192 << 20;
    const LENGTH: usize = 400 << 20;
    let mut bytes = vec![0; LENGTH];
    bytes[..DENSE].fill(7);
    bytes[300 << 20] = 8;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let raw = Box::new(Raw { length: LENGTH as u64 });
    run(&MemoryDisk::new(bytes.clone()), &target, raw, &options(4), &|_| ()).unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
    let data = (DENSE + (64 << 10)) as u64;
    let stored = target.metadata().unwrap().blocks() * 512;
    // The file system's own blocks for the file are among them.
    assert!((data..data + (256 << 10)).contains(&stored), "{stored} bytes for {data}");
}

/// Every fourth MiB first, and then back: as formats do that fill what they have left out.
struct Back;

impl Back {
    fn at(index: u64) -> u64 {
        HEAD + ((index - index % 4 + 3 - index % 4) << 20)
    }
}

impl Layout for Back {
    fn shape(&self) -> Shape {
        Shape { unit: 1 << 20, codec: Codec::None, level: 0, align: 1, plain_if_larger: true, lead: 0 }
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        Ok(units.iter().map(|unit| Self::at(unit.index)).collect())
    }
    fn finish(&mut self, _: u32) -> Result<Ending> {
        Ok(Ending { patches: vec![(0, b"head".to_vec())], length: HEAD + (400 << 20), more: false })
    }
}

#[test]
fn gaps_that_are_filled_later_are_not_given_back() {
    const DENSE: usize = 192 << 20;
    let mut bytes = vec![0; 400 << 20];
    bytes[..DENSE].fill(7);
    bytes[300 << 20] = 8;
    let folder = tempfile::tempdir().unwrap();
    for threads in [4, 5] {
        let target = folder.path().join(format!("out-{threads}"));
        run(&MemoryDisk::new(bytes.clone()), &target, Box::new(Back), &options(threads), &|_| ()).unwrap();
        let there = std::fs::read(&target).unwrap();
        for (index, mib) in (0..).zip(bytes.chunks(1 << 20)) {
            let at = Back::at(index) as usize;
            assert!(there[at..at + mib.len()] == *mib, "MiB {index}");
        }
        let (data, stored) = ((DENSE + (1 << 20)) as u64, target.metadata().unwrap().blocks() * 512);
        assert!((data..data + (1 << 20)).contains(&stored), "{stored} bytes for {data}");
    }
}

#[test]
fn the_rate_is_kept_and_progress_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let source = MemoryDisk::new(content(6, LENGTH));
    let options = Options { limit_rate: Some(20 << 20), ..options(4) };
    let start = Instant::now();
    let seen = Mutex::new(Vec::new());
    let layout = Append::boxed(64 << 10, Codec::None, 1);
    let tell = |progress| seen.lock().unwrap().push(progress);
    let report = run(&source, &folder.path().join("out"), layout, &options, &tell).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(430), "{:?}", start.elapsed());
    let seen = seen.into_inner().unwrap();
    for stage in [Stage::Copy, Stage::Verify] {
        let of: Vec<_> = seen.iter().filter(|progress| progress.stage == stage).collect();
        assert!(of.windows(2).all(|pair| pair[0].done <= pair[1].done && pair[0].sent <= pair[1].sent));
        let last = of.last().unwrap();
        assert_eq!((last.done, last.total), (LENGTH as u64, LENGTH as u64));
        if stage == Stage::Copy {
            assert_eq!(last.sent, report.bytes_written);
            assert!(last.rate > 0 && last.rate <= 21 << 20, "{}", last.rate);
        }
    }
}

#[test]
fn an_existing_file_is_overwritten_only_if_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = (folder.path().join("disk"), folder.path().join("disk.checkpoint"));
    std::fs::write(&path, vec![0xee; 12 << 20]).unwrap();
    let bytes = content(7, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    let target = Target::Existing { path: &path, checkpoint: &checkpoint };
    run(&source, target, Box::new(Raw { length: LENGTH as u64 }), &options(4), &|_| ()).unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes);
    assert_eq!(names(folder.path()), ["disk"]);
    let none = folder.path().join("none");
    let target = Target::Existing { path: &none, checkpoint: &checkpoint };
    let missing =
        run(&source, target, Box::new(Raw { length: LENGTH as u64 }), &options(4), &|_| ()).unwrap_err();
    assert!(missing.to_string().contains("none"), "{missing}");
    let target = Target::Existing { path: folder.path(), checkpoint: &checkpoint };
    let no_disk =
        run(&source, target, Box::new(Raw { length: LENGTH as u64 }), &options(4), &|_| ()).unwrap_err();
    assert_eq!(no_disk.kind, ErrorKind::Unsupported);
    assert_eq!(names(folder.path()), ["disk"]);
}

#[test]
fn little_memory_means_few_workers() {
    let shape = Append::boxed(64 << 10, Codec::None, 1).shape();
    let options = Options { threads: 1000, ..options(1) };
    assert_eq!(options.workers(&shape), 128);
    assert_eq!(Options { memory: 3 << 20, ..options.clone() }.workers(&shape), 3);
    assert_eq!(Options { memory: 0, threads: 0, ..options.clone() }.workers(&shape), 1);
    let packing = Shape { codec: Codec::Zstd, unit: 2 << 20, ..shape };
    assert!(options.workers(&packing) < 20);
}
