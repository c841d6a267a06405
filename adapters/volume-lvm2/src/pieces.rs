//! A volume's segments in the making.

use crate::map::{Refusal, bad};
use wherry_sdk::volume::{Segment, ZEROES, join, slice};

/// Segments so far, at most so many.
pub struct Pieces {
    segments: Vec<Segment>,
    length: u64,
    most: usize,
}

impl Pieces {
    pub fn new(most: usize) -> Self {
        Self { segments: Vec::new(), length: 0, most }
    }

    /// Refuses what would be too many pieces before they are made.
    pub fn expect(&self, pieces: u64, chunk: u64) -> Result<(), Refusal> {
        let all = pieces.checked_add(self.segments.len() as u64);
        if all.is_none_or(|all| all > self.most as u64) {
            let message = format!("its pieces of {chunk} bytes are too many, {} are left", self.most);
            return Err(Refusal("lvm.too-many-segments", message));
        }
        Ok(())
    }

    /// Adds a piece, to the last one if it goes on there.
    pub fn push(&mut self, device: u32, offset: u64, length: u64) -> Result<(), Refusal> {
        if length == 0 {
            return Ok(());
        }
        let end = self.length.checked_add(length).ok_or_else(|| bad("it is longer than 2^64 bytes"))?;
        join(&mut self.segments, Segment { logical: self.length, length, device, offset });
        self.length = end;
        if self.segments.len() > self.most {
            return self.expect(1, length);
        }
        Ok(())
    }

    /// Adds zeroes that lie nowhere.
    pub fn zeroes(&mut self, length: u64) -> Result<(), Refusal> {
        self.push(ZEROES, 0, length)
    }

    /// Adds `length` bytes from byte `offset` of another volume; all of them have to be there.
    pub fn take(&mut self, from: &[Segment], offset: u64, length: u64) -> Result<(), Refusal> {
        let before = self.length;
        for piece in slice(from, offset, length) {
            self.push(piece.device, piece.offset, piece.length)?;
        }
        if self.length - before == length {
            return Ok(());
        }
        Err(bad(format!(
            "bytes {offset} to {} lie beyond the end of a volume it is made of",
            offset.saturating_add(length)
        )))
    }

    /// Pieces.
    pub fn count(&self) -> usize {
        self.segments.len()
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn finish(self) -> Result<Vec<Segment>, Refusal> {
        if self.segments.is_empty() { Err(bad("it has no extents")) } else { Ok(self.segments) }
    }
}
