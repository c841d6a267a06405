//! What a disk should hold: sparse, by blocks of 32 KiB.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use wherry_sdk::testing::Random;

pub const BLOCK: u64 = 32 << 10;

/// Blocks that are not zero.
pub struct Disk {
    pub size: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

/// Where a disk has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Zero,
    Dense,
    /// 64 KiB of data, 64 KiB of zeroes.
    Alternating,
    /// A few blocks, by seed.
    Scattered,
    /// Only the last sector.
    Last,
}

pub const PATTERNS: [Pattern; 5] =
    [Pattern::Zero, Pattern::Dense, Pattern::Alternating, Pattern::Scattered, Pattern::Last];

impl Disk {
    /// Dense and alternating data end after 2 MiB.
    pub fn new(size: u64, pattern: Pattern, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = size.div_ceil(BLOCK);
        let numbers: Vec<u64> = match pattern {
            Pattern::Zero => Vec::new(),
            Pattern::Dense => (0..count.min(64)).collect(),
            Pattern::Alternating => (0..count.min(64)).filter(|number| number % 4 < 2).collect(),
            Pattern::Scattered if count == 0 => Vec::new(),
            Pattern::Scattered => (0..24).map(|_| random.below(count)).collect(),
            Pattern::Last => count.checked_sub(1).into_iter().collect(),
        };
        let mut disk = Self { size, blocks: BTreeMap::new() };
        for number in numbers {
            let length = BLOCK.min(size - number * BLOCK) as usize;
            let mut block = bytes(&mut random, length);
            if pattern == Pattern::Last {
                block[..length.saturating_sub(512)].fill(0);
            }
            disk.blocks.insert(number, block);
        }
        disk
    }

    /// `length` bytes from `offset`; zero beyond the end.
    pub fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        for (number, block) in self.blocks.range(offset / BLOCK..(offset + length).div_ceil(BLOCK)) {
            let start = number * BLOCK;
            let (from, to) = (start.max(offset), (start + block.len() as u64).min(offset + length));
            if from < to {
                bytes[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&block[(from - start) as usize..(to - start) as usize]);
            }
        }
        bytes
    }

    /// Offset and bytes of everything that is not zero.
    pub fn blocks(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.blocks.iter().map(|(number, block)| (number * BLOCK, block.as_slice()))
    }

    /// Whether a range has no block.
    pub fn is_hole(&self, offset: u64, length: u64) -> bool {
        self.blocks.range(offset / BLOCK..(offset + length).div_ceil(BLOCK)).next().is_none()
    }

    pub fn write_raw(&self, path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(self.size).unwrap();
        for (offset, block) in self.blocks() {
            file.write_all_at(block, offset).unwrap();
        }
    }
}

/// Text-like bytes, every third block random ones, none of them all zero.
fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    let letters = if random.below(3) == 0 { 255 } else { 4 };
    (0..length).map(|_| 1 + random.below(letters) as u8).collect()
}
