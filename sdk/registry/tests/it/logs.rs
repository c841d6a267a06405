//! Hives that were not closed, and what their logs have.

use crate::hives::{BASE, dump, empty, merged, seal};
use wherry_registry::Hive;
use wherry_sdk::ErrorKind;

/// A hive before and after a change that made it longer.
fn states() -> (Vec<u8>, Vec<u8>) {
    let key = |letter: &str| format!("[HKEY_LOCAL_MACHINE\\Key{letter}]\n\"Value\"=\"{letter}\"\n");
    let mut before = merged(&empty(5), &key("a"));
    let mut after = merged(&before, &key("b"));
    assert!(before.len() < after.len());
    for hive in [&mut before, &mut after] {
        hive[4..12].copy_from_slice(&[7, 0, 0, 0, 7, 0, 0, 0]);
        seal(hive);
    }
    (before, after)
}

fn opened(hive: &[u8], logs: &[Vec<u8>]) -> wherry_sdk::Result<Vec<String>> {
    dump(&mut Hive::open(hive.to_vec(), logs)?)
}

/// The pages of 512 bytes that differ, or are new.
fn changed(before: &[u8], after: &[u8]) -> Vec<usize> {
    let old: Vec<&[u8]> = before[BASE..].chunks(512).collect();
    let pages = after[BASE..].chunks(512).enumerate();
    pages.filter(|(page, bytes)| old.get(*page) != Some(bytes)).map(|(page, _)| page).collect()
}

/// A hive whose writer has begun and not ended.
fn begun(mut hive: Vec<u8>) -> Vec<u8> {
    hive[4] += 1;
    seal(&mut hive);
    hive
}

/// The old format: a base block's copy, a bitmap, pages.
fn old_log(hive: &[u8], before: &[u8], after: &[u8]) -> Vec<u8> {
    let mut log = hive[..512].to_vec();
    log[8] = log[4];
    log[40..44].copy_from_slice(&after[40..44]);
    log[28] = 1;
    seal(&mut log);
    let pages = changed(before, after);
    let mut bitmap = vec![0u8; (after.len() - BASE) / 512 / 8];
    pages.iter().for_each(|page| bitmap[page / 8] |= 1 << (page % 8));
    log.extend(b"DIRT");
    log.extend(bitmap);
    log.resize(log.len().next_multiple_of(512), 0);
    pages.iter().for_each(|page| log.extend(&after[BASE + page * 512..BASE + page * 512 + 512]));
    log
}

#[test]
fn a_hive_that_was_closed_needs_no_log() {
    let (before, after) = states();
    let log = old_log(&before, &before, &after);
    assert_eq!(opened(&before, &[log]).unwrap(), opened(&before, &[]).unwrap());
}

#[test]
fn an_old_log_brings_what_is_missing() {
    let (before, after) = states();
    let (dirty, wanted) = (begun(before.clone()), opened(&after, &[]).unwrap());
    let log = old_log(&dirty, &before, &after);
    assert_ne!(opened(&before, &[]).unwrap(), wanted);
    assert_eq!(opened(&dirty, std::slice::from_ref(&log)).unwrap(), wanted);
    let mut of_2000 = log.clone();
    of_2000[28] = 2;
    seal(&mut of_2000);
    assert_eq!(opened(&dirty, &[of_2000]).unwrap(), wanted);
    // Of two, the one of this moment.
    let mut other = log.clone();
    other[12] ^= 1;
    seal(&mut other);
    assert_eq!(opened(&dirty, &[other.clone(), log.clone()]).unwrap(), wanted);
    for useless in [vec![], vec![Vec::new()], vec![other], vec![log[..700].to_vec()]] {
        let error = opened(&dirty, &useless).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Dirty | ErrorKind::Corrupt), "{error:?}");
    }
}

/// Marvin32 as the patent has it: words are mixed in, then 0x80 behind what is left, then nothing.
fn marvin(bytes: &[u8]) -> [u8; 8] {
    let (mut low, mut high) = (0x7a4e_55c5_u32, 0x82ef_4d88_u32);
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(4) + 4, 0);
    for word in padded.chunks(4) {
        low = low.wrapping_add(u32::from_le_bytes(word.try_into().unwrap()));
        high ^= low;
        low = low.rotate_left(20).wrapping_add(high);
        high = high.rotate_left(9) ^ low;
        low = low.rotate_left(27).wrapping_add(high);
        high = high.rotate_left(19);
    }
    (u64::from(high) << 32 | u64::from(low)).to_le_bytes()
}

