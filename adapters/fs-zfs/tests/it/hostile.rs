//! Damaged pools: no panic, no endless walk, no boundless memory.

use crate::exercise::{Overlay, exercise, look};
use crate::pools::Pool;
use fs_zfs::Driver;
use std::cell::RefCell;
use std::fs;
use std::panic::AssertUnwindSafe;
use wherry_sdk::Blob;
use wherry_sdk::testing::{Random, damage};
use wherry_zfs::{NVLIST, NVLIST_LENGTH, TRAILER, seal};

const CASES: u64 = 600;

fn survives(about: &str, run: impl FnOnce()) {
    let survived = std::panic::catch_unwind(AssertUnwindSafe(run));
    assert!(survived.is_ok(), "{about}");
}

fn bases() -> Vec<(&'static str, Overlay)> {
    let device = |name: &'static str| {
        let pool = Pool::unpack(name);
        let path = if pool.devices.len() == 1 { pool.devices[0].clone() } else { pool.joined(&[]) };
        (name, Overlay::new(fs::read(path).unwrap()))
    };
    ["single", "old", "rz2"].map(device).to_vec()
}

/// Bytes of blocks that are wrong though their checksums are right: whoever wrote the pool meant harm.
#[test]
fn behind_checksums() {
    let bases = bases();
    let mut objects = 0;
    for case in 0..CASES {
        let (name, base) = &bases[case as usize % bases.len()];
        survives(&format!("{name}, case {case}"), || {
            let random = RefCell::new(Random::new(case));
            // One block in so many, a few bytes of it, so that some of the way is left.
            let rare = [3, 10, 40][case as usize % 3];
            let harm = move |_kind: u8, bytes: &mut Vec<u8>| {
                let mut random = random.borrow_mut();
                if random.below(rare) == 0 {
                    let length = bytes.len();
                    damage(bytes, 0, length, random.next_u64());
                }
            };
            if let Ok(Some(mut fs)) = Driver::mount_damaged(Box::new(base.clone()), Box::new(harm)) {
                objects += look(&mut fs, base.size());
            }
        });
    }
    assert!(objects > 2000, "{objects}: most damages still let something be read");
}

/// Labels that are wrong under a right checksum.
#[test]
fn labels() {
    let bases = bases();
    for case in 0..CASES {
        let (name, base) = &bases[case as usize % bases.len()];
        let at = NVLIST as usize;
        let mut label = base.base[at..at + NVLIST_LENGTH].to_vec();
        damage(&mut label, 4, 2000, case);
        label[NVLIST_LENGTH - TRAILER..][..8].copy_from_slice(&wherry_zfs::SEAL_MAGIC.to_le_bytes());
        seal(&mut label, [NVLIST, 0, 0, 0], false);
        let damaged = Overlay { patches: vec![(at, label)], ..base.clone() };
        survives(&format!("{name}, case {case}"), || exercise(&damaged));
    }
}

/// Wrong bytes anywhere, and devices that end early.
#[test]
fn bytes_and_ends() {
    for (name, base) in bases() {
        for case in 0..60 {
            let mut random = Random::new(case);
            let mut damaged = base.clone();
            for _ in 0..30 {
                let at = random.below(base.size as u64 / 8) as usize;
                damaged.patches.push((at, vec![random.below(256) as u8; 100]));
            }
            if case % 3 == 0 {
                damaged.size = random.below(base.size as u64) as usize;
            }
            survives(&format!("{name}, case {case}"), || exercise(&damaged));
        }
    }
}
