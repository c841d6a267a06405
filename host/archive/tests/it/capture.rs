use crate::machine::*;
use block::Kind;
use tempfile::tempdir;
use wherry_archive::{Archive, Local, Options, Settings, VerifyOptions};

#[test]
fn what_is_captured_is_read_again_bit_for_bit() {
    for secret in [None, Some(password())] {
        let folder = tempdir().unwrap();
        let archive = create(folder.path(), secret.as_ref());
        let sizes = [0, 512, 64 * KIB, 64 * KIB + 512, 3 * MIB, 21 * MIB + 1536];
        let disks: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, seed)| bytes(seed, *size)).collect();
        let refs: Vec<&[u8]> = disks.iter().map(Vec::as_slice).collect();
        let snapshot = capture(&archive, "web01", &refs, None);
        let again = open(folder.path(), secret.as_ref());
        let read_back = again.choose("web01").unwrap();
        assert_eq!(read_back.id, snapshot.id);
        assert_eq!(read_back.description, serde_json::json!({ "cpus": 2 }));
        for (number, disk) in disks.iter().enumerate() {
            assert!(read(&again, &read_back, number).unwrap() == *disk, "disk of {} bytes", disk.len());
        }
        let verified = again.verify(
            &VerifyOptions { deep: true, ..Default::default() },
            &Default::default(),
            &|_, _| {},
        );
        let verified = verified.unwrap();
        assert!(verified.is_sound(), "{verified:?}");
        assert!(verified.packs > 5 && verified.packs_read == verified.packs);
    }
}

#[test]
fn what_is_there_is_not_stored_again() {
    let folder = tempdir().unwrap();
    let archive = create(folder.path(), Some(&password()));
    let mut disk = bytes(7, 40 * MIB);
    let first = capture(&archive, "m", &[&disk], None);
    assert!(first.added.chunks > 100 && first.added.stored < first.added.plain);
    for parent in [None, Some(&first)] {
        let second = capture(&archive, "m", &[&disk], parent);
        assert_eq!(second.added, Default::default());
        assert_eq!(second.disks, first.disks);
    }
    // One byte: its chunk, its leaf, the root.
    disk[17 * MIB] ^= 1;
    let third = capture(&archive, "m", &[&disk], Some(&first));
    assert_eq!(third.added.chunks, 3);
    assert!(read(&archive, &third, 0).unwrap() == disk);
    // Another machine with the same blocks at other places.
    let moved = [&disk[10 * MIB..], &disk[..10 * MIB]].concat();
    let other = capture(&archive, "other", &[&moved], Some(&third));
    assert!(other.added.plain < MIB as u64, "{:?}", other.added);
    assert!(read(&archive, &other, 0).unwrap() == moved);
}

#[test]
fn a_parent_of_another_size_will_do() {
    let folder = tempdir().unwrap();
    let archive = create(folder.path(), None);
    let disk = bytes(3, 9 * MIB);
    let first = capture(&archive, "m", &[&disk], None);
    for size in [2 * MIB + 512, 9 * MIB + 100 * KIB] {
        let mut other = disk.clone();
        other.resize(size, 7);
        let next = capture(&archive, "m", &[&other], Some(&first));
        assert!(read(&archive, &next, 0).unwrap() == other);
        assert!(next.added.chunks <= 6, "{:?}", next.added);
    }
}

#[test]
fn known_changes_are_all_that_is_read() {
    let folder = tempdir().unwrap();
    let archive = create(folder.path(), None);
    let disk = bytes(5, 8 * MIB);
    let first = capture(&archive, "m", &[&disk], None);
    let mut now = disk.clone();
    now[3 * MIB..3 * MIB + 5000].fill(0x55);
    // What the source says did not change is not looked at: here it lies, to show it.
    now[6 * MIB..6 * MIB + 5000].fill(0x66);
    let mut changed = source("disk", &now);
    let (start, end) = (3 * MIB as u64, 3 * MIB as u64 + 5000);
    changed.changed = Some(std::iter::once(start..end).collect());
    let sources = [changed];
    let next = archive.capture(&sources, &about("m", 2), Some(&first), &Options::default(), &|_| {}).unwrap();
    let back = read(&archive, &next, 0).unwrap();
    now[6 * MIB..6 * MIB + 5000].copy_from_slice(&disk[6 * MIB..6 * MIB + 5000]);
    assert!(back == now);
}

#[test]
fn the_latest_is_the_last_whatever_the_clock_says() {
    let folder = tempdir().unwrap();
    let archive = create(folder.path(), None);
    let mut last = capture(&archive, "m", &[&bytes(1, MIB)], None);
    // The ids are random: by them alone the order would be right once in 2^12.
    for round in 0..12 {
        let sources = [source("disk", &bytes(round, MIB))];
        let time = if round % 2 == 0 { last.time } else { last.time - 1 };
        let about = about("m", time);
        last = archive.capture(&sources, &about, Some(&last), &Options::default(), &|_| {}).unwrap();
        assert_eq!(archive.choose("m").unwrap().id, last.id);
        assert_eq!(archive.choose("latest").unwrap().id, last.id);
    }
}

#[test]
fn holes_are_told_without_reading() {
    let folder = tempdir().unwrap();
    let settings = Settings { chunk_size: 64 << 10, pack_size: 1 << 20 };
    let store = std::sync::Arc::new(Local::new(folder.path()));
    let archive = Archive::create(store, &settings, None, 0).unwrap();
    let mut disk = vec![0; 200 * MIB];
    disk[5 * MIB] = 1;
    disk[199 * MIB] = 2;
    let snapshot = capture(&archive, "m", &[&disk], None);
    // Two chunks, two leaves, a root.
    assert_eq!(snapshot.added.chunks, 5);
    let opened = archive.disks(&snapshot).unwrap().remove(0);
    let extents = opened.extents(0, 200 << 20).unwrap();
    let data: Vec<u64> =
        extents.iter().filter(|each| each.kind == Kind::Data).map(|each| each.offset).collect();
    assert_eq!(data, [5 << 20, 199 << 20]);
    assert_eq!(extents.iter().map(|each| each.length).sum::<u64>(), 200 << 20);
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let folder = tempdir().unwrap();
    create(folder.path(), Some(&password()));
    let common = bytes(1, 6 * MIB);
    std::thread::scope(|scope| {
        for number in 0..8u64 {
            let (common, path) = (&common, folder.path());
            scope.spawn(move || {
                let archive = open(path, Some(&password()));
                for round in 0..3 {
                    let mut disk = common.clone();
                    disk.extend(bytes(100 + number * 10 + round, MIB));
                    let snapshot = capture(&archive, &format!("m{number}"), &[&disk], None);
                    assert!(read(&archive, &snapshot, 0).unwrap() == disk);
                }
            });
        }
    });
    let archive = open(folder.path(), Some(&password()));
    assert_eq!(archive.snapshots().unwrap().len(), 24);
    let verified = archive.verify(&VerifyOptions::default(), &Default::default(), &|_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
}

#[test]
fn there_is_only_one_archive_in_a_place() {
    let folder = tempdir().unwrap();
    create(folder.path(), None);
    let store = std::sync::Arc::new(Local::new(folder.path()));
    let again = Archive::create(store, &small(), None, 0).err().unwrap();
    assert!(again.context.contains("already"), "{again}");
    let none = std::sync::Arc::new(Local::new(folder.path().join("none")));
    let missing = Archive::open(none, None).err().unwrap();
    assert!(missing.context.contains("wherry archive init"), "{missing}");
}
