//! What a format decides: where units go, and what surrounds them.

use crate::Result;

/// How a unit is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Codec {
    None,
    Deflate,
    Zlib,
    Zstd,
}

/// What a format wants of its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a unit.
    pub unit: u32,
    /// How units are compressed.
    pub codec: Codec,
    /// How hard.
    pub level: u8,
    /// Stored lengths are padded to this.
    pub align: u32,
    /// Units that would not shrink are stored plain.
    pub plain_if_larger: bool,
}

/// A unit to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Logical offset divided by the unit's size.
    pub index: u64,
    /// Bytes to store.
    pub stored: u32,
    /// Whether the codec was applied.
    pub compressed: bool,
}

/// A page of what is left to write.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Offset and bytes, applied in order.
    pub patches: Vec<(u64, Vec<u8>)>,
    /// Bytes of the complete file.
    pub length: u64,
    /// Whether there are more pages.
    pub more: bool,
}

/// A format writer. The same calls in the same order must give the same offsets: a killed run is replayed.
pub trait Layout: Send {
    /// What the format wants.
    fn shape(&self) -> Shape;
    /// Offsets for units, in the order given; units never placed read as zeroes.
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>>;
    /// Page 0, 1, ... while there are more.
    fn finish(&mut self, page: u32) -> Result<Ending>;
}

/// The disk as it is: every unit at its own offset.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    /// Bytes of the disk.
    pub length: u64,
}

const RAW_UNIT: u32 = 64 << 10;

impl Layout for Raw {
    fn shape(&self) -> Shape {
        Shape { unit: RAW_UNIT, codec: Codec::None, level: 0, align: 1, plain_if_larger: true }
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        Ok(units.iter().map(|unit| unit.index * u64::from(RAW_UNIT)).collect())
    }
    fn finish(&mut self, _: u32) -> Result<Ending> {
        Ok(Ending { length: self.length, ..Ending::default() })
    }
}
