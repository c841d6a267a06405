//! Damaged images: no panic, no endless walk, no boundless memory.

use crate::exercise::exercise;
use crate::images::{FEW, FLAVOURS, make};
use fs_squashfs::Squash;
use std::panic::AssertUnwindSafe;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::{MemoryBlob, damage};

const SUPERBLOCK: usize = 96;

/// Runs `exercise` and says which case it was if that panics.
fn survives(name: &str, bytes: &[u8]) {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| exercise(bytes)));
    assert!(result.is_ok(), "{name} makes it panic");
}

/// Metadata is at the end; where it is stored as it is, damage reaches what is behind the packing.
#[test]
fn damaged_images() {
    for (flavour, cases) in [(7, 500), (0, 60), (1, 60), (2, 60), (3, 60), (4, 60)] {
        let whole = std::fs::read(make(&FLAVOURS[flavour], FEW).path.as_path()).unwrap();
        exercise(&whole);
        let inodes = u64::from_le_bytes(whole[64..72].try_into().unwrap()) as usize;
        let end = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
        for seed in 0..cases {
            let mut bytes = whole.clone();
            let (from, to) = match seed % 8 {
                0 => (8, SUPERBLOCK),
                1 => (SUPERBLOCK, end),
                _ => (inodes, end),
            };
            damage(&mut bytes, from, to, seed);
            survives(&format!("{}, seed {seed}", FLAVOURS[flavour].name), &bytes);
        }
    }
}

/// A number of the superblock with a value that makes arithmetic go wrong.
#[test]
fn superblocks_near_the_limits() {
    let whole = std::fs::read(make(&FLAVOURS[7], FEW).path.as_path()).unwrap();
    for at in (4..SUPERBLOCK).step_by(4) {
        for value in [0u32, 1, 0x7fff_ffff, u32::MAX] {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            survives(&format!("{value:#x} at {at}"), &bytes);
        }
    }
    for at in (32..SUPERBLOCK).step_by(8) {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&(u64::MAX - 3).to_le_bytes());
        survives(&format!("the end at {at}"), &bytes);
    }
}

#[test]
fn truncated() {
    let whole = std::fs::read(make(&FLAVOURS[7], FEW).path.as_path()).unwrap();
    let end = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    for length in [0, 1, 95, 96, 97, end / 2, end - 1] {
        survives(&format!("{length} bytes"), &whole[..length]);
        let blob = MemoryBlob::read_only(&whole[..length]);
        assert!(Squash::mount(Box::new(blob), false).is_err(), "{length}");
    }
}

/// A directory that is within itself is walked only as far as paths go.
#[test]
fn directories_within_themselves() {
    let whole = std::fs::read(make(&FLAVOURS[7], "mkdir inner; echo x > inner/file").path.as_path()).unwrap();
    let number = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    // The root's one entry stands for the root.
    let (root, directories) = (number(32), number(72) as usize);
    let mut bytes = whole.clone();
    let at = bytes[directories..].windows(5).position(|window| window == b"inner").unwrap() + directories;
    bytes[at - 8..at - 6].copy_from_slice(&(root as u16).to_le_bytes());
    bytes[at - 16..at - 12].copy_from_slice(&((root >> 16) as u32).to_le_bytes());
    let mut fs = Squash::mount(Box::new(MemoryBlob::read_only(&bytes[..])), false).unwrap();
    assert_eq!(fs.stat("/inner/inner/inner").unwrap(), fs.stat("/").unwrap());
    survives("a directory within itself", &bytes);
}
