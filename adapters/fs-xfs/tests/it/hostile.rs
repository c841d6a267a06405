//! Damaged volumes: no panic, no endless walk, no boundless memory.

use crate::exercise::exercise;
use crate::images::{Image, check, find, links, make};
use fs_xfs::Xfs;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, damage, noise};
use wherry_sdk::{ErrorKind, FileSystem};

const SIZE: u64 = 16 << 20;

/// A little of everything.
fn few(root: &Path) {
    for directory in ["many", "some", "few", "empty"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    for index in 0..50 {
        fs::write(root.join(format!("many/{index}-{}", "n".repeat(60))), "").unwrap();
    }
    for index in 0..6 {
        fs::write(root.join(format!("some/{index}-{}", "n".repeat(60))), "x").unwrap();
    }
    for (index, size) in [10, 1500, 20_000].iter().enumerate() {
        fs::write(root.join(format!("few/{size}")), noise(index as u64, *size)).unwrap();
    }
    links(root, &[5, 90]);
}

/// A kind of metadata: how it begins, where its checksum is, in bytes, and how long it is where that is not a block.
type Kind = (&'static [u8], usize, Option<usize>);

const KINDS: &[Kind] = &[
    (b"XFSB", 224, Some(512)),
    (b"XAGF", 216, Some(512)),
    (b"XAGI", 312, Some(512)),
    (b"IN", 100, Some(512)),
    (b"AB3B", 52, None),
    (b"AB3C", 52, None),
    (b"RMB3", 52, None),
    (b"R3FC", 52, None),
    (b"IAB3", 52, None),
    (b"FIB3", 52, None),
    (b"XAFL", 32, Some(512)),
    (b"BMA3", 64, None),
    (b"XDF3", 4, None),
    (b"XSLM", 12, None),
    (b"XARM", 12, None),
    (b"ABTC", 0, None),
    (b"IABT", 0, None),
    (b"XD2F", 0, None),
    (b"XDB3", 4, None),
    (b"XDD3", 4, None),
    (b"ABTB", 0, None),
    (b"BMAP", 0, None),
    (b"XD2B", 0, None),
    (b"XD2D", 0, None),
    (&[0xfe, 0xed, 0xba, 0xbe], 0, Some(512)),
];

/// Leaves and nodes of directories and attributes, in version 5 and 4; they begin with links to others.
const LINKED: &[([u8; 2], usize)] = &[
    ([0x3d, 0xf1], 12),
    ([0x3d, 0xff], 12),
    ([0x3e, 0xbe], 12),
    ([0x3b, 0xee], 12),
    ([0xd2, 0xf1], 0),
    ([0xd2, 0xff], 0),
    ([0xfe, 0xbe], 0),
    ([0xfb, 0xee], 0),
];

/// A volume and the places of its metadata: first byte, length, and where the checksum is (0: none).
struct Base {
    bytes: Vec<u8>,
    targets: Vec<(usize, usize, usize)>,
}

impl Base {
    fn new(name: &str) -> Self {
        Self::of(&make(find(name), SIZE, few))
    }

    fn of(image: &Image) -> Self {
        let bytes = fs::read(&image.path).unwrap();
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (block, fifth) = (word(4), bytes[101] & 15 == 5);
        let inode = usize::from(bytes[104]) << 8 | usize::from(bytes[105]);
        let mut targets = Vec::new();
        for at in (0..bytes.len()).step_by(inode.min(512)) {
            let here = &bytes[at..];
            let own =
                |kind: &&Kind| here.starts_with(kind.0) || (kind.0 == b"IN" && here[8..].starts_with(b"IN"));
            let linked =
                LINKED.iter().find(|(magic, _)| here[8..].starts_with(magic) && here[10..12] == [0, 0]);
            if let Some((_, sum)) = linked.filter(|_| at % block == 0) {
                targets.push((at, block, if fifth { *sum } else { 0 }));
                continue;
            }
            let Some((start, sum, length)) = KINDS.iter().find(own) else { continue };
            let length = if *start == b"IN" { inode } else { length.unwrap_or(block) };
            let used = *start != b"IN" || here[2..4] != [0, 0];
            if used && here.starts_with(start) {
                targets.push((at, length, if fifth { *sum } else { 0 }));
            }
        }
        Self { bytes, targets }
    }

    /// Renews the checksum of the target, so that what is behind it is reached.
    fn stamp(bytes: &mut [u8], (at, length, sum): (usize, usize, usize)) {
        if sum > 0 {
            bytes[at + sum..at + sum + 4].fill(0);
            let value = !crc32c(!0, &bytes[at..at + length]);
            bytes[at + sum..at + sum + 4].copy_from_slice(&value.to_le_bytes());
        }
    }

    /// The target that begins like this and in which `holds` is, first or later.
    fn find(&self, start: &[u8], holds: impl Fn(&[u8]) -> bool) -> (usize, usize, usize) {
        let fits = |(at, length, _): &&(usize, usize, usize)| {
            self.bytes[*at..].starts_with(start) && holds(&self.bytes[*at..at + length])
        };
        *self.targets.iter().find(fits).unwrap()
    }
}

/// Runs `exercise` and says which case it was if that panics.
pub fn survives(name: &str, bytes: &[u8]) {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| exercise(bytes)));
    assert!(result.is_ok(), "{name} makes it panic");
}

