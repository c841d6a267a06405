//! Hives that lie, and texts that nobody wrote on purpose.

use crate::exercise::{exercise_guest, guest};
use crate::generations::{find, hive, software, system};
use wherry_sdk::testing::{Random, damage};

const NAMES: &[&str] = &["2000", "xp", "2003", "7", "2022"];
/// Cases for each release and hive.
const CASES: u64 = 60;

#[test]
fn damaged_hives() {
    for name in NAMES {
        let one = find(name);
        let hives = [hive(one.regf, &system(one)), hive(one.regf, &software(one))];
        for seed in 0..CASES {
            for which in 0..2 {
                let mut both = hives.clone();
                // The base block counts for itself: a sum guards it.
                let from = if seed % 5 == 0 { 0 } else { 4096 };
                let to = both[which].len();
                damage(&mut both[which], from, to, seed);
                exercise_guest(&guest(&both[0], &both[1], b"[operating systems]\n"));
            }
        }
    }
}

#[test]
fn cut_hives() {
    let one = find("xp");
    let (system, software) = (hive(one.regf, &system(one)), hive(one.regf, &software(one)));
    let mut random = Random::new(7);
    for _ in 0..40 {
        let end = random.below(system.len() as u64) as usize;
        exercise_guest(&guest(&system[..end], &software, b""));
        let end = random.below(software.len() as u64) as usize;
        exercise_guest(&guest(&system, &software[..end], b""));
    }
}

const TEXTS: &[&[u8]] = &[
    b"[boot loader]\r\ndefault=multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS\r\n[operating systems]\r\nmulti(0)disk(0)rdisk(0)partition(1)\\WINDOWS=\"x\" /fastdetect\r\n",
    b"MSCF\0\0\0\0\xff\xff\xff\xff\0\0\0\0\x2c\0\0\0\0\0\0\0\x03\x01\xff\xff\xff\xff\0\0\0\0\0\0",
    b"O\0r\0i\0g\0i\0n\0a\0l\0F\0i\0l\0e\0n\0a\0m\0e\0\0\0h\0a\0l\0s\0p\0.\0d\0l\0l\0\0\0",
    b"\xff\xfe[\0b\0o\0o\0t\0",
];

#[test]
fn odd_files() {
    for name in ["2000", "xp", "2003"] {
        let one = find(name);
        let (system, software) = (hive(one.regf, &system(one)), hive(one.regf, &software(one)));
        for (number, text) in TEXTS.iter().enumerate() {
            for seed in 0..30 {
                let mut bytes = text.to_vec();
                let end = bytes.len();
                if seed > 0 {
                    damage(&mut bytes, 0, end, seed * 31 + number as u64);
                }
                exercise_guest(&guest(&system, &software, &bytes));
            }
        }
    }
}
