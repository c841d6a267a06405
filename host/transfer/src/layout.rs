//! What a format decides: where units go, and what surrounds them.

use crate::{Error, ErrorKind, Result};
pub use block::Codec;

/// What is hashed at once.
pub(crate) const MIB: u64 = 1 << 20;
/// Formats have units of 2 MiB at most; a worker holds one or two.
const UNIT_MOST: u32 = 2 << 20;

/// Formats put markers of some ten bytes in front of packed units.
const LEAD_MOST: u32 = 512;

/// What a format wants of its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a unit: 512 to 2 MiB, a divisor or a multiple of 1 MiB.
    pub unit: u32,
    /// How units are compressed. Deflate keeps to a window of 4 KiB, which is all that qcow2's readers need to have.
    pub codec: Codec,
    /// How hard; 0 is the codec's default.
    pub level: u8,
    /// Stored lengths are padded to this many bytes; 0 and 1 are the same.
    pub align: u32,
    /// Units that would not shrink are stored plain.
    pub plain_if_larger: bool,
    /// Bytes that [`Layout::heads`] puts directly in front of each stored unit; only with a codec.
    pub lead: u32,
}

impl Shape {
    /// Bytes that are read, placed and recorded at once: units and MiB are whole in it.
    pub(crate) fn chunk(&self) -> u64 {
        MIB.max(self.unit.into())
    }

    /// Bytes that a unit takes: its lead, what is stored, and padding.
    pub(crate) fn padded(&self, stored: u32) -> u64 {
        (u64::from(self.lead) + u64::from(stored)).next_multiple_of(self.align.max(1).into())
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::new(ErrorKind::Unsupported, what));
        let chunk = self.chunk();
        let whole = |size: u64| chunk.is_multiple_of(size);
        if !(512..=UNIT_MOST).contains(&self.unit) || !whole(self.unit.into()) || !whole(MIB) {
            let must = "they must have 512 bytes to 2 MiB and divide 1 MiB or be a multiple of it";
            return refuse(format!("units of {} bytes: {must}", self.unit));
        }
        if self.lead > LEAD_MOST || (self.lead > 0 && self.codec == Codec::None) {
            return refuse(format!(
                "{} bytes in front of units: at most {LEAD_MOST}, with a codec",
                self.lead
            ));
        }
        if u64::from(self.align) > u64::from(self.unit) || !self.unit.is_multiple_of(self.align.max(1)) {
            return refuse(format!("units of {} bytes are not aligned to {}", self.unit, self.align));
        }
        Ok(())
    }
}

/// A unit to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Logical offset divided by the unit's size.
    pub index: u64,
    /// Bytes to store, before padding.
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

/// A file beside the target's own that holds part of what is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// A plain name in the target's folder.
    pub name: String,
    /// The offset that is its first byte; it ends where the next part begins.
    pub start: u64,
}

/// A format writer. The same calls in the same order must give the same offsets: a killed run is replayed.
pub trait Layout: Send {
    /// What the format wants.
    fn shape(&self) -> Shape;
    /// Offsets for units (behind their lead), in the order of the disk; units never placed read as zeroes.
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>>;
    /// What goes in front of these units, [`Shape::lead`] bytes each; never called where that is 0.
    fn heads(&mut self, units: &[Unit]) -> Result<Vec<u8>> {
        let what = format!("{} units without what goes in front of them", units.len());
        Err(Error::new(ErrorKind::Layout, what))
    }
    /// Whether byte N of the disk is byte N of the file.
    fn is_plain(&self) -> bool {
        false
    }
    /// The files beside the target's own, by their starts; for new files only. The target's own holds what lies before the
    /// first, and appears last.
    fn parts(&self) -> &[Part] {
        &[]
    }
    /// Bytes of each of the parts, once every unit is placed.
    fn lengths(&mut self) -> Result<Vec<u64>> {
        Ok(Vec::new())
    }
    /// Page 0, 1, ... while there are more.
    fn finish(&mut self, page: u32) -> Result<Ending>;
}

/// The disk as it is: every unit at its own offset.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    /// Bytes of the disk.
    pub length: u64,
}

pub(crate) const RAW_UNIT: u32 = 64 << 10;

impl Layout for Raw {
    fn shape(&self) -> Shape {
        Shape { unit: RAW_UNIT, codec: Codec::None, level: 0, align: 1, plain_if_larger: true, lead: 0 }
    }
    fn is_plain(&self) -> bool {
        true
    }
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        Ok(units.iter().map(|unit| unit.index * u64::from(RAW_UNIT)).collect())
    }
    fn finish(&mut self, _: u32) -> Result<Ending> {
        Ok(Ending { length: self.length, ..Ending::default() })
    }
}
