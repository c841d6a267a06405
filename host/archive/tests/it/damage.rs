use crate::machine::*;
use std::path::{Path, PathBuf};
use tempfile::tempdir;
use wherry_archive::{Archive, Secret, Snapshot, Verified, VerifyOptions};

fn verify(archive: &Archive) -> Verified {
    let deep = VerifyOptions { deep: true, ..Default::default() };
    archive.verify(&deep, &Default::default(), &|_, _| {}).unwrap()
}

struct Case {
    folder: tempfile::TempDir,
    secret: Option<Secret>,
    disk: Vec<u8>,
    snapshot: Snapshot,
}

impl Case {
    fn new(secret: Option<Secret>) -> Self {
        let folder = tempdir().unwrap();
        let archive = create(folder.path(), secret.as_ref());
        let disk = bytes(21, 9 * MIB);
        let snapshot = capture(&archive, "m", &[&disk], None);
        Self { folder, secret, disk, snapshot }
    }
    fn path(&self) -> &Path {
        self.folder.path()
    }
    fn archive(&self) -> Archive {
        open(self.path(), self.secret.as_ref())
    }
    /// Those that hold lists, which are there twice: nothing is lost without one of them.
    fn lists(&self) -> Vec<PathBuf> {
        let without = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            let lost = self.unreadable();
            std::fs::write(path, bytes).unwrap();
            lost.is_empty()
        };
        self.packs().into_iter().filter(without).collect()
    }
    /// The largest first.
    fn packs(&self) -> Vec<PathBuf> {
        let mut packs = files(&self.path().join("packs"));
        packs.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
        packs.into_iter().map(|(path, _)| path).collect()
    }
    /// Ranges that differ or cannot be read, chunk by chunk.
    fn unreadable(&self) -> Vec<(u64, u64)> {
        let disk = self.archive().disks(&self.snapshot).unwrap().remove(0);
        let mut list: Vec<(u64, u64)> = Vec::new();
        for start in (0..self.disk.len()).step_by(64 * KIB) {
            let mut chunk = vec![0; (64 * KIB).min(self.disk.len() - start)];
            match disk.read_at(start as u64, &mut chunk) {
                Ok(()) => assert!(chunk == self.disk[start..start + chunk.len()], "wrong bytes were given"),
                Err(_) => match list.last_mut() {
                    Some(last) if last.0 + last.1 == start as u64 => last.1 += chunk.len() as u64,
                    _ => list.push((start as u64, chunk.len() as u64)),
                },
            }
        }
        list
    }
}

