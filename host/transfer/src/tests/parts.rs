//! Targets of several files.

use super::*;
use block::MemoryDisk;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering::Relaxed;

const UNIT: u64 = 64 << 10;
/// Bytes of the disk that a part holds, and between the starts of parts.
const SPAN: u64 = 3 << 20;
const STRIDE: u64 = 1 << 32;
const LENGTH: usize = (8 << 20) + 777;

/// The disk's bytes in parts, and a descriptor that says how long they are.
pub(super) struct Split {
    parts: Vec<Part>,
    length: u64,
}

impl Split {
    fn new(length: usize) -> Self {
        let count = (length as u64).div_ceil(SPAN);
        let part = |number| Part { name: format!("part-{number}"), start: STRIDE * number };
        Self { parts: (1..=count).map(part).collect(), length: length as u64 }
    }
    pub fn boxed(length: usize) -> Box<dyn Layout> {
        Box::new(Self::new(length))
    }
}

impl Layout for Split {
    fn shape(&self) -> Shape {
        Raw { length: 0 }.shape()
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let place = |unit: &Unit| {
            let at = unit.index * UNIT;
            STRIDE * (at / SPAN + 1) + at % SPAN
        };
        Ok(units.iter().map(place).collect())
    }
    fn parts(&self) -> &[Part] {
        &self.parts
    }
    fn lengths(&mut self) -> Result<Vec<u64>> {
        Ok((0..self.parts.len() as u64).map(|number| SPAN.min(self.length - number * SPAN)).collect())
    }
    fn finish(&mut self, _: u32) -> Result<Ending> {
        let descriptor = format!("{} bytes", self.length).into_bytes();
        Ok(Ending { length: descriptor.len() as u64, patches: vec![(0, descriptor)], more: false })
    }
}

/// What the parts hold together, where the descriptor says that they are complete.
pub(super) fn joined(target: &Path, length: usize) -> Vec<u8> {
    assert_eq!(std::fs::read_to_string(target).unwrap(), format!("{length} bytes"));
    let count = (length as u64).div_ceil(SPAN);
    (1..=count)
        .flat_map(|number| std::fs::read(target.with_file_name(format!("part-{number}"))).unwrap())
        .collect()
}

/// A run that stops after its first progress.
fn stopped(source: &MemoryDisk, target: &Path) {
    let stopping = Options { limit_rate: Some(10 << 20), ..options(1) };
    let tell = |_: Progress| stopping.cancel.store(true, Relaxed);
    let error = run(source, target, Split::boxed(LENGTH), &stopping, &tell).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
}

#[test]
fn parts_hold_the_disk_and_its_holes() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let bytes = content(61, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    let report = run(&source, &target, Split::boxed(LENGTH), &options(4), &|_| ()).unwrap();
    assert_eq!(report.hash, Some(root(&bytes)));
    assert!(joined(&target, LENGTH) == bytes);
    assert_eq!(names(folder.path()), ["out", "part-1", "part-2", "part-3"]);
    let stored: u64 = ["part-1", "part-2"]
        .map(|name| folder.path().join(name).metadata().unwrap().blocks() * 512)
        .iter()
        .sum();
    assert!(stored < 2 * SPAN - (2 << 20), "{stored}: the hole from 2 to 5 MiB is stored");
}

#[test]
fn an_interrupted_set_has_no_names_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let bytes = content(62, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    stopped(&source, &target);
    let begun = [
        ".out.wherry-checkpoint",
        ".out.wherry-partial",
        ".out.wherry-partial-1",
        ".out.wherry-partial-2",
        ".out.wherry-partial-3",
    ];
    assert_eq!(names(folder.path()), begun);
    let on = run(&source, &target, Split::boxed(LENGTH), &options(2), &|_| ()).unwrap();
    assert!(on.resumed_bytes > 0);
    assert!(joined(&target, LENGTH) == bytes);
}

#[test]
fn a_set_that_lost_a_file_starts_afresh() {
    for lost in [".out.wherry-partial", ".out.wherry-partial-1", ".out.wherry-partial-3"] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let bytes = content(63, LENGTH);
        let source = MemoryDisk::new(bytes.clone());
        stopped(&source, &target);
        std::fs::remove_file(folder.path().join(lost)).unwrap();
        let afresh = run(&source, &target, Split::boxed(LENGTH), &options(2), &|_| ()).unwrap();
        assert_eq!(afresh.resumed_bytes, 0, "{lost}");
        assert!(joined(&target, LENGTH) == bytes);
    }
}

