//! Edits of single keys and values.

use crate::checker::{Writer, assert_sound};
use crate::hives::{dump, exported, merged};
use wherry_registry::{Hive, Kind, data};
use wherry_sdk::ErrorKind;

fn reopened(hive: &mut Hive<Vec<u8>>) -> Hive<Vec<u8>> {
    Hive::open(hive.bytes().unwrap(), &[]).unwrap()
}

#[test]
fn what_was_set_is_read_again() {
    for minor in 2..=6 {
        let mut hive = Hive::empty(minor).unwrap();
        hive.set_time(0x01dc_0000_0000_0000);
        let path = r"ControlSet001\Services\storahci";
        for (name, kind, bytes) in [
            ("Start", Kind::DWORD, data::dword(0)),
            ("ImagePath", Kind::EXPAND_SZ, data::sz(r"System32\drivers\storahci.sys")),
            ("Größe", Kind::SZ, data::sz("日本")),
            ("日本", Kind::MULTI_SZ, data::multi_sz(&["a", "b"])),
            ("", Kind::SZ, data::sz("standard")),
            ("Empty", Kind::BINARY, Vec::new()),
            ("Big", Kind::BINARY, (0..50_000u32).map(|n| n as u8).collect()),
            ("Odd", Kind(0xffff_0001), vec![1, 2, 3, 4, 5]),
        ] {
            hive.set(path, name, kind, &bytes).unwrap();
            let mut again = reopened(&mut hive);
            let root = again.root().unwrap();
            let key = again.find(&root, path).unwrap().unwrap();
            let value = again.value(&key, name).unwrap().unwrap();
            assert_eq!(
                (value.kind, again.data(&value).unwrap(), key.written),
                (kind, bytes, 0x01dc_0000_0000_0000)
            );
        }
        assert!(hive.unset(path, "BIG").unwrap() && !hive.unset(path, "BIG").unwrap());
        assert!(hive.remove(r"ControlSet001\Services").unwrap() && !hive.remove("ControlSet002").unwrap());
        let left = dump(&mut reopened(&mut hive)).unwrap();
        assert_eq!(left, [" class []", r"\ControlSet001 class []"]);
    }
}

