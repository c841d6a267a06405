//! Damaged superblocks, deterministic by seed; sums are made right again, so that the damage gets through.

use crate::exercise::{checked_scan, device, exercise};
use wherry_sdk::bytes::{put, put_u64};
use wherry_sdk::testing::{damage, noise};

const LENGTH: usize = 4096;

/// The superblock of one of two devices.
fn superblock(number: u64) -> Vec<u8> {
    let mut block = vec![0; LENGTH];
    put(&mut block, 32, b"a file system's.");
    for (at, value) in [(72, 9), (136, 2), (201, number), (209, 100_000)] {
        put_u64(&mut block, at, value);
    }
    block
}

#[test]
fn damaged_superblocks() {
    let whole = checked_scan(&[&device(&superblock(1)), &device(&superblock(2))]);
    assert_eq!(whole.parts[0].segments.len(), 2);
    for seed in 0..600 {
        let mut both = [superblock(1), superblock(2)].concat();
        match seed % 3 {
            0 => damage(&mut both, 30, 60, seed),
            1 => damage(&mut both, 72, 220, seed),
            _ => damage(&mut both, 0, 2 * LENGTH, seed),
        }
        exercise(&both);
        exercise(&noise(seed, 3000));
    }
    let whole = device(&superblock(1));
    for length in [0, 1, 65_535, 65_536, 69_631, 69_632, whole.len() - 1] {
        checked_scan(&[&whole[..length], &whole]);
    }
}
