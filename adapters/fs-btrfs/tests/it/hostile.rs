//! Damaged volumes: no panic, no endless walk, no boundless memory.

use crate::exercise::exercise;
use crate::images::{find, make_sized};
use fs_btrfs::Driver;
use std::panic::AssertUnwindSafe;
use std::process::Command;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::testing::{MemoryBlob, Mount, Random, damage, run};
use wherry_sdk::{ErrorKind, FileSystem};

const SIZE: u64 = 24 << 20;
const SUPER: usize = 64 << 10;
/// Bytes of a tree's block where data and metadata are mixed.
const NODE: usize = 4096;

/// A little of everything.
const FEW: &str = r#"
mkdir many etc empty
for i in $(seq 40); do echo $i > "many/$i-a_rather_long_name_so_that_one_leaf_is_not_enough"; done
head -c 20000 "$NOISE" > etc/large; yes text | head -c 30000 > etc/text || true
ln -s etc/large link; ln etc/large many/second
setfattr -n user.note -v hello etc
btrfs -q subvolume create sub; echo inner > sub/file; btrfs -q subvolume snapshot sub snapshot
truncate -s 1M etc/hole
"#;

/// Changes that are synced one by one.
const LOGGED: &str = r#"
for i in 1 2 3; do
	echo new > etc/new$i; sync etc/new$i; mv etc/text etc/renamed; sync etc; mv etc/renamed etc/text; ln etc/large many/$i-again
	sync etc/large; setfattr -n user.note -v $i etc; rm -f many/$i-*; mkdir -p many/sub$i; sync many many/sub$i etc
	head -c 30000 /dev/zero | tr '\0' $i > etc/large; truncate -s 9000 etc/hole; sync etc/hole etc/large
done
"#;

/// A volume, and where its trees' blocks are.
struct Base {
    bytes: Vec<u8>,
    targets: Vec<usize>,
}

impl Base {
    fn new(packed: &str) -> Option<Self> {
        let image = make_sized(find("mixed"), SIZE, &format!("mount -o remount,{packed} .\n{FEW}"))?;
        Some(Self::of(std::fs::read(&image.path).unwrap()))
    }

    /// One that Linux was working on; targets are blocks of its log.
    fn with_log() -> Option<Self> {
        let image = make_sized(find("mixed"), SIZE, FEW)?;
        let mounted = Mount::by_kernel("btrfs", &image.path, "rw,commit=300")?;
        run(Command::new("bash").args(["-ec", LOGGED]).current_dir(&mounted.path));
        let mut base = Self::of(std::fs::read(&image.path).unwrap());
        drop(mounted);
        let number = |at: usize| u64::from_le_bytes(base.bytes[at..at + 8].try_into().unwrap());
        assert_ne!(number(SUPER + 96), 0, "there is no log");
        // its generation is beyond the superblock's
        let newest = number(SUPER + 72);
        base.targets = base.targets.iter().copied().filter(|at| number(at + 80) > newest).collect();
        Some(base)
    }

    fn of(bytes: Vec<u8>) -> Self {
        let uuid = bytes[SUPER + 32..SUPER + 48].to_vec();
        let is_block = |at: &usize| {
            let block = &bytes[*at..at + NODE];
            block[32..48] == uuid && block[..4] == (!crc32c(!0, &block[32..])).to_le_bytes()
        };
        let targets = (SUPER + NODE..bytes.len()).step_by(NODE).filter(is_block).collect();
        Self { bytes, targets }
    }
}

/// Renews the checksum of a block, so that what is behind it is reached.
fn stamp(bytes: &mut [u8], at: usize) {
    let sum = !crc32c(!0, &bytes[at + 32..at + NODE]);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Runs `exercise` and says which case it was if that panics.
fn survives(name: &str, bytes: &[u8]) {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| exercise(bytes)));
    assert!(result.is_ok(), "{name} makes it panic");
}

fn damaged(packed: &str, cases: u64) {
    let Some(base) = Base::new(packed) else { return };
    assert!(base.targets.len() > 30, "{}", base.targets.len());
    damaged_blocks(packed, cases, &base);
}

