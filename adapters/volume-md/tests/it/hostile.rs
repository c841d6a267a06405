//! Damaged superblocks, deterministic by seed; checksums are made right again, so that the damage gets through.

use crate::exercise::{checked_scan, exercise};
use crate::made::{DATA, Plan, SIZE, device, members, place, superblock};
use wherry_sdk::testing::{Random, damage, noise};

const VERSIONS: [&str; 4] = ["0.90", "1.0", "1.1", "1.2"];
const LEVELS: [(i32, u32); 8] = [(-1, 0), (0, 1), (1, 0), (4, 0), (5, 2), (6, 2), (10, 0x102), (10, 0x20102)];

#[test]
fn damaged_superblocks() {
    for seed in 0..800 {
        let mut random = Random::new(seed);
        let version = VERSIONS[seed as usize % 4];
        let (level, layout) = LEVELS[random.below(8) as usize];
        let plan = Plan { level, layout, chunk: 4096, disks: 4, events: 9 };
        let mut devices = members(version, &plan);
        for (device, number) in devices.iter_mut().zip(0..).take(1 + seed as usize % 2) {
            let mut block = superblock(version, &plan, number);
            let end = if version == "0.90" { 1024 } else { 300 };
            damage(&mut block, 4, end, seed);
            *device = self::device(version, &block);
        }
        let devices: Vec<&[u8]> = devices.iter().map(Vec::as_slice).collect();
        checked_scan(&devices);
    }
}

#[test]
fn damaged_blocks_and_lengths() {
    let plan = Plan { level: 10, layout: 0x102, chunk: 4096, disks: 4, events: 9 };
    for seed in 0..100 {
        let version = VERSIONS[seed as usize % 4];
        let mut both = [superblock(version, &plan, 0), superblock(version, &plan, 1)].concat();
        damage(&mut both, 0, 8192, seed);
        exercise(&both);
        exercise(&noise(seed, 2048));
    }
    for version in VERSIONS {
        let whole = device(version, &superblock(version, &plan, 0));
        for end in [0, 1, 511, 512, 4095, 4096, 8191, 8192, DATA, place(version), SIZE - 1] {
            checked_scan(&[&whole[..end]]);
        }
    }
}
