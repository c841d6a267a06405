//! Changed parts of the volume in memory, over a device that is not written: what a replayed log makes of it.

use crate::bytes::{part, put};
use crate::log_pages::refusal;
use std::collections::BTreeMap;
use wherry_sdk::{Blob, Range, Result};

/// Bytes of a piece.
const PIECE: u64 = 512;
/// Bytes that are kept.
const KEPT_MOST: u64 = 64 << 20;

/// The changed pieces, by their number.
#[derive(Default)]
pub struct Changes(BTreeMap<u64, Vec<u8>>);

impl Changes {
    /// Puts what is changed over `bytes`, which were read at `offset`.
    pub fn cover(&self, offset: u64, bytes: &mut [u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        for (number, piece) in self.0.range(offset / PIECE..end.div_ceil(PIECE)) {
            let place = number * PIECE;
            let skip = offset.saturating_sub(place);
            let length = (end.min(place + PIECE) - place - skip) as usize;
            put(bytes, (place + skip - offset) as usize, part(piece, skip as usize, length));
        }
    }

    /// Changes bytes at `offset`; what else is in their pieces comes from `below`.
    pub fn write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        below: &mut dyn FnMut(u64) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let end = offset + bytes.len() as u64;
        for number in offset / PIECE..end.div_ceil(PIECE) {
            let place = number * PIECE;
            let skip = offset.saturating_sub(place);
            let from = (place + skip - offset) as usize;
            let new = part(bytes, from, (PIECE - skip) as usize);
            let piece = match self.0.remove(&number) {
                Some(piece) => Some(piece),
                None if new.len() < PIECE as usize => Some(below(place)?),
                None => None,
            };
            let piece = match piece {
                Some(mut piece) => {
                    put(&mut piece, skip as usize, new);
                    piece
                }
                None => new.to_vec(),
            };
            self.0.insert(number, piece);
            if self.0.len() as u64 * PIECE > KEPT_MOST {
                return Err(refusal("the log changes more than 64 MiB"));
            }
        }
        Ok(())
    }

    /// Writes all of it to the device.
    pub fn write_to(&self, device: &dyn Blob) -> Result<()> {
        let pieces = self.0.iter().map(|(number, piece)| (number * PIECE, piece.as_slice()));
        device.write_many(&pieces.collect::<Vec<_>>())
    }
}

/// A device under changes; it is not written.
pub struct Overlaid<'a> {
    pub device: Box<dyn Blob + 'a>,
    pub changes: std::rc::Rc<Changes>,
}

impl Blob for Overlaid<'_> {
    fn size(&self) -> u64 {
        self.device.size()
    }
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mut bytes = self.device.read(offset, length)?;
        self.changes.cover(offset, &mut bytes);
        Ok(bytes)
    }
    fn read_many(&self, ranges: &[Range]) -> Result<Vec<u8>> {
        let mut bytes = self.device.read_many(ranges)?;
        let mut at = 0;
        for range in ranges {
            let end = at + range.length as usize;
            self.changes.cover(range.offset, bytes.get_mut(at..end).unwrap_or_default());
            at = end;
        }
        Ok(bytes)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let message = format!("{} bytes at {offset:#x}: a replayed log is only in memory here", bytes.len());
        Err(wherry_sdk::Error::new(wherry_sdk::ErrorKind::Denied, message))
    }
}
