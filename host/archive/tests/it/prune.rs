use crate::machine::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tempfile::tempdir;
use wherry_archive::{
    Archive, Local, Object, Options, PruneOptions, Pruned, Reader, Result, Retention, Source, Store,
    VerifyOptions,
};

fn prune(archive: &Archive, last: usize) -> Pruned {
    let retention = Retention { last, ..Default::default() };
    let options = PruneOptions { retention, dry_run: false, unused_percent: 5.0 };
    archive.prune(&options, &AtomicBool::new(false), &|_, _| {}).unwrap()
}

fn sound(archive: &Archive) {
    let deep = VerifyOptions { deep: true, ..Default::default() };
    let verified = archive.verify(&deep, &Default::default(), &|_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
}

fn size(path: &std::path::Path) -> u64 {
    files(&path.join("packs")).iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn what_no_snapshot_needs_goes_and_the_rest_stays() {
    for secret in [None, Some(password())] {
        let folder = tempdir().unwrap();
        let archive = create(folder.path(), secret.as_ref());
        let mut disk = bytes(1, 12 * MIB);
        let mut last = capture(&archive, "m", &[&disk], None);
        let first_size = size(folder.path());
        for round in 0..6 {
            let at = 2 * MIB * round;
            disk[at..at + MIB].copy_from_slice(&bytes(50 + round as u64, MIB));
            last = capture(&archive, "m", &[&disk], Some(&last));
        }
        let options = PruneOptions {
            retention: Retention { last: 1, ..Default::default() },
            dry_run: true,
            unused_percent: 5.0,
        };
        let before = files(folder.path());
        let dry = archive.prune(&options, &AtomicBool::new(false), &|_, _| {}).unwrap();
        assert!(before == files(folder.path()), "a dry run changed something");
        let pruned = prune(&archive, 1);
        assert_eq!((dry.snapshots.len(), pruned.snapshots.len()), (6, 6));
        assert_eq!(dry.packs, pruned.packs);
        sound(&archive);
        assert!(read(&archive, &last, 0).unwrap() == disk);
        assert!(size(folder.path()) < first_size * 5 / 4, "{} of {first_size}", size(folder.path()));
        let again = prune(&archive, 1);
        assert_eq!((again.packs, again.bytes), (0, 0), "{again:?}");
        archive.remove(&last.id).unwrap();
        prune(&archive, 1);
        assert_eq!(size(folder.path()), 0);
        sound(&archive);
        capture(&archive, "m", &[&disk], None);
        sound(&archive);
    }
}

#[test]
fn captures_and_prunes_at_the_same_time_lose_nothing() {
    let folder = tempdir().unwrap();
    create(folder.path(), None);
    let done = AtomicBool::new(false);
    let disks: Vec<Vec<u8>> = (0..3).map(|seed| bytes(200 + seed, 3 * MIB)).collect();
    std::thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                prune(&open(folder.path(), None), 1);
                rounds += 1;
            }
            rounds
        });
        let writers: Vec<_> = (0..2u64)
            .map(|number| {
                let (disks, path) = (&disks, folder.path());
                scope.spawn(move || {
                    // Every capture finds chunks that prunes are about to remove: older snapshots go at once.
                    for round in 0..25usize {
                        let archive = open(path, None);
                        let which = &disks[(round + number as usize) % disks.len()];
                        let sources = [Source { name: "d".into(), disk: disk(which), changed: None }];
                        let name = format!("m{number}");
                        let made = archive.capture(
                            &sources,
                            &about(&name, round as u64),
                            None,
                            &Options::default(),
                            &|_| {},
                        );
                        match made {
                            Ok(snapshot) => assert!(read(&archive, &snapshot, 0).unwrap() == *which),
                            Err(e) => assert!(e.context.contains("prunes"), "{e}"),
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
        assert!(pruner.join().unwrap() > 3);
    });
    let archive = open(folder.path(), None);
    assert!(!archive.snapshots().unwrap().is_empty());
    sound(&archive);
}

const HOUR: Duration = Duration::from_secs(3600);

type Meanwhile = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// A directory on a machine with another clock, where something happens just before a prune says what is to go.
struct Elsewhere(Local, fn(SystemTime) -> SystemTime, Meanwhile);

impl Store for Elsewhere {
    fn name(&self) -> String {
        self.0.name()
    }
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        if key.starts_with("gone/") {
            self.2.lock().unwrap().take().into_iter().for_each(|meanwhile| meanwhile());
        }
        self.0.put_new(key, bytes)
    }
    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        self.0.open(key)
    }
    fn list(&self, prefix: &str, tell: &mut dyn FnMut(Object)) -> Result<()> {
        self.0.list(prefix, &mut |object| tell(Object { modified: self.1(object.modified), ..object }))
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.0.delete(key)
    }
    fn sweep(&self, _: SystemTime) -> Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_old_is_told_by_the_clock_of_the_store() {
    let clocks: [fn(SystemTime) -> SystemTime; 2] = [|time| time - 48 * HOUR, |time| time + 48 * HOUR];
    for clock in clocks {
        let folder = tempdir().unwrap();
        let store = Arc::new(Elsewhere(Local::new(folder.path()), clock, Mutex::default()));
        let archive = Archive::create(store, &small(), None, 1).unwrap();
        let snapshot = capture(&archive, "m", &[&bytes(31, 3 * MIB)], None);
        // As a capture that is still running has it: packs that no segment names.
        std::fs::remove_dir_all(folder.path().join("index")).unwrap();
        archive.remove(&snapshot.id).unwrap();
        let packs = files(&folder.path().join("packs"));
        let written = |ago: Duration| {
            for (path, _) in &packs {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - ago).unwrap();
            }
        };
        written(23 * HOUR);
        assert_eq!(prune(&archive, 0).packs, 0);
        written(25 * HOUR);
        assert_eq!(prune(&archive, 0).packs, packs.len() as u64);
        assert!(files(&folder.path().join("clock")).is_empty());
    }
}

/// A listing can miss a segment that a merge has just written. Its packs, named by no other, must not pass for refuse.
#[test]
fn nothing_goes_by_an_index_that_lacks_what_is_needed() {
    let folder = tempdir().unwrap();
    let archive = create(folder.path(), None);
    let mut disk = bytes(41, 3 * MIB);
    let first = capture(&archive, "m", &[&disk], None);
    let (segment, whole) = files(&folder.path().join("index")).remove(0);
    disk[..64 * KIB].copy_from_slice(&noise(42, 64 * KIB));
    let second = capture(&archive, "m", &[&disk], Some(&first));
    archive.remove(&first.id).unwrap();
    let packs = files(&folder.path().join("packs"));
    for (path, _) in &packs {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - 50 * HOUR).unwrap();
    }
    std::fs::remove_file(&segment).unwrap();
    let options = PruneOptions { retention: Retention::default(), dry_run: false, unused_percent: 5.0 };
    let refused = archive.prune(&options, &AtomicBool::new(false), &|_, _| {}).unwrap_err();
    assert!(refused.context.contains("in no segment of the index"), "{refused}");
    assert!(files(&folder.path().join("packs")) == packs);
    std::fs::write(&segment, whole).unwrap();
    prune(&archive, 1);
    assert!(read(&archive, &second, 0).unwrap() == disk);
    sound(&archive);
}

