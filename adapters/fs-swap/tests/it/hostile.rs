//! Damaged areas, deterministic by seed.

use crate::exercise::exercise;
use crate::lab::area;
use wherry_sdk::testing::damage;

#[test]
fn damaged_areas() {
    let areas: Vec<Vec<u8>> = ["4096", "8192"]
        .iter()
        .map(|page| area(&["-p", page, "-L", "swap"], 0)[..100_000].to_vec())
        .collect();
    for seed in 0..600 {
        let mut bytes = areas[seed as usize % 2].clone();
        let (from, to) = [(1000, 1100), (0, 4096), (4070, 4096)][seed as usize / 2 % 3];
        damage(&mut bytes, from, to, seed);
        exercise(&bytes);
    }
    for length in (0..100_000).step_by(997) {
        exercise(&areas[0][..length]);
    }
}