#[test]
fn what_is_there_already_changes_nothing() {
    let text = "[HKEY_LOCAL_MACHINE\\A\\B]\n\"Name\"=\"text\"\n\"Long\"=hex:00,01,02,03,04,05,06\n";
    let before = merged(&Hive::empty(5).unwrap().bytes().unwrap(), text);
    let mut hive = Hive::open(before.clone(), &[]).unwrap();
    hive.set_time(1 << 60);
    hive.set(r"a\b", "NAME", Kind::SZ, &data::sz("text")).unwrap();
    hive.set(r"\A\B\", "long", Kind::BINARY, &[0, 1, 2, 3, 4, 5, 6]).unwrap();
    hive.make("A").unwrap();
    assert!(!hive.unset("A", "Name").unwrap() && !hive.remove("C").unwrap());
    let taken = hive.take("X").unwrap();
    assert_eq!((taken.patches.len(), taken.length), (0, before.len() as u64));
    assert_eq!(hive.bytes().unwrap(), before);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut hive = Hive::empty(3).unwrap();
    let before = hive.bytes().unwrap();
    let long = "x".repeat(256);
    let deep = vec!["x"; 513].join("\\");
    let kind = |outcome: wherry_sdk::Result<()>| outcome.unwrap_err().kind;
    assert_eq!(kind(hive.make(&long).map(drop)), ErrorKind::InvalidInput);
    assert_eq!(kind(hive.make(&deep).map(drop)), ErrorKind::InvalidInput);
    assert_eq!(kind(hive.remove("").map(drop)), ErrorKind::InvalidInput);
    assert_eq!(kind(hive.set("A", &"x".repeat(16_384), Kind::SZ, &[])), ErrorKind::InvalidInput);
    assert_eq!(kind(hive.set("A", "x", Kind::BINARY, &vec![0; (1 << 20) + 1])), ErrorKind::Limit);
    assert_eq!(kind(hive.set_class("A", &vec![0; 65_536])), ErrorKind::InvalidInput);
    assert_eq!(hive.bytes().unwrap(), before);
    hive.make(&long[1..]).unwrap();
}

#[test]
fn patches_are_what_changed_and_no_more() {
    let text: String =
        (0..2000).map(|n| format!("[HKEY_LOCAL_MACHINE\\K{n}]\n\"V\"=dword:00000000\n")).collect();
    let mut file = merged(&Hive::empty(5).unwrap().bytes().unwrap(), &text);
    let mut hive = Hive::open(file.clone(), &[]).unwrap();
    hive.set("K1000", "V", Kind::DWORD, &data::dword(3)).unwrap();
    let taken = hive.take("HKEY_LOCAL_MACHINE").unwrap();
    let bytes: usize = taken.patches.iter().map(|patch| patch.bytes.len()).sum();
    assert!(taken.patches.len() < 8 && bytes < 100, "{taken:?}");
    assert_eq!(taken.change.before, "[HKEY_LOCAL_MACHINE\\K1000]\n\"V\"=dword:00000000\n");
    assert_eq!(taken.change.after, "[HKEY_LOCAL_MACHINE\\K1000]\n\"V\"=dword:00000003\n");
    // The second time, what was new in the first is no longer.
    hive.make("New").unwrap();
    for taken in [taken, hive.take("").unwrap()] {
        for patch in taken.patches {
            let at = patch.offset as usize;
            assert!(at <= file.len(), "a gap at {at}");
            file.resize(file.len().max(at + patch.bytes.len()), 0);
            file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        assert_eq!(file.len() as u64, taken.length);
    }
    assert_eq!(file, hive.bytes().unwrap());
}

/// How many lists of subkeys have these letters.
fn lists(hive: &[u8], letters: &[u8]) -> usize {
    let cells = (4096..hive.len()).step_by(8).filter(|at| hive[at + 3] == 0xff);
    cells.filter(|at| hive[at + 4..].starts_with(letters)).count()
}

#[test]
fn long_lists_are_divided_and_go_away_again() {
    for (minor, short, long) in [(2, b"li", b"li"), (3, b"lf", b"li"), (5, b"lh", b"lh")] {
        let mut hive = Hive::empty(minor).unwrap();
        let before = dump(&mut hive).unwrap();
        for number in 0..507 {
            hive.make(&format!("Many\\Key{:04}", number * 2)).unwrap();
        }
        let bytes = hive.bytes().unwrap();
        assert_eq!((lists(&bytes, short) > 0, lists(&bytes, b"ri")), (true, 0), "1.{minor}");
        for number in 0..1500 {
            hive.make(&format!("Many\\key{:04}", number * 1777 % 1500)).unwrap();
        }
        let bytes = hive.bytes().unwrap();
        assert_sound(&bytes, Writer::Ours);
        assert_eq!(exported(&bytes).0, 1502);
        assert!(lists(&bytes, long) > 1 && lists(&bytes, b"ri") > 0, "1.{minor}");
        for number in 0..1499 {
            assert!(hive.remove(&format!("Many\\KEY{:04}", number * 1777 % 1500)).unwrap());
        }
        assert_sound(&hive.bytes().unwrap(), Writer::Ours);
        assert!(hive.remove("many").unwrap());
        assert_sound(&hive.bytes().unwrap(), Writer::Ours);
        assert_eq!(dump(&mut hive).unwrap(), before);
    }
}

#[test]
fn security_goes_with_the_last_key_that_has_it() {
    let mut hive = Hive::empty(5).unwrap();
    hive.make(r"A\B").unwrap();
    hive.make("C").unwrap();
    // A second item, for A and B, where a value's data lies.
    hive.set("C", "place", Kind::BINARY, &[0x77; 60]).unwrap();
    let mut bytes = hive.bytes().unwrap();
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let put = |bytes: &mut [u8], at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    let place = bytes.windows(60).position(|at| at == [0x77; 60]).unwrap();
    let (first, second) = (4096 + 128 + 4, place);
    bytes[second..second + 4].copy_from_slice(b"sk\0\0");
    for (item, next) in [(first, second), (second, first)] {
        put(&mut bytes, item + 4, next as u32 - 4100);
        put(&mut bytes, item + 8, next as u32 - 4100);
        put(&mut bytes, item + 12, 2);
    }
    for name in [b"A", b"B"] {
        let node = bytes.windows(77).position(|at| at.starts_with(b"nk") && at.ends_with(name)).unwrap();
        put(&mut bytes, node + 44, second as u32 - 4100);
    }
    // The value that was there must not refer to it any more.
    let value = bytes.windows(25).position(|at| at.starts_with(b"vk") && at.ends_with(b"place")).unwrap();
    put(&mut bytes, value + 4, 1 << 31);
    assert_sound(&bytes, Writer::Ours);
    let mut hive = Hive::open(bytes, &[]).unwrap();
    hive.make(r"A\B\New").unwrap();
    let bytes = hive.bytes().unwrap();
    assert_eq!((word(&bytes, first + 12), word(&bytes, second + 12)), (2, 3));
    assert!(hive.remove(r"A\B").unwrap());
    assert_sound(&hive.bytes().unwrap(), Writer::Ours);
    assert!(hive.remove("A").unwrap());
    let bytes = hive.bytes().unwrap();
    assert_sound(&bytes, Writer::Ours);
    assert_eq!((word(&bytes, first + 4), word(&bytes, first + 12)), (128, 2));
}
