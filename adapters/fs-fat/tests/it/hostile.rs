//! Damaged volumes, deterministic by seed.

use crate::exercise::exercise;
use crate::lab::Lab;
use crate::reading::sample;
use wherry_sdk::testing::{Random, damage};

/// Small volumes of each kind, and how many bytes of metadata they start with.
fn volumes() -> Vec<(Vec<u8>, usize)> {
    [(["-F", "12"], 1200, 40_000), (["-F", "16"], 5000, 60_000), (["-F", "32"], 1500, 60_000)]
        .into_iter()
        .map(|(arguments, kib, metadata)| {
            let lab = Lab::new(&[&arguments[..], &["-s", "1"]].concat(), kib);
            lab.fill(&sample());
            (std::fs::read(&lab.image).unwrap(), metadata)
        })
        .collect()
}

#[test]
fn damaged_volumes() {
    for (number, (whole, metadata)) in (0..).zip(volumes()) {
        for seed in 0..200 {
            let mut bytes = whole.clone();
            // Mostly in the boot sector, the tables and the directories, which mcopy puts first.
            let (from, to) = match seed % 4 {
                0 => (11, 90),
                1 => (512, metadata / 3),
                2 => (metadata / 3, metadata),
                _ => (0, bytes.len()),
            };
            damage(&mut bytes, from, to, seed + number * 1000);
            exercise(&bytes);
        }
    }
}

/// Short names' slots, aimed at: first clusters, sizes, attributes.
#[test]
fn damaged_entries() {
    for (number, (whole, _)) in (0..).zip(volumes()) {
        let slots: Vec<usize> = (0..whole.len() - 32)
            .step_by(32)
            .filter(|at| {
                matches!(whole[at + 11], 0x10 | 0x20) && whole[*at].is_ascii_graphic() && whole[at + 12] == 0
            })
            .collect();
        assert!(slots.len() > 60);
        let mut random = Random::new(number);
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = slots[random.below(slots.len() as u64) as usize];
                let other = slots[random.below(slots.len() as u64) as usize];
                match random.below(4) {
                    // Another entry's clusters: chains cross, directories lie within themselves.
                    0 => bytes.copy_within(other + 26..other + 28, at + 26),
                    1 => bytes[at + 11] ^= 0x10,
                    2 => bytes[at + 28..at + 32].copy_from_slice(&(random.next_u64() as u32).to_le_bytes()),
                    _ => bytes[at + 26] = random.next_u64() as u8,
                }
            }
            exercise(&bytes);
        }
    }
}

#[test]
fn truncated_volumes() {
    let (whole, _) = volumes().remove(0);
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        exercise(&whole[..length]);
    }
    // Its own end is believed, not the device's.
    for length in (0..whole.len()).step_by(whole.len() / 20) {
        let mut bytes = whole[..length].to_vec();
        if bytes.len() > 512 {
            bytes[19..21].copy_from_slice(&((length / 512) as u16).to_le_bytes());
        }
        exercise(&bytes);
    }
}