fn damaged_blocks(packed: &str, cases: u64, base: &Base) {
    let mut bytes = base.bytes.clone();
    exercise(&bytes);
    for seed in 0..cases {
        let mut random = Random::new(seed);
        let mut hit = Vec::new();
        for _ in 0..=random.below(3) {
            let at = base.targets[random.below(base.targets.len() as u64) as usize];
            // What says where a block belongs stays in most cases, or nothing behind it is reached.
            let from = if random.below(8) == 0 { at + 32 } else { at + 96 };
            damage(&mut bytes, from, at + NODE, random.next_u64());
            stamp(&mut bytes, at);
            hit.push(at);
        }
        survives(&format!("{packed}, seed {seed}"), &bytes);
        for at in hit {
            bytes[at..at + NODE].copy_from_slice(&base.bytes[at..at + NODE]);
        }
    }
}

#[test]
fn damaged_trees() {
    damaged("compress=no", 300);
}

#[test]
fn damaged_packed_content() {
    damaged("compress-force=lzo", 150);
    damaged("compress-force=zstd", 100);
}

#[test]
fn damaged_logs() {
    let Some(base) = Base::with_log() else { return };
    assert!(base.targets.len() > 3, "{}", base.targets.len());
    damaged_blocks("a log", 500, &base);
}

/// A number of the superblock with a value that makes arithmetic go wrong.
#[test]
fn superblocks_near_the_limits() {
    let Some(base) = Base::new("compress=no") else { return };
    let mut bytes = base.bytes.clone();
    // The first copy alone counts where it is the newest.
    for at in (48..300).step_by(4) {
        for value in [0u32, 1, 0x7fff_ffff, u32::MAX] {
            bytes[SUPER + at..SUPER + at + 4].copy_from_slice(&value.to_le_bytes());
            stamp(&mut bytes, SUPER);
            survives(&format!("{value:#x} at {at}"), &bytes);
            bytes[SUPER..SUPER + NODE].copy_from_slice(&base.bytes[SUPER..SUPER + NODE]);
        }
    }
}

#[test]
fn truncated() {
    let Some(base) = Base::new("compress=no") else { return };
    for length in [0, 1, SUPER, SUPER + 100, SUPER + NODE, 1 << 20, 5 << 20, (SIZE - 1) as usize] {
        survives(&format!("{length} bytes"), &base.bytes[..length]);
        let error = Driver::mount(Box::new(MemoryBlob::read_only(&base.bytes[..length])), false).map(|_| ());
        assert_eq!(error.unwrap_err().kind, ErrorKind::Corrupt, "{length}");
    }
}

/// Trees whose blocks contain themselves, at every level, end with an error.
#[test]
fn trees_that_contain_themselves() {
    let Some(base) = Base::new("compress=no") else { return };
    let number = |at: usize| u64::from_le_bytes(base.bytes[at..at + 8].try_into().unwrap());
    let root = number(SUPER + 80);
    let at = *base.targets.iter().find(|at| number(**at + 48) == root).unwrap();
    for level in 0..=9u8 {
        let mut bytes = base.bytes.clone();
        bytes[SUPER + 198] = level;
        stamp(&mut bytes, SUPER);
        let block = &mut bytes[at..at + NODE];
        block[100] = level;
        block[96..100].copy_from_slice(&2u32.to_le_bytes());
        let generation = number(SUPER + 72);
        for slot in 0..2usize {
            let entry = &mut block[101 + slot * 33..][..33];
            entry.fill(0);
            entry[0] = slot as u8;
            entry[17..25].copy_from_slice(&root.to_le_bytes());
            entry[25..33].copy_from_slice(&generation.to_le_bytes());
        }
        stamp(&mut bytes, at);
        survives(&format!("level {level}"), &bytes);
        let error = Driver::mount(Box::new(MemoryBlob::read_only(bytes)), false).map(|_| ());
        assert_eq!(error.unwrap_err().kind, ErrorKind::Corrupt, "level {level}");
    }
}
