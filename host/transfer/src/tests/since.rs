//! Targets of which it is known what changed.

use super::*;
use block::{Disk, Extent, MemoryDisk, Ranges};
use std::ops::Range;
use std::sync::Mutex;

const LENGTH: usize = (24 << 20) + 512;

/// A disk that keeps in mind what was read of it.
struct Watched {
    disk: MemoryDisk,
    read: Mutex<Vec<Range<u64>>>,
}

impl Disk for Watched {
    fn length(&self) -> u64 {
        self.disk.length()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> block::Result<()> {
        self.read.lock().unwrap().push(offset..offset + buffer.len() as u64);
        self.disk.read_at(offset, buffer)
    }
    fn extents(&self, start: u64, length: u64) -> block::Result<Vec<Extent>> {
        self.disk.extents(start, length)
    }
}

#[test]
fn what_did_not_change_is_neither_read_nor_written() {
    let mut random = Random::new(71);
    for round in 0..30 {
        let old = content(100 + round, LENGTH);
        let (mut new, mut changed) = (old.clone(), Vec::new());
        for _ in 0..random.below(12) {
            let start = random.below(LENGTH as u64) as usize;
            let end = (start + 1 + random.below(300_000) as usize).min(LENGTH);
            let byte = random.below(3) as u8;
            new[start..end].fill(byte);
            changed.push(start as u64..end as u64);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("there");
        // What did not change is not looked at: here the target lies, to show it.
        let (mut there, mut expected) = (old.clone(), new.clone());
        let changed = Ranges::new(changed);
        let looked_at = crate::since::looked_at(&changed, LENGTH as u64);
        let kept = (1..LENGTH / (1 << 20))
            .map(|mib| mib << 20)
            .find(|at| looked_at.within(*at as u64, *at as u64 + 9).next().is_none());
        if let Some(at) = kept {
            there[at..at + 9].copy_from_slice(b"not there");
            expected[at..at + 9].copy_from_slice(b"not there");
        }
        std::fs::write(&path, &there).unwrap();
        let source = Watched { disk: MemoryDisk::new(new.clone()), read: Mutex::default() };
        let options = Options { update: true, verify: round % 2 == 0, changed: Some(changed), ..options(3) };
        let checkpoint = folder.path().join("checkpoint");
        let target = Target::Existing { path: &path, checkpoint: &checkpoint };
        let raw = Box::new(Raw { length: LENGTH as u64 });
        let report = run(&source, target, raw, &options, &|_| ()).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected, "round {round}");
        assert_eq!(report.hash, None, "a hash over a part of the disk");
        assert!(
            report.bytes_read <= looked_at.bytes() && report.bytes_written <= looked_at.bytes() + (128 << 10)
        );
        for read in source.read.into_inner().unwrap() {
            let known: u64 =
                looked_at.within(read.start, read.end).map(|range| range.end - range.start).sum();
            assert_eq!(known, read.end - read.start, "{read:?} was read");
        }
    }
}
