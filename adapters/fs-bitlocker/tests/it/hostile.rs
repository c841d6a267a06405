//! Damaged metadata, deterministic by seed.

use crate::exercise::exercise;
use crate::naming::volumes;
use wherry_sdk::testing::damage;

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
