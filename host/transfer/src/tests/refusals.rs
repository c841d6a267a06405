//! What is refused, and in which words.

use super::*;
use block::{FileDisk, MemoryDisk};
use std::fs::File;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const LENGTH: usize = 5 << 20;

fn raw() -> Box<dyn Layout> {
    Box::new(Raw { length: LENGTH as u64 })
}

#[test]
fn another_source_starts_afresh_and_the_same_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let bytes = content(51, LENGTH);
    let source = MemoryDisk::new(bytes.clone());
    let stopping = options(1);
    let tell = |progress: Progress| {
        assert_eq!(progress.stage, Stage::Copy);
        stopping.cancel.store(true, Relaxed);
    };
    let slow = Options { limit_rate: Some(10 << 20), ..stopping.clone() };
    let stopped = run(&source, &target, raw(), &slow, &tell).unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::Cancelled, "{stopped}");
    assert_eq!(names(folder.path()), [".out.wherry-checkpoint", ".out.wherry-partial"]);
    let on = run(&source, &target, raw(), &options(2), &|_| ()).unwrap();
    assert!(on.resumed_bytes >= 1 << 20, "{}", on.resumed_bytes);
    assert_eq!(on.bytes_read + on.resumed_bytes, LENGTH as u64);
    assert!(std::fs::read(&target).unwrap() == bytes);

    std::fs::remove_file(&target).unwrap();
    stopping.cancel.store(false, Relaxed);
    run(&source, &target, raw(), &slow, &tell).unwrap_err();
    let bytes = content(52, LENGTH);
    let other = Options { identity: "b".into(), ..options(2) };
    let afresh = run(&MemoryDisk::new(bytes.clone()), &target, raw(), &other, &|_| ()).unwrap();
    assert_eq!((afresh.resumed_bytes, afresh.bytes_read), (0, LENGTH as u64));
    assert!(std::fs::read(&target).unwrap() == bytes);
}

#[test]
fn a_run_killed_after_the_rename_was_complete() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let source = MemoryDisk::new(content(53, LENGTH));
    let report = run(&source, &target, raw(), &options(2), &|_| ()).unwrap();
    // As if the kill had come before the checkpoint was removed, or before the rename.
    let header = journal::header("a", LENGTH as u64, &raw().shape());
    for renamed in [true, false] {
        let path = folder.path().join(".out.wherry-checkpoint");
        let journal = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        journal::reset(&journal, &header).unwrap();
        let records = [journal::Record::Complete(LENGTH as u64)];
        journal::append(&journal, &records).unwrap();
        if !renamed {
            std::fs::rename(&target, folder.path().join(".out.wherry-partial")).unwrap();
        }
        drop(journal);
        let again = run(&source, &target, raw(), &options(2), &|_| ()).unwrap();
        assert_eq!((again.bytes_read, again.resumed_bytes), (0, LENGTH as u64));
        assert_eq!(names(folder.path()), ["out"]);
    }
    assert_eq!(report.bytes_read, LENGTH as u64);
    let third = run(&source, &target, raw(), &options(2), &|_| ()).unwrap_err();
    assert_eq!(third.kind, ErrorKind::Exists);
}

#[test]
fn two_at_once_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let held = File::create(folder.path().join(".out.wherry-checkpoint")).unwrap();
    held.try_lock().unwrap();
    let source = MemoryDisk::new(content(54, LENGTH));
    let busy = run(&source, &target, raw(), &options(2), &|_| ()).unwrap_err();
    assert_eq!(busy.kind, ErrorKind::Busy);
    assert!(busy.to_string().contains("another process"), "{busy}");
    drop(held);
    // A process that another test begins has all files of this one until it is a program of its own.
    let again = || run(&source, &target, raw(), &options(2), &|_| ());
    let free = (0..100).map(|_| again()).find(|run| {
        std::thread::sleep(Duration::from_millis(10));
        !matches!(run, Err(e) if e.kind == ErrorKind::Busy)
    });
    free.unwrap().unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let source = MemoryDisk::new(content(55, LENGTH));
    let denied = run(&source, "/sys/wherry-out", raw(), &options(2), &|_| ()).unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    assert!(denied.to_string().contains("/sys/.wherry-out"), "{denied}");
    let nowhere = run(&source, "/nonexistent/out", raw(), &options(2), &|_| ()).unwrap_err();
    assert!(nowhere.to_string().contains("/nonexistent/"), "{nowhere}");
}

