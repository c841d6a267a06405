//! What is not mapped is named, and nothing else suffers.

use crate::exercise::checked_scan;
use crate::groups::all;
use crate::made::{HEADER, Record, component, database, mbr, partition};
use wherry_sdk::volume::Layout;

fn scan(records: &[Record]) -> Layout {
    let database = database(records, 7);
    checked_scan(&[&mbr(1, &database), &mbr(2, &database), &mbr(3, &database)])
}

/// The concerns that leave a volume out, and how many volumes are mapped.
fn left_out(layout: &Layout) -> (Vec<(String, String)>, usize) {
    let refused = layout.concerns.iter().filter(|one| one.message.contains("is left out"));
    let refused = refused.map(|one| (one.id.clone(), one.message.clone())).collect();
    (refused, layout.parts.iter().filter(|part| !part.segments.is_empty()).count())
}

fn check(records: &[Record], id: &str, words: &str, mapped: usize) {
    let (refused, there) = left_out(&scan(records));
    assert!(refused.iter().any(|(one, message)| one == id && message.contains(words)), "{id}: {refused:?}");
    assert_eq!(there, mapped, "{refused:?}");
}

/// The records with one replaced.
fn with(kind: u8, nth: usize, change: impl Fn(&Record) -> Record) -> Vec<Record> {
    let mut records = all(true);
    let found = records.iter_mut().filter(|record| record.kind == kind).nth(nth).unwrap();
    *found = change(found);
    records
}

#[test]
fn disks_that_are_missing_or_there_twice() {
    let database = database(&all(true), 7);
    let layout = checked_scan(&[&mbr(1, &database), &mbr(3, &database)]);
    let (refused, mapped) = left_out(&layout);
    assert!(
        refused.iter().all(|(id, message)| id == "ldm.missing-disk" && message.contains("Disk2")),
        "{refused:?}"
    );
    assert_eq!((refused.len(), mapped), (3, 2));
    // The other copy of a mirror is enough.
    let layout = checked_scan(&[&mbr(1, &database), &mbr(2, &database)]);
    let mirror = layout.parts.iter().find(|part| part.id == "ldm:Dg0/Mirrored").unwrap();
    assert_eq!(mirror.segments.len(), 1, "{:?}", layout.concerns);
    let twice = [&mbr(1, &database)[..], &mbr(2, &database), &mbr(3, &database), &mbr(3, &database)];
    let (refused, mapped) = left_out(&checked_scan(&twice));
    assert!(refused.iter().all(|(id, _)| id == "ldm.duplicate-disk"), "{refused:?}");
    assert_eq!((refused.len(), mapped), (2, 3));
}

#[test]
fn volumes_that_make_no_sense() {
    let sized = |size: u64| with(0x51, 0, |_| crate::made::volume(10, "Simple", false, 1, size));
    check(&sized(301), "ldm.bad-volume", "153600 of its 154112", 4);
    check(&sized(0), "ldm.bad-volume", "", 4);
    let moved = |start: u64| with(0x33, 0, |_| partition(12, 11, 1, (start, 0, 300), None));
    check(&moved(8000), "ldm.bad-volume", "beyond the data of disk Disk1", 4);
    check(&moved(u64::MAX / 512), "ldm.bad-volume", "beyond", 4);
    check(&moved(390), "ldm.doubtful", "same sectors", 0);
    let gap = with(0x33, 1, |_| partition(23, 21, 1, (400, 301, 200), None));
    check(&gap, "ldm.bad-volume", "gaps", 4);
    let columns = with(0x33, 3, |_| partition(32, 31, 3, (0, 0, 384), Some(2)));
    check(&columns, "ldm.unsupported-type", "columns", 4);
    let chunk = with(0x32, 2, |_| component(31, 30, 1, 2, 0));
    check(&chunk, "ldm.bad-volume", "no length", 4);
    let count = with(0x32, 0, |_| component(11, 10, 2, 2, 0));
    check(&count, "ldm.bad-volume", "1 partitions instead of 2", 4);
    let failed = with(0x32, 0, |record| {
        let mut failed = record.clone();
        let at = failed.fields.windows(6).position(|window| window == b"ACTIVE").unwrap();
        failed.fields[at..at + 6].copy_from_slice(b"FAILED");
        failed
    });
    check(&failed, "ldm.inactive", "FAILED", 4);
}

#[test]
fn a_database_in_change_is_not_believed() {
    let mut database = database(&all(true), 7);
    database[HEADER as usize * 512 + 0x7d + 7] = 8;
    let layout = checked_scan(&[&mbr(1, &database), &mbr(2, &database), &mbr(3, &database)]);
    let (refused, mapped) = left_out(&layout);
    assert!(mapped == 0 && refused.len() == 5 && refused[0].0 == "ldm.doubtful", "{refused:?}");
}

#[test]
fn other_disks_are_none() {
    for bytes in [vec![0; 1 << 20], vec![0xff; 1 << 20], vec![0; 100], Vec::new()] {
        let layout = checked_scan(&[&bytes]);
        assert!(layout.parts.is_empty() && layout.concerns.is_empty());
    }
    // A disk whose header is gone says so.
    let mut bytes = mbr(1, &database(&all(true), 7));
    let end = bytes.len() - 512;
    bytes[6 * 512..7 * 512].fill(0);
    bytes[end..].fill(0);
    let layout = checked_scan(&[&bytes]);
    assert!(layout.parts.is_empty() && layout.concerns[0].id == "ldm.bad-disk", "{:?}", layout.concerns);
}
