//! Damaged disks, deterministic by seed.

use crate::exercise::exercise;
use crate::lab::Lab;
use crate::reading::sample;
use crate::sierra::sierra;
use wherry_sdk::testing::{Random, damage};

/// Small disks of each kind of names.
fn disks() -> Vec<Vec<u8>> {
    let mut files = sample();
    files.retain(|path, content| {
        content.as_ref().is_none_or(|bytes| bytes.len() < 100_000)
            && (!path.starts_with("/many/") || path.contains("number 11"))
    });
    let lab = Lab::new(&files);
    let long = "b/".repeat(120);
    std::os::unix::fs::symlink(&long, lab.root().join("link")).unwrap();
    let options: [&[&str]; 4] =
        [&["-R"], &["-J", "--norock"], &["--norock"], &["-iso-level", "4", "-r", "-J"]];
    let mut disks: Vec<Vec<u8>> =
        options.iter().map(|options| lab.image("/usr/bin/xorrisofs", options)).collect();
    disks.push(sierra(&lab.image("/usr/bin/genisoimage", &["-iso-level", "2", "-input-charset", "utf-8"])));
    disks
}

#[test]
fn damaged_disks() {
    for (number, whole) in (0..).zip(disks()) {
        exercise(&whole);
        for seed in 0..160 {
            let mut bytes = whole.clone();
            // Descriptors, then path tables and directories, which come before the files.
            let (from, to) = match seed % 4 {
                0 => (32_768, 36_864),
                1 | 2 => (36_864, bytes.len().min(120_000)),
                _ => (0, bytes.len()),
            };
            damage(&mut bytes, from, to, seed + number * 1000);
            exercise(&bytes);
        }
    }
}

/// Records, aimed at: extents, sizes, flags, lengths of names; directories that hold themselves.
#[test]
fn damaged_records() {
    for (number, whole) in (0..).zip(disks()) {
        let records: Vec<usize> = (40_000..whole.len() - 34)
            .filter(|at| {
                let length = usize::from(whole[*at]);
                at % 2 == 0
                    && length > 33
                    && length % 2 == 0
                    && whole[at + 2..at + 6].iter().eq(whole[at + 6..at + 10].iter().rev())
                    && whole[at + 10..at + 14].iter().eq(whole[at + 14..at + 18].iter().rev())
            })
            .collect();
        assert!(records.len() > 20, "{}", records.len());
        let mut random = Random::new(number);
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = records[random.below(records.len() as u64) as usize];
                let other = records[random.below(records.len() as u64) as usize];
                match random.below(6) {
                    0 => bytes.copy_within(other + 2..other + 18, at + 2),
                    1 => bytes[at + 25] ^= 1 << random.below(8),
                    2 => bytes[at + 32] = random.next_u64() as u8,
                    3 => bytes[at + 10..at + 14].copy_from_slice(&(random.next_u64() as u32).to_le_bytes()),
                    4 => bytes[at] = random.next_u64() as u8,
                    // Rock Ridge's entries behind the name.
                    _ => bytes[at + 34 + random.below(30) as usize] = random.next_u64() as u8,
                }
            }
            exercise(&bytes);
        }
    }
}