/// An entry of the new format with these pages of 512 bytes.
fn entry(sequence: u32, after: &[u8], pages: &[usize]) -> Vec<u8> {
    let mut entry = b"HvLE".to_vec();
    let size = (40 + pages.len() * 520).next_multiple_of(512);
    for word in [size as u32, 0, sequence, (after.len() - BASE) as u32, pages.len() as u32] {
        entry.extend(word.to_le_bytes());
    }
    entry.resize(40, 0);
    for page in pages {
        entry.extend(((page * 512) as u32).to_le_bytes());
        entry.extend(512u32.to_le_bytes());
    }
    pages.iter().for_each(|page| entry.extend(&after[BASE + page * 512..BASE + page * 512 + 512]));
    entry.resize(size, 0xcc);
    let hash = marvin(&entry[40..]);
    entry[24..32].copy_from_slice(&hash);
    let hash = marvin(&entry[..32]);
    entry[32..40].copy_from_slice(&hash);
    entry
}

/// A log of the new format.
fn new_log(hive: &[u8], sequence: u8, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut log = hive[..512].to_vec();
    (log[4], log[8], log[28]) = (sequence, sequence, 6);
    seal(&mut log);
    log.extend(entries.concat());
    log
}

#[test]
fn new_logs_bring_what_is_missing_up_to_the_first_damage() {
    let (before, after) = states();
    let (dirty, wanted) = (begun(before.clone()), opened(&after, &[]).unwrap());
    let pages = changed(&before, &after);
    let (first, second) = pages.split_at(pages.len() / 2);
    // Number 6 is in the hive: that it would break it shows that it is passed over.
    let old = entry(6, &vec![0xee; after.len()], &[1, 2]);
    let entries = [old, entry(7, &after, first), entry(8, &after, second)];
    let one = new_log(&dirty, 6, &entries);
    assert_eq!(opened(&dirty, std::slice::from_ref(&one)).unwrap(), wanted);
    let (early, late) = (new_log(&dirty, 6, &entries[..2]), new_log(&dirty, 8, &entries[2..]));
    for logs in [[early.clone(), late.clone()], [late, early.clone()]] {
        let mut hive = Hive::open(dirty.clone(), &logs).unwrap();
        assert_eq!((hive.applied(), dump(&mut hive).unwrap()), (2, wanted.clone()));
    }
    // Without its base block, the hive takes the log's.
    let mut headless = dirty.clone();
    headless[508] ^= 1;
    assert_eq!(opened(&headless, std::slice::from_ref(&one)).unwrap(), wanted);
    let mut broken = one.clone();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(Hive::open(dirty.clone(), &[broken]).unwrap().applied(), 1);
    let gap = [entries[1].clone(), entry(10, &after, second)];
    let divided = [new_log(&dirty, 7, &gap[..1]), new_log(&dirty, 10, &gap[1..])];
    for logs in [&[new_log(&dirty, 7, &gap)][..], &divided] {
        assert_eq!(Hive::open(dirty.clone(), logs).unwrap().applied(), 1);
    }
    let nothing = new_log(&dirty, 6, &entries[..1]);
    assert_eq!(opened(&dirty, &[nothing]).unwrap_err().kind, ErrorKind::Dirty);
}

#[test]
fn an_edit_closes_the_hive_with_what_its_logs_had() {
    let (before, after) = states();
    let mut dirty = begun(before.clone());
    let log = new_log(&dirty, 7, &[entry(7, &after, &changed(&before, &after))]);
    let mut headless = dirty.clone();
    headless[508] ^= 1;
    for file in [&mut dirty, &mut headless] {
        let mut hive = Hive::open(file.clone(), std::slice::from_ref(&log)).unwrap();
        assert!(hive.take("").unwrap().patches.is_empty());
        hive.make("New").unwrap();
        let taken = hive.take("").unwrap();
        file.resize(taken.length as usize, 0);
        for patch in &taken.patches {
            file[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        let mut wanted = opened(&after, &[]).unwrap();
        wanted.push("\\New class []".into());
        wanted.sort();
        assert_eq!(opened(file, &[]).unwrap(), wanted);
        // What the log has is older than the hive now.
        assert!(file[4] > 8 && file[4..8] == file[8..12], "{:?}", &file[4..12]);
    }
}
