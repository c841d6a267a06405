//! Damaged logs and BitLocker metadata, deterministic by seed.

use crate::states::{OPEN, Restart, pages, volumes};
use crate::states_exercise::exercise;
use wherry_sdk::testing::damage;

#[test]
fn damaged_logs() {
    for seed in 0..500 {
        let mut bytes = pages(&OPEN, &Restart { newest: 5, flags: 2, ..OPEN });
        bytes.truncate(16 << 10);
        let from = if seed % 2 == 0 { 0 } else { 4096 };
        damage(&mut bytes, from, from + 0x80, seed);
        exercise(&bytes);
    }
}

#[test]
fn damaged_bitlocker() {
    let volumes = volumes();
    for seed in 0..500 {
        let mut bytes = volumes[seed as usize % volumes.len()].0.clone();
        let (from, to) = if seed % 2 == 0 { (0, 512) } else { (8192, 8192 + 256) };
        damage(&mut bytes, from, to, seed);
        exercise(&bytes);
    }
    for length in (0..9000).step_by(67) {
        exercise(&volumes[0].0[..length]);
    }
}
