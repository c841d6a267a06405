//! Layouts, disks and checks that the tests share.

mod copies;
mod crash;
mod held;
mod kill;
mod parts;
mod refusals;
mod since;

use crate::*;
use std::path::Path;

/// Xorshift: repeatable by seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// Below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// Data that shrinks, data that does not, zeroes in between, and an odd end.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = vec![0; length];
    for block in bytes.chunks_mut(32 << 10) {
        match random.below(10) {
            0..4 => block.fill_with(|| random.below(256) as u8),
            4..7 => block.fill_with(|| random.below(4) as u8),
            _ => {}
        }
    }
    // A long run of zeroes, over whole chunks.
    if length > 6 << 20 {
        bytes[(2 << 20) + 5000..(5 << 20) + 70_000].fill(0);
    }
    bytes
}

/// Appends units and ends with a table of them and a header, as image formats do.
struct Append {
    shape: Shape,
    end: u64,
    table: Vec<(u64, Unit)>,
}

const HEAD: u64 = 4096;

impl Append {
    fn boxed(unit: u32, codec: Codec, align: u32) -> Box<dyn Layout> {
        // As in VMDK: the unit's number and length go in front of it.
        let lead = if codec == Codec::Zlib { 12 } else { 0 };
        let shape = Shape { unit, codec, level: 1, align, plain_if_larger: true, lead };
        Box::new(Self { shape, end: HEAD, table: Vec::new() })
    }
}

impl Layout for Append {
    fn shape(&self) -> Shape {
        self.shape
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let place = |unit: &Unit| {
            let at = self.end + u64::from(self.shape.lead);
            self.end += self.shape.padded(unit.stored);
            self.table.push((at, *unit));
            at
        };
        Ok(units.iter().map(place).collect())
    }
    fn heads(&mut self, units: &[Unit]) -> Result<Vec<u8>> {
        Ok(units.iter().flat_map(head).collect())
    }
    fn finish(&mut self, page: u32) -> Result<Ending> {
        let table = self.table.iter().flat_map(|(at, unit)| {
            let flag = u64::from(unit.compressed);
            [*at, unit.index, unit.stored.into(), flag].into_iter().flat_map(u64::to_le_bytes)
        });
        let table: Vec<u8> = table.collect();
        let length = self.end + table.len() as u64;
        if page == 0 {
            return Ok(Ending { patches: vec![(self.end, table)], length, more: true });
        }
        let head = [self.end, self.table.len() as u64].into_iter().flat_map(u64::to_le_bytes).collect();
        Ok(Ending { patches: vec![(0, head)], length, more: false })
    }
}

/// What an `Append` file has in front of a unit.
fn head(unit: &Unit) -> Vec<u8> {
    [&unit.index.to_le_bytes()[..], &unit.stored.to_le_bytes()].concat()
}

/// What an `Append` file of a disk of `length` bytes holds.
fn unpack(file: &[u8], shape: Shape, length: usize) -> Vec<u8> {
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let (table, count) = (word(0) as usize, word(8) as usize);
    let unit = shape.unit as usize;
    let mut bytes = vec![0; length.next_multiple_of(unit)];
    for entry in (table..table + count * 32).step_by(32) {
        let (at, index, stored) = (word(entry) as usize, word(entry + 8) as usize, word(entry + 16) as usize);
        let into = &mut bytes[index * unit..(index + 1) * unit];
        let unit_there = Unit { index: index as u64, stored: stored as u32, compressed: false };
        let lead = &head(&unit_there)[..shape.lead as usize];
        assert_eq!(&file[at - lead.len()..at], lead);
        let codec = if word(entry + 24) == 1 { shape.codec } else { Codec::None };
        assert_eq!(codec.decode(&file[at..at + stored], into).unwrap(), unit);
    }
    assert_eq!(file.len(), table + count * 32);
    bytes.truncate(length);
    bytes
}

fn options(threads: usize) -> Options {
    // Both ways to write.
    let ring = threads.is_multiple_of(2);
    Options { threads, verify: true, identity: "a".into(), ring, ..Options::default() }
}

fn root(bytes: &[u8]) -> [u8; 32] {
    let mut root = blake3::Hasher::new();
    bytes.chunks(1 << 20).for_each(|mib| {
        root.update(blake3::hash(mib).as_bytes());
    });
    *root.finalize().as_bytes()
}

/// What is in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}
