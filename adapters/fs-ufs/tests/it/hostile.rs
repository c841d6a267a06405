//! Damaged volumes: no panic, no endless walk, no boundless memory.

use crate::exercise::exercise;
use crate::images::{Flavour, find, make, plain};
use crate::raw::Raw;
use fs_ufs::Ufs;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use wherry_sdk::testing::{MemoryBlob, Random, damage, noise};
use wherry_sdk::{ErrorKind, FileSystem};

/// A little of everything.
fn few(root: &Path) {
    for directory in ["many", "etc", "empty"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    for index in 0..40 {
        fs::write(root.join(format!("many/{index}-{}", "n".repeat(60))), "x").unwrap();
    }
    for (index, size) in [10, 1500, 20_000, 200_000].iter().enumerate() {
        fs::write(root.join(format!("etc/{size}")), noise(index as u64, *size)).unwrap();
    }
    symlink("etc/10", root.join("link")).unwrap();
}

/// Runs `exercise` and says which case it was if that panics.
fn survives(name: &str, bytes: &[u8]) {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| exercise(bytes)));
    assert!(result.is_ok(), "{name} makes it panic");
}

/// Where metadata are: superblock, groups, inodes, directories.
fn targets(raw: &Raw) -> Vec<(usize, usize)> {
    let mut list = vec![(8192, 1400)];
    for group in 0..raw.groups() {
        list.push((raw.group_place(group), 200));
        list.push((raw.group_place(group), raw.sb(160)));
    }
    for number in 2..raw.inodes().min(60) {
        list.push((raw.inode_place(number), 128));
        if raw.mode(number) & 0o170_000 == 0o040_000 {
            list.extend(raw.pieces(number).0.iter().map(|(at, _)| (at * raw.fragment(), 512)));
        }
    }
    list
}

fn damaged(flavour: &Flavour, cases: u64) {
    let image = make(flavour, few);
    let raw = Raw { bytes: fs::read(&image.path).unwrap(), big: flavour.name == "sparc" };
    let targets = targets(&raw);
    let mut bytes = raw.bytes.clone();
    exercise(&bytes);
    for seed in 0..cases {
        let mut random = Random::new(seed);
        let mut hit = Vec::new();
        for _ in 0..=random.below(3) {
            let (at, length) = targets[random.below(targets.len() as u64) as usize];
            damage(&mut bytes, at, at + length, random.next_u64());
            hit.push((at, length));
        }
        survives(&format!("{}, seed {seed}", flavour.name), &bytes);
        for (at, length) in hit {
            bytes[at..at + length].copy_from_slice(&raw.bytes[at..at + length]);
        }
    }
}

#[test]
fn damaged_volumes() {
    damaged(find("x86"), 250);
    damaged(find("sparc"), 250);
}

#[test]
fn damaged_volumes_of_the_bsds() {
    let image = plain("le", "version=2,bsize=8192,fsize=1024", 8, few);
    let base = fs::read(&image.path).unwrap();
    let mut bytes = base.clone();
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let at = [64 << 10, 80 << 10, 90 << 10, 120 << 10][random.below(4) as usize];
        damage(&mut bytes, at, at + 2048, random.next_u64());
        survives(&format!("ufs2, seed {seed}"), &bytes);
        bytes[at..at + 2048].copy_from_slice(&base[at..at + 2048]);
    }
}

/// A number of the superblock with a value that makes arithmetic go wrong.
#[test]
fn superblocks_near_the_limits() {
    let image = make(find("x86"), few);
    let base = fs::read(&image.path).unwrap();
    let mut bytes = base.clone();
    for at in (0..212).chain(1320..1376).step_by(4) {
        for value in [0u32, 1, 0x7fff_ffff, u32::MAX] {
            bytes[8192 + at..8192 + at + 4].copy_from_slice(&value.to_le_bytes());
            survives(&format!("{value:#x} at {at}"), &bytes);
            bytes[8192 + at..8192 + at + 4].copy_from_slice(&base[8192 + at..8192 + at + 4]);
        }
    }
}

#[test]
fn truncated() {
    let image = make(find("x86"), few);
    let base = fs::read(&image.path).unwrap();
    for length in [0, 1, 8192, 9000, 17_000, 1 << 20, base.len() - 8192] {
        survives(&format!("{length} bytes"), &base[..length]);
        let error = Ufs::mount(Box::new(MemoryBlob::read_only(&base[..length])), false).map(|_| ());
        assert_eq!(error.unwrap_err().kind, ErrorKind::Corrupt, "{length}");
    }
}