#[test]
fn another_transfer_removes_the_parts_that_it_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    stopped(&MemoryDisk::new(content(64, LENGTH)), &target);
    let bytes = content(65, 100_000);
    let layout = Box::new(Raw { length: bytes.len() as u64 });
    run(&MemoryDisk::new(bytes.clone()), &target, layout, &options(2), &|_| ()).unwrap();
    assert!(std::fs::read(&target).unwrap() == bytes);
    assert_eq!(names(folder.path()), ["out"]);
}

#[test]
fn a_part_that_exists_is_never_touched() {
    let source = MemoryDisk::new(content(66, LENGTH));
    for begun in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        if begun {
            stopped(&source, &target);
        }
        let before = names(folder.path());
        std::fs::write(folder.path().join("part-2"), "mine").unwrap();
        let error = run(&source, &target, Split::boxed(LENGTH), &options(2), &|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.to_string().contains("/part-2 exists already"), "{error}");
        assert_eq!(std::fs::read(folder.path().join("part-2")).unwrap(), b"mine");
        assert_eq!(names(folder.path()).len(), before.len() + 1);
    }
}

/// As if the kill had come between two renames.
#[test]
fn a_set_that_is_partly_renamed_is_completed_without_copying() {
    let bytes = content(67, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    for renamed in 0..=4 {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        run(&source, &target, Split::boxed(LENGTH), &options(2), &|_| ()).unwrap();
        let journal = File::create_new(folder.path().join(".out.wherry-checkpoint")).unwrap();
        let header = journal::header("a", LENGTH as u64, &Split::boxed(LENGTH).shape());
        journal::reset(&journal, &header).unwrap();
        let length = target.metadata().unwrap().len();
        journal::append(&journal, &[journal::Record::Complete(length)]).unwrap();
        drop(journal);
        let order = [("part-1", "-1"), ("part-2", "-2"), ("part-3", "-3"), ("out", "")];
        for (name, number) in &order[renamed..] {
            let partial = folder.path().join(format!(".out.wherry-partial{number}"));
            std::fs::rename(folder.path().join(name), partial).unwrap();
        }
        let other = renamed == 2;
        if other {
            std::fs::write(folder.path().join("part-3"), "mine").unwrap();
        }
        let again = run(&source, &target, Split::boxed(LENGTH), &options(2), &|_| ());
        if other {
            assert_eq!(again.unwrap_err().kind, ErrorKind::Exists);
            std::fs::remove_file(folder.path().join("part-3")).unwrap();
            run(&source, &target, Split::boxed(LENGTH), &options(2), &|_| ()).unwrap();
        } else {
            assert_eq!(again.unwrap().bytes_read, 0, "{renamed}");
        }
        assert!(joined(&target, LENGTH) == bytes);
        assert_eq!(names(folder.path()), ["out", "part-1", "part-2", "part-3"]);
    }
}

#[test]
fn a_disk_that_is_overwritten_has_no_parts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = (folder.path().join("old"), folder.path().join("checkpoint"));
    std::fs::write(&path, "old").unwrap();
    let target = Target::Existing { path: &path, checkpoint: &checkpoint };
    let source = MemoryDisk::new(content(68, LENGTH));
    let error = run(&source, target, Split::boxed(LENGTH), &options(2), &|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert_eq!(names(folder.path()), ["old"]);
}

/// Places over the end of a part, or says too few lengths.
struct Wrong(Split, bool);

impl Layout for Wrong {
    fn shape(&self) -> Shape {
        self.0.shape()
    }
    fn parts(&self) -> &[Part] {
        self.0.parts()
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let over = if self.1 { 2 * STRIDE - 1 } else { STRIDE };
        Ok(vec![over; units.len()])
    }
    fn finish(&mut self, page: u32) -> Result<Ending> {
        self.0.finish(page)
    }
}

#[test]
fn layouts_that_contradict_their_parts_end_the_transfer() {
    let source = MemoryDisk::new(content(69, LENGTH));
    for (over, words) in [(true, "not within one of the files"), (false, "0 lengths for 3 files")] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let layout = Box::new(Wrong(Split::new(LENGTH), over));
        let error = run(&source, &target, layout, &options(2), &|_| ()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(names(folder.path()).iter().all(|name| name.starts_with('.')));
    }
}
