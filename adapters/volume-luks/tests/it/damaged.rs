//! Damaged and truncated headers, deterministic by seed.

use crate::exercise::exercise;
use crate::opened::fixture;
use wherry_sdk::testing::damage;

#[test]
fn damaged_headers() {
    // Behind the header nothing is looked at: short devices are quick.
    for (name, header) in [("luks1-cbc", 592), ("luks2-4096", 8192)] {
        let mut whole = fixture(name);
        whole.truncate(128 << 10);
        for seed in 0..400 {
            let mut bytes = whole.clone();
            damage(&mut bytes, 0, header, seed);
            exercise(&bytes);
        }
        for length in (0..40_000).step_by(401) {
            exercise(&whole[..length]);
        }
    }
}

/// The device is long enough that what is damaged gets as far as a part.
#[test]
fn damaged_json() {
    let mut whole = fixture("luks2-argon2id");
    whole.truncate((16 << 20) + (64 << 10));
    for seed in 0..60 {
        let mut bytes = whole.clone();
        damage(&mut bytes, 4096, 6500, seed);
        exercise(&bytes);
    }
}