/// A snapshot appears while a prune has its packs for refuse: they are spared, and a merge of segments after that keeps them.
#[test]
fn what_was_spared_stays_in_the_index() {
    let folder = tempdir().unwrap();
    let path = folder.path().to_path_buf();
    create(&path, None);
    let disk = bytes(51, 3 * MIB);
    let first = capture(&open(&path, None), "old", &[&disk], None);
    open(&path, None).remove(&first.id).unwrap();
    let (place, again) = (path.clone(), disk.clone());
    let meanwhile: Box<dyn FnOnce() + Send> = Box::new(move || {
        assert_eq!(capture(&open(&place, None), "new", &[&again], None).added.chunks, 0);
    });
    let store = Elsewhere(Local::new(&path), |time| time, Mutex::new(Some(meanwhile)));
    let archive = Archive::open(Arc::new(store), None).unwrap();
    let kept = PruneOptions { retention: Retention::default(), dry_run: false, unused_percent: 5.0 };
    archive.prune(&kept, &AtomicBool::new(false), &|_, _| {}).unwrap();
    let whole = |when: &str| {
        let snapshot = open(&path, None).choose("new").unwrap();
        assert!(read(&open(&path, None), &snapshot, 0).is_ok_and(|bytes| bytes == disk), "{when}");
    };
    whole("after the prune");
    // Enough segments that they are merged.
    for seed in 0..16 {
        capture(&open(&path, None), &format!("m{seed}"), &[&noise(600 + seed, 70 * KIB)], None);
    }
    assert!(files(&path.join("index")).len() < 16);
    whole("after a merge");
    archive.prune(&kept, &AtomicBool::new(false), &|_, _| {}).unwrap();
    whole("after another prune");
    sound(&open(&path, None));
}
