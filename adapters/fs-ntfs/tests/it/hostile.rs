//! Damaged volumes: no panic, no endless walk, no boundless memory.

use crate::exercise::exercise;
use crate::images::{Flavour, empty};
use fs_ntfs::Ntfs;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, damage, noise};
use wherry_sdk::{Blob, FileSystem};

/// Cases for each kind of damage.
const CASES: u64 = 150;
const RECORD: usize = 1024;

/// A small volume with clusters of 512 bytes: every structure in little space.
fn base() -> Vec<u8> {
    let image = empty(&Flavour { name: "small", size: 2 << 20, arguments: &["-c", "512"] });
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
    let blob = |seed, size| MemoryBlob::read_only(noise(seed, size));
    fs.make_directory("/many", None).unwrap();
    for index in 0..40 {
        fs.write(&format!("/many/{index}-{}", "n".repeat(80)), &blob(index, 10), None).unwrap();
    }
    for (index, size) in [0, 100, 900, 20_000, 200_000].into_iter().enumerate() {
        fs.write(&format!("/size {size}"), &blob(index as u64, size), None).unwrap();
        fs.write(&format!("/size {size}:stream"), &blob(9, size / 9), None).unwrap();
    }
    fs.make_symlink("/link", "many/1", None).unwrap();
    fs.sync().unwrap();
    let mut all = Vec::new();
    while (all.len() as u64) < device.size() {
        let length = (device.size() - all.len() as u64).min(1 << 20);
        all.extend(device.read(all.len() as u64, length as u32).unwrap());
    }
    all
}

/// Where file records are: their beginnings, by their letters.
fn records(volume: &[u8]) -> Vec<usize> {
    (0..volume.len() / 512)
        .map(|sector| sector * 512)
        .filter(|at| volume[*at..].starts_with(b"FILE"))
        .collect()
}

#[test]
fn damaged_boot_sectors() {
    let base = base();
    for seed in 0..CASES {
        let mut volume = base.clone();
        damage(&mut volume, 0, 0x54, seed);
        exercise(&volume);
    }
}

#[test]
fn damaged_records() {
    let base = base();
    let records = records(&base);
    assert!(records.len() > 60, "{}", records.len());
    for seed in 0..2 * CASES {
        let (mut volume, mut random) = (base.clone(), Random::new(seed));
        for turn in 0..=random.below(2) {
            let at = records[random.below(records.len() as u64) as usize];
            damage(&mut volume, at + 0x10, at + RECORD, seed * 3 + turn);
        }
        exercise(&volume);
    }
}

#[test]
fn damaged_system_records() {
    let base = base();
    let records = records(&base);
    for seed in 0..CASES {
        let mut volume = base.clone();
        // The master file table itself, its mirror, the root, bitmaps, access rights.
        let at = records[(seed % 12) as usize];
        damage(&mut volume, at, at + RECORD, seed);
        exercise(&volume);
    }
}

#[test]
fn damaged_anywhere() {
    let base = base();
    for seed in 0..CASES {
        let mut volume = base.clone();
        let length = volume.len();
        damage(&mut volume, 512, length, seed);
        exercise(&volume);
    }
}

#[test]
fn cut_volumes() {
    let base = base();
    let mut random = Random::new(5);
    for _ in 0..CASES {
        exercise(&base[..random.below(base.len() as u64) as usize]);
    }
}
