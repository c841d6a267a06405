//! Damaged disks and databases, deterministic by seed; sums are made right again, so that the damage gets through.

use crate::exercise::{checked_scan, exercise};
use crate::groups::all;
use crate::made::{DATABASE, HEADER, database, gpt, mbr, seal};
use wherry_sdk::testing::damage;

#[test]
fn damaged_databases() {
    let whole = database(&all(true), 7);
    let records = (HEADER as usize + 1) * 512;
    for seed in 0..600 {
        let mut bytes = whole.clone();
        let (from, to) = match seed % 6 {
            0 => (512, 512 + 0x68),
            1 => (HEADER as usize * 512, HEADER as usize * 512 + 0xc5),
            _ => (records, records + 30 * 128),
        };
        damage(&mut bytes, from, to, seed);
        exercise(&bytes);
    }
}

#[test]
fn damaged_headers() {
    let database = database(&all(true), 7);
    let (first, third) = (mbr(1, &database), gpt(3, &database));
    let second = mbr(2, &database);
    for seed in 0..500 {
        let (mut one, mut three) = (first.clone(), third.clone());
        damage(&mut one, 6 * 512, 6 * 512 + 0x170, seed);
        seal(&mut one[6 * 512..7 * 512]);
        damage(&mut three, 440, 512 + 100, seed);
        damage(&mut three, 1024, 1300, seed + 1);
        checked_scan(&[&one, &second, &three]);
    }
    for length in (0..first.len()).step_by(DATABASE as usize * 7) {
        checked_scan(&[&first[..length], &second]);
    }
}