/// A volume with a directory of many leaves, a file of many pieces, attributes below nodes and away from them.
fn grown(name: &str) -> Base {
    let image = make(find(name), 20 << 20, few);
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Xfs::mount(Box::new(device.clone()), true).unwrap();
    let blob = |length| MemoryBlob::read_only(noise(length as u64, length));
    for index in 0..700 {
        fs.write(&format!("/many/{index} of a long name, so that there are many leaves"), &blob(300), None)
            .unwrap();
    }
    for index in 0..90 {
        fs.append("/few/10", &blob(4000)).unwrap();
        fs.append(&format!("/many/{} of a long name, so that there are many leaves", index * 2), &blob(900))
            .unwrap();
    }
    let mut meta = fs.stat("/few/1500").unwrap();
    meta.attributes =
        (0..80).map(|index| (format!("user.{index}"), noise(index, index as usize * 40))).collect();
    fs.set_meta("/few/1500", &meta).unwrap();
    fs.make_symlink("/away", &"t".repeat(1000), None).unwrap();
    fs.sync().unwrap();
    device.apply(&image.path).unwrap();
    check(&image.path);
    Base::of(&image)
}

fn damaged(name: &str, cases: u64) {
    damaged_base(name, &Base::new(name), 60, cases);
}

fn damaged_base(name: &str, base: &Base, least: usize, cases: u64) {
    assert!(base.targets.len() > least, "{name}: {}", base.targets.len());
    let mut bytes = base.bytes.clone();
    exercise(&bytes);
    for seed in 0..cases {
        let mut random = Random::new(seed);
        let mut hit = Vec::new();
        for _ in 0..=random.below(3) {
            // Superblocks, headers and trees are few among the inodes.
            let among = if random.below(2) == 0 { base.targets.len().min(12) } else { base.targets.len() };
            let target = base.targets[random.below(among as u64) as usize];
            damage(&mut bytes, target.0, target.0 + target.1, random.next_u64());
            Base::stamp(&mut bytes, target);
            hit.push(target);
        }
        survives(&format!("{name}, seed {seed}"), &bytes);
        for (at, length, _) in hit {
            bytes[at..at + length].copy_from_slice(&base.bytes[at..at + length]);
        }
    }
}

#[test]
fn damaged_version_5() {
    damaged("default", 150);
}

#[test]
fn damaged_small_blocks() {
    damaged("1k", 150);
}

#[test]
fn damaged_version_4() {
    damaged("v4-512", 150);
}

/// Half of the damage is to blocks that are none of inodes.
fn damaged_trees(name: &str, cases: u64) {
    let mut base = grown(name);
    let inodes = |bytes: &[u8], at: usize| bytes[at..].starts_with(b"IN");
    let bytes = base.bytes.clone();
    base.targets.sort_by_key(|(at, ..)| inodes(&bytes, *at));
    let others = base.targets.iter().filter(|(at, ..)| !inodes(&bytes, *at)).count();
    base.targets.truncate(others + 40);
    damaged_base(name, &base, 70, cases);
}