#[test]
fn a_source_that_shrinks_or_fails_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::write(&path, vec![1; LENGTH]).unwrap();
    let source = FileDisk::open_read(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len((3 << 20) + 5).unwrap();
    // What is gone is a hole to the filesystem; a source that says it is data must be believed.
    struct Dense(FileDisk);
    impl block::Disk for Dense {
        fn length(&self) -> u64 {
            self.0.length()
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> block::Result<()> {
            self.0.read_at(offset, buffer)
        }
    }
    let shrank = run(&Dense(source), &target, raw(), &options(2), &|_| ()).unwrap_err();
    assert_eq!(shrank.kind, ErrorKind::Source);
    let text = shrank.to_string();
    assert!(text.contains("/in ends before byte") && text.contains("changed"), "{text}");
    assert!(!target.exists());
}

/// In a process of its own whose files are limited in size.
#[test]
#[ignore = "the other half of `no_space_says_how_much_is_needed`, in a process of its own"]
fn writes_too_much() {
    let source = MemoryDisk::new(content(56, LENGTH));
    let target = std::env::var("WHERRY_TRANSFER_TARGET").unwrap();
    let full = run(&source, &target, raw(), &options(2), &|_| ()).unwrap_err();
    assert_eq!(full.kind, ErrorKind::NoSpace, "{full}");
    let text = full.to_string();
    assert!(
        text.contains(".out.wherry-partial") && text.contains("bytes of data are to be copied"),
        "{text}"
    );
    assert!(text.contains("bytes are free in") && text.contains("goes on from here"), "{text}");
}

#[test]
fn no_space_says_how_much_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    // 2048 blocks of 1024 bytes; the signal is ignored, so that writes fail instead.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let program = std::env::current_exe().unwrap();
    let limited = Command::new("bash")
        .args(["-c", script, program.to_str().unwrap()])
        .args(["--exact", "tests::refusals::writes_too_much", "--ignored"])
        .env("WHERRY_TRANSFER_TARGET", &target)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&limited.stdout);
    assert!(limited.status.success() && text.contains("1 passed"), "{text}");
    assert!(!target.exists());
    let source = MemoryDisk::new(content(56, LENGTH));
    let report = run(&source, &target, raw(), &options(2), &|_| ()).unwrap();
    assert!(report.resumed_bytes > 0);
    assert!(std::fs::read(&target).unwrap() == content(56, LENGTH));
}

#[test]
fn shapes_that_make_no_sense_are_refused_before_a_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let source = MemoryDisk::new(vec![1; 100]);
    for (unit, align) in
        [(0, 1), (256, 1), (3 << 10, 1), (4 << 20, 1), (4096, 3), (4096, 8192), (u32::MAX, 1)]
    {
        let refused = run(&source, &target, Append::boxed(unit, Codec::None, align), &options(1), &|_| ());
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Unsupported, "{unit} {align}");
    }
    assert!(names(folder.path()).is_empty());
}

/// A format writer that answers wrongly.
struct Wrong(u8);

impl Layout for Wrong {
    fn shape(&self) -> Shape {
        raw().shape()
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        Ok(match self.0 {
            0 => vec![],
            1 => vec![u64::MAX - 5; units.len()],
            2 => return Err(Error::new(ErrorKind::Layout, "cannot place")),
            _ => vec![0; units.len()],
        })
    }
    fn finish(&mut self, _: u32) -> Result<Ending> {
        Ok(Ending { more: self.0 == 3, ..Ending::default() })
    }
}

#[test]
fn format_writers_that_answer_wrongly_end_the_transfer() {
    let source = MemoryDisk::new(content(57, LENGTH));
    for case in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let wrong = run(&source, &target, Box::new(Wrong(case)), &options(4), &|_| ()).unwrap_err();
        assert_eq!(wrong.kind, ErrorKind::Layout, "{case}: {wrong}");
        assert!(!target.exists());
    }
}

/// An old copy must not be cut off before it is marked: it would look like a whole disk.
#[test]
fn an_old_copy_that_cannot_be_marked_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = (folder.path().join("out"), folder.path().join("checkpoint"));
    let old = content(58, LENGTH + (1 << 20));
    std::fs::write(&path, &old).unwrap();
    // Where the held beginning would be.
    std::fs::create_dir(folder.path().join(".checkpoint-head")).unwrap();
    let source = MemoryDisk::new(content(59, LENGTH));
    let update = Options { update: true, ..options(2) };
    let target = Target::Existing { path: &path, checkpoint: &checkpoint };
    run(&source, target, raw(), &update, &|_| ()).unwrap_err();
    assert!(std::fs::read(&path).unwrap() == old);
}