fn ranges(verified: &Verified) -> Vec<(u64, u64)> {
    verified.affected.iter().map(|each| (each.offset, each.length)).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_named() {
    for secret in [None, Some(password())] {
        let case = Case::new(secret);
        let archive = case.archive();
        let mut turn = 0;
        for (path, whole) in files(case.path()) {
            let name = path.strip_prefix(case.path()).unwrap().to_str().unwrap();
            for _ in 0..6 {
                turn += 1;
                let bit = draw(turn, whole.len() as u64 * 8);
                let mut bytes = whole.clone();
                bytes[bit as usize / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, &bytes).unwrap();
                if name == "archive.json" {
                    let store = std::sync::Arc::new(wherry_archive::Local::new(case.path()));
                    let error = Archive::open(store, case.secret.as_ref()).err();
                    assert!(error.is_some_and(|e| e.context.contains("archive.json")), "bit {bit} of {name}");
                    continue;
                }
                let verified = verify(&archive);
                let named = |damage: &wherry_archive::Damage| name.starts_with(&damage.object);
                assert!(verified.damage.iter().any(named), "bit {bit} of {name}: {verified:?}");
            }
            std::fs::write(&path, &whole).unwrap();
        }
        assert!(turn >= 6 * 8 && verify(&archive).is_sound());
    }
}

/// Byte 8 of everything binary is its version.
#[test]
fn a_flipped_bit_in_a_version_is_damage_as_any_other() {
    let case = Case::new(Some(password()));
    let mut heads = 0;
    for (path, whole) in files(case.path()).into_iter().filter(|(_, bytes)| bytes.starts_with(b"WHERRY")) {
        let mut bytes = whole.clone();
        bytes[9] ^= 2;
        std::fs::write(&path, bytes).unwrap();
        let (name, verified) = (path.strip_prefix(case.path()).unwrap(), verify(&case.archive()));
        let named = verified.damage.iter().any(|damage| name == Path::new(&damage.object));
        assert!(named, "{}: {verified:?}", name.display());
        std::fs::write(&path, whole).unwrap();
        heads += 1;
    }
    assert!(heads >= 4 && verify(&case.archive()).is_sound());
}

#[test]
fn a_lost_pack_loses_what_was_in_it_and_the_next_capture_brings_it_back() {
    for secret in [None, Some(password())] {
        let case = Case::new(secret);
        let packs = case.packs();
        std::fs::remove_file(&packs[0]).unwrap();
        let verified = verify(&case.archive());
        assert!(verified.damage[0].what.contains("missing"), "{verified:?}");
        assert_eq!(ranges(&verified), case.unreadable());
        let lost: u64 = ranges(&verified).iter().map(|range| range.1).sum();
        assert!(lost > 0 && lost < case.disk.len() as u64 * 3 / 4, "{lost} bytes");

        let repaired = case.archive().repair(&Default::default(), &|_, _| {}).unwrap();
        assert!(!repaired.is_whole() && repaired.lost > 0, "{repaired:?}");
        let after = verify(&case.archive());
        assert!(after.damage.is_empty());
        assert_eq!(ranges(&after), ranges(&verified));
        // Compared with the damaged snapshot: what it lost must not be taken for granted.
        let next = capture(&case.archive(), "m", &[&case.disk], Some(&case.snapshot));
        assert!(next.added.chunks > 0);
        assert!(verify(&case.archive()).is_sound());
        assert!(read(&case.archive(), &case.snapshot, 0).unwrap() == case.disk);
    }
}

#[test]
fn lists_are_there_twice() {
    for secret in [None, Some(password())] {
        let case = Case::new(secret);
        assert_eq!(case.lists().len(), 2);
        std::fs::remove_file(&case.lists()[0]).unwrap();
        let verified = verify(&case.archive());
        assert!(verified.damage.len() == 1 && verified.affected.is_empty(), "{verified:?}");
        assert!(case.unreadable().is_empty());
        let repaired = case.archive().repair(&Default::default(), &|_, _| {}).unwrap();
        assert!(repaired.is_whole() && repaired.saved > 0 && repaired.lost == 0, "{repaired:?}");
        assert!(verify(&case.archive()).is_sound());
        // They are there twice again: whichever copy is lost, the other has all of them.
        assert_eq!(case.lists().len(), 2);
        let packs = case.packs();
        let again = case.archive().repair(&Default::default(), &|_, _| {}).unwrap();
        assert!(again.saved == 0 && case.packs() == packs, "{again:?}");
    }
}

#[test]
fn a_damaged_pack_keeps_its_other_chunks() {
    for secret in [None, Some(password())] {
        let case = Case::new(secret);
        for (place, whole) in [(100, false), (usize::MAX, true)] {
            let path = &case.packs()[0];
            let mut bytes = std::fs::read(path).unwrap();
            let at = if place == usize::MAX { bytes.len() - 30 } else { place };
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
            let damaged = verify(&case.archive());
            assert_eq!(damaged.damage.len(), 1, "{damaged:?}");
            let repaired = case.archive().repair(&Default::default(), &|_, _| {}).unwrap();
            assert!(repaired.saved > 3 && repaired.lost <= 1, "{repaired:?}");
            assert_eq!(repaired.is_whole(), whole, "{repaired:?}");
            if !whole {
                capture(&case.archive(), "m", &[&case.disk], None);
            }
            assert!(verify(&case.archive()).is_sound());
            assert!(case.unreadable().is_empty());
        }
    }
}

#[test]
fn the_index_can_be_made_again() {
    let case = Case::new(Some(password()));
    for (path, mut bytes) in files(&case.path().join("index")) {
        bytes[5000] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    assert!(!verify(&case.archive()).is_sound());
    let repaired = case.archive().repair(&Default::default(), &|_, _| {}).unwrap();
    assert!(repaired.is_whole() && repaired.segments == 1 && repaired.indexed as usize == case.packs().len());
    assert!(verify(&case.archive()).is_sound() && case.unreadable().is_empty());
    std::fs::remove_dir_all(case.path().join("index")).unwrap();
    assert!(!verify(&case.archive()).is_sound());
    case.archive().repair(&Default::default(), &|_, _| {}).unwrap();
    assert!(verify(&case.archive()).is_sound() && case.unreadable().is_empty());
}

#[test]
fn a_sample_reads_its_part() {
    let case = Case::new(None);
    // Packs have random names, so that only many samples show the share.
    let (mut read, mut all) = (0, 0);
    for seed in 0..60 {
        let sample = VerifyOptions { percent: 40.0, deep: false, seed };
        let verified = case.archive().verify(&sample, &Default::default(), &|_, _| {}).unwrap();
        assert!(verified.is_sound(), "{verified:?}");
        read += verified.packs_read;
        all += verified.packs;
    }
    assert!((all / 4..all * 6 / 10).contains(&read), "{read} of {all}");
}
