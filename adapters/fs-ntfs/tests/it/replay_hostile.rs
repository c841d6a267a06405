//! Logs that are cut, torn and damaged: what is replayed of them leaves a sound volume, and nothing panics.

use crate::check::check;
use crate::raw::{PAGE, Volume, fixed, mount, protected};
use crate::replay::{PLAIN, States, Style, pending, states};
use fs_ntfs::Ntfs;
use std::path::PathBuf;
use wherry_sdk::testing::{Random, can_fuse, damage};
use wherry_sdk::{ErrorKind, FileSystem, find};

/// Cases of damage within pages; WHERRY_CASES asks for more than what is worth the time in every run.
fn cases() -> u64 {
    std::env::var("WHERRY_CASES").map_or(300, |count| count.parse().unwrap())
}

/// A volume with a log, as a file.
fn base(states: &States, style: Style, chance: u64) -> (PathBuf, Vec<usize>) {
    let path = states.paths[0].with_extension("hostile");
    let mut random = Random::new(chance);
    let (volume, _) = pending(states, &path, style, &mut || random.below(10) < chance);
    volume.blob.apply(&path).unwrap();
    let used = (0..volume.size / PAGE).map(|page| page * PAGE);
    let used = used.filter(|at| volume.log_page(*at).is_some());
    (path, used.collect())
}

/// Probes and mounts; whether the log was replayed.
fn exercise(volume: &Volume, reading: bool) -> bool {
    let identity = Ntfs::probe(volume);
    if reading && let Ok(mut fs) = Ntfs::mount(Box::new(volume.clone()), false) {
        for path in ["/", "/many", "/new directory"] {
            let _ = fs.entries(path, 0, 500);
        }
        for path in ["/grows", "/shrinks", "/small"] {
            let _ = fs.read(path, 0, 1 << 16);
        }
    }
    assert!(volume.written.borrow().is_empty(), "reading writes nothing");
    let mounted = mount(volume);
    if let Err(error) = &mounted {
        let kinds = [ErrorKind::Dirty, ErrorKind::Corrupt, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind), "{error:?}");
    }
    // Where the log can be replayed, the probe says so; a log that ends with its checkpoint has nothing to be replayed.
    let identity = identity.ok().flatten();
    let log = identity.as_ref().and_then(|identity| find(&identity.facts, "ntfs.log"));
    assert!(mounted.is_err() || matches!(log, Some("replayable" | "idle")), "{log:?}");
    mounted.is_ok()
}

/// Pages that were not written, or in part, or are those of another time, as power failures leave them.
#[test]
fn cut_and_torn_logs() {
    if !can_fuse() {
        return;
    }
    let states = states("512");
    let [mut replayed, mut refused] = [0; 2];
    for (chance, middle) in [(10, false), (7, true)] {
        let (path, used) = base(&states, Style { middle, ..PLAIN }, chance);
        assert!(used.len() > 12, "{}", used.len());
        for (index, at) in used.iter().enumerate() {
            // What is on the volume was in the log before: that cannot end earlier where structures are newer.
            let kinds = if chance == 10 && *at >= 4 * PAGE { 5 } else { 4 };
            for kind in 0..kinds {
                let volume = Volume::open(&path);
                let put = |at: usize, bytes: &[u8]| volume.scatter(&volume.log, at as u64, bytes);
                match kind {
                    0 => put(*at, &[0xff; PAGE]),
                    1 => put(*at, &[0; PAGE]),
                    2 => put(*at + 512 * (index % 8), &[0xff; 512]),
                    3 => {
                        let other = used[(index + 3) % used.len()];
                        put(*at, &volume.gather(&volume.log, other as u64, PAGE));
                    }
                    _ => {
                        // All from here on, and the copies of what was written last.
                        used[index..]
                            .iter()
                            .chain(&[2 * PAGE, 3 * PAGE])
                            .for_each(|at| put(*at, &[0xff; PAGE]));
                    }
                }
                volume.written.borrow_mut().clear();
                if exercise(&volume, index % 4 == 0) {
                    check(&volume);
                    replayed += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    println!("{replayed} replayed, {refused} refused");
    assert!(replayed > 10 && refused > 50, "{replayed} {refused}");
}

/// Bytes that are others: in half of the cases the update sequence fits them.
#[test]
fn damaged_logs_that_are_replayed() {
    if !can_fuse() {
        return;
    }
    let states = states("512");
    let [mut replayed, mut refused] = [0; 2];
    for (chance, middle) in [(10, true), (6, false)] {
        let (path, used) = base(&states, Style { middle, ..PLAIN }, chance);
        for seed in 0..cases() / 2 {
            let volume = Volume::open(&path);
            // Behind the records that only come before.
            let at = used[seed as usize % used.len()] as u64;
            let mut page = volume.gather(&volume.log, at, PAGE);
            if seed % 4 == 0 {
                damage(&mut page, 0, PAGE, seed);
            } else {
                page = fixed(&page).unwrap();
                damage(&mut page, 0x40, PAGE, seed);
                page = protected(page);
            }
            volume.scatter(&volume.log, at, &page);
            volume.written.borrow_mut().clear();
            match exercise(&volume, seed % 4 == 0) {
                true => replayed += 1,
                false => refused += 1,
            }
        }
    }
    println!("{replayed} replayed, {refused} refused");
    assert!(replayed > 10 && refused > 50, "{replayed} {refused}");
}