#[test]
fn damaged_trees_of_version_5() {
    damaged_trees("rmapbt", 100);
    damaged_trees("1k", 100);
}

#[test]
fn damaged_trees_of_version_4() {
    damaged_trees("v4-512", 100);
}

/// A number of the superblock with a value that makes arithmetic go wrong.
#[test]
fn superblocks_near_the_limits() {
    for name in ["default", "v4"] {
        let base = Base::new(name);
        let mut bytes = base.bytes.clone();
        let target = base.targets[0];
        for at in (0..264).step_by(4) {
            for value in [0u32, 1, 0x7fff_ffff, u32::MAX] {
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
                Base::stamp(&mut bytes, target);
                survives(&format!("{name}: {value:#x} at {at}"), &bytes);
                bytes[..512].copy_from_slice(&base.bytes[..512]);
            }
        }
    }
}

#[test]
fn truncated() {
    let base = Base::new("default");
    for length in [0, 1, 511, 512, 1024, 4096, 100_000, (16 << 20) - 1] {
        survives(&format!("{length} bytes"), &base.bytes[..length]);
        let error = Xfs::mount(Box::new(MemoryBlob::read_only(&base.bytes[..length])), false).map(|_| ());
        assert_eq!(error.unwrap_err().kind, ErrorKind::Corrupt, "{length}");
    }
}

/// Trees whose blocks contain themselves, at every level, end with an error.
#[test]
fn trees_that_contain_themselves() {
    for name in ["default", "v4"] {
        let base = Base::new(name);
        let fifth = name == "default";
        let unit = 4096;
        let free = base.find(if fifth { b"AB3B" } else { b"ABTB" }, |_| true);
        let block = (free.0 / unit) as u32;
        for level in 1..9u16 {
            let mut bytes = base.bytes.clone();
            let header = base.find(b"XAGF", |_| true);
            bytes[header.0 + 28..][..4].copy_from_slice(&(u32::from(level) + 1).to_be_bytes());
            Base::stamp(&mut bytes, header);
            let (head, most) = if fifth { (56, (unit - 56) / 12) } else { (16, (unit - 16) / 12) };
            bytes[free.0 + 4..][..4]
                .copy_from_slice(&[level.to_be_bytes(), (most as u16).to_be_bytes()].concat());
            for slot in 0..most {
                bytes[free.0 + head + most * 8 + slot * 4..][..4].copy_from_slice(&block.to_be_bytes());
            }
            Base::stamp(&mut bytes, free);
            survives(&format!("{name}, free space of level {level}"), &bytes);
            let mut fs = Xfs::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap();
            let used = fs.used(0, 9).unwrap();
            assert_eq!(
                used.iter().map(|range| range.length).sum::<u64>(),
                SIZE,
                "in doubt, all of it is used"
            );
        }
        // A file whose extents are in a tree that consists of a directory's block, or of itself.
        let file =
            base.find(b"IN", |inode| inode[2] & 0xf0 == 0x80 && inode[56..64] == 20_000u64.to_be_bytes());
        let core = if fifth { 176 } else { 100 };
        for level in 1..12u16 {
            let mut bytes = base.bytes.clone();
            bytes[file.0 + 5] = 3;
            let fork = &mut bytes[file.0 + core..file.0 + file.1];
            let most = (fork.len() - 4) / 16;
            fork[..4].copy_from_slice(&[level.to_be_bytes(), 2u16.to_be_bytes()].concat());
            for slot in 0..2 {
                fork[4 + most * 8 + slot * 8..][..8].copy_from_slice(&u64::from(block).to_be_bytes());
            }
            Base::stamp(&mut bytes, file);
            let magic: &[u8] = if fifth { b"BMA3" } else { b"BMAP" };
            let node = &mut bytes[free.0..free.0 + unit];
            node[..4].copy_from_slice(magic);
            node[4..6].copy_from_slice(&(level - 1).to_be_bytes());
            survives(&format!("{name}, extents of level {level}"), &bytes);
            let mut fs = Xfs::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap();
            assert_eq!(fs.read("/few/20000", 0, 10).unwrap_err().kind, ErrorKind::Corrupt, "{name}");
        }
    }
}
