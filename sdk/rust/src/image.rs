//! What readers and writers of block-mapped disk images share: identifiers from disk, tables read by
//! windows, extents in the making, and blocks placed in the disk's order.

use crate::bytes::{field, put};
use crate::format::{Codec, Extent, Place, Unit};
use crate::{Blob, Concern, Error, ErrorKind, Result, Severity};

/// Bytes of an operator's `512`, `64k` or `2M`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 10),
        b'M' => (text.get(..text.len() - 1)?, 20),
        b'G' => (text.get(..text.len() - 1)?, 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A UUID in the order of its text (RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All zero.
    pub const NIL: Self = Self([0; 16]);

    /// From `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, in braces or not.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let groups: Vec<&str> = text.split('-').collect();
        if !groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
            return None;
        }
        let digits: Vec<u8> = groups.concat().bytes().map(digit).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |all, one| all << 4 | one)).collect();
        bytes.try_into().ok().map(Self)
    }

    /// From Microsoft's order: the first three fields are little-endian ([MS-DTYP] 2.3.4.2).
    pub fn from_guid(bytes: &[u8]) -> Self {
        let mut own = [0; 16];
        put(&mut own, 0, field(bytes, 0, 16));
        Self(swapped(own))
    }

    /// In Microsoft's order.
    pub fn guid(self) -> [u8; 16] {
        swapped(self.0)
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn swapped([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> [u8; 16] {
    let mut bytes = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut bytes, 8, &rest);
    bytes
}

impl core::fmt::Display for Uuid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

const WINDOW: u64 = 64 << 10;

/// The 64 KiB of a file that were looked at last: tables are read from front to back.
#[derive(Default)]
pub struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// A number's `length` bytes at `offset`, both powers of two and aligned; none beyond the end of the file.
    pub fn field(&mut self, image: &dyn Blob, offset: u64, length: usize) -> Result<&[u8]> {
        let start = offset / WINDOW * WINDOW;
        if start != self.start || self.bytes.is_empty() {
            let length = WINDOW.min(image.size().saturating_sub(start));
            self.bytes = if length == 0 { Vec::new() } else { image.read(start, length as u32)? };
            self.start = start;
        }
        Ok(field(&self.bytes, (offset - start) as usize, length))
    }
}

/// The answer of `extents` in the making: clipped, merged, without gaps.
pub struct Extents {
    start: u64,
    size: u64,
    file: u64,
    parent: Option<(u32, u64)>,
    list: Vec<Extent>,
}

impl Extents {
    /// From logical byte `start` of a disk of `size` bytes. `file`: bytes of the image file; stored data beyond is zero,
    /// as a file's last block may be cut. `parent`: part and bytes of the parent, if there is one.
    pub fn new(start: u64, size: u64, file: u64, parent: Option<(u32, u64)>) -> Self {
        Self { start, size, file, parent, list: Vec::new() }
    }

    /// Extents until now.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The first `most`.
    pub fn take(mut self, most: usize) -> Vec<Extent> {
        self.list.truncate(most);
        self.list
    }

    /// Zeroes.
    pub fn zero(&mut self, logical: u64, length: u64) {
        self.push(logical, length, Place::Zero);
    }

    /// The parent's bytes, and zeroes beyond its end or without one.
    pub fn inherited(&mut self, logical: u64, length: u64) {
        let (part, size) = self.parent.unwrap_or_default();
        let there = size.saturating_sub(logical).min(length);
        self.push(logical, there, Place::StoredIn((part, logical)));
        self.zero(logical + there, length - there);
    }

    /// The image's own bytes at `host`.
    pub fn stored(&mut self, logical: u64, length: u64, host: u64) {
        let there = self.file.saturating_sub(host).min(length);
        self.push(logical, there, Place::Stored(host));
        self.zero(logical + there, length - there);
    }

    /// Bytes at `offset` of one of the parts, which has them; part 0 is the image.
    pub fn stored_in(&mut self, logical: u64, length: u64, part: u32, offset: u64) {
        let at = if part == 0 { Place::Stored(offset) } else { Place::StoredIn((part, offset)) };
        self.push(logical, length, at);
    }

    /// A whole packed unit, cut at the end of the disk: the only kind of extent that may begin before the start.
    pub fn packed(&mut self, logical: u64, length: u64, at: Place) {
        let length = length.min(self.size.saturating_sub(logical));
        self.list.push(Extent { logical, length, at });
    }

    fn push(&mut self, logical: u64, length: u64, at: Place) {
        let (from, end) = (logical.max(self.start), logical.saturating_add(length).min(self.size));
        if from >= end {
            return;
        }
        let by = from - logical;
        let at = match at {
            Place::Stored(offset) => Place::Stored(offset + by),
            Place::StoredIn((part, offset)) => Place::StoredIn((part, offset + by)),
            other => other,
        };
        let extent = Extent { logical: from, length: end - from, at };
        match self.list.last_mut() {
            Some(last) if follows(last, &extent) => last.length += extent.length,
            _ => self.list.push(extent),
        }
    }
}

/// Whether `next` goes on in its part where `last` ends.
fn follows(last: &Extent, next: &Extent) -> bool {
    match (last.at, next.at) {
        (Place::Zero, Place::Zero) => true,
        (Place::Stored(one), Place::Stored(two)) => one + last.length == two,
        (Place::StoredIn((one, from)), Place::StoredIn((two, to))) => one == two && from + last.length == to,
        _ => false,
    }
}

/// The error of `extents` on an image with blocking concerns; none if there are none.
pub fn blocked(concerns: &[Concern]) -> Option<Error> {
    let blocking = concerns.iter().filter(|concern| concern.severity == Severity::Blocking);
    let messages: Vec<&str> = blocking.map(|concern| concern.message.as_str()).collect();
    (!messages.is_empty()).then(|| Error::unsupported(messages.join("; ")))
}

/// Blocks of a new image, numbered in the order in which data first came to them. Units come in the disk's order, so
/// that a bit for each block is all that is kept.
pub struct Blocks {
    /// Bytes of a unit and units of a block.
    unit: u32,
    per_block: u64,
    units: u64,
    newest: Option<u64>,
    count: u64,
    bits: Vec<u64>,
}

impl Blocks {
    /// Blocks of `block` bytes, a multiple of `unit`, for a disk of `size` bytes.
    pub fn new(size: u64, block: u64, unit: u32) -> Self {
        let bytes = u64::from(unit).max(1);
        let (per_block, units) = ((block / bytes).max(1), size.div_ceil(bytes));
        Self { unit, per_block, units, newest: None, count: 0, bits: Vec::new() }
    }

    /// Blocks that hold data.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of the unit's block, and the unit's offset in it.
    pub fn place(&mut self, unit: &Unit) -> Result<(u64, u64)> {
        let refuse =
            |what: String| Err(Error::new(ErrorKind::InvalidInput, format!("unit {}: {what}", unit.index)));
        if unit.index >= self.units {
            return refuse(format!("beyond the disk's {} units", self.units));
        }
        if unit.codec != Codec::None || unit.stored == 0 || unit.stored > self.unit {
            return refuse(format!(
                "{} bytes, {:?}: 1 to {} plain bytes are possible",
                unit.stored, unit.codec, self.unit
            ));
        }
        if let Some(newest) = self.newest.filter(|newest| *newest >= unit.index) {
            return refuse(format!("it comes after unit {newest}: units come once, in the disk's order"));
        }
        self.newest = Some(unit.index);
        let block = unit.index / self.per_block;
        let (word, bit) = ((block / 64) as usize, 1u64 << (block % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word).filter(|word| **word & bit == 0) {
            *word |= bit;
            self.count += 1;
        }
        Ok((self.count - 1, unit.index % self.per_block * u64::from(self.unit)))
    }

    /// The numbers of the blocks from `first` on; none for those without data. Endless.
    pub fn numbers(&self, first: u64) -> impl Iterator<Item = Option<u64>> + '_ {
        let word = |block: u64| self.bits.get((block / 64) as usize).copied().unwrap_or(0);
        let whole = self
            .bits
            .iter()
            .take((first / 64) as usize)
            .map(|word| u64::from(word.count_ones()))
            .sum::<u64>();
        let mut next = whole + u64::from((word(first) & ((1 << (first % 64)) - 1)).count_ones());
        (first..).map(move |block| {
            let placed = word(block) >> (block % 64) & 1 == 1;
            placed.then(|| {
                next += 1;
                next - 1
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_identifiers() {
        assert_eq!(
            ["3", "64k", "2M", "", "x", "M"].map(parse_size),
            [Some(3), Some(65536), Some(2 << 20), None, None, None]
        );
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        let uuid = Uuid::parse(text).expect("parses");
        assert_eq!(
            (uuid.to_string().as_str(), uuid.guid()[0], Uuid::from_guid(&uuid.guid())),
            (text, 0x33, uuid)
        );
        assert!(Uuid::parse("00112233-4455-6677-8899-aabbccddeefg").is_none() && Uuid::parse("").is_none());
    }

    #[test]
    fn blocks_are_numbered_in_the_order_of_the_disk() {
        let mut blocks = Blocks::new(1 << 30, 4096, 512);
        let unit = |index| Unit { index, stored: 512, codec: Codec::None };
        let places: Vec<_> = [3, 9, 10, 8 * 70].iter().map(|index| blocks.place(&unit(*index))).collect();
        assert_eq!(places, [Ok((0, 3 * 512)), Ok((1, 512)), Ok((1, 1024)), Ok((2, 0))]);
        assert_eq!(blocks.numbers(0).take(3).collect::<Vec<_>>(), [Some(0), Some(1), None]);
        assert_eq!(blocks.numbers(69).take(3).collect::<Vec<_>>(), [None, Some(2), None]);
        assert_eq!(blocks.numbers(1000).take(1).collect::<Vec<_>>(), [None]);
        for index in [8 * 70, 5, 1 << 21] {
            assert!(blocks.place(&unit(index)).is_err(), "{index}");
        }
    }
}
