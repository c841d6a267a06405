//! Bytes of a volume, by its segments.

use wherry_sdk::volume::{Segment, ZEROES, slice};
use wherry_sdk::{Blob, Error, Result};

/// `length` bytes, a few thousand at most, from byte `offset` of a volume.
pub fn read(devices: &[Box<dyn Blob>], volume: &[Segment], offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in slice(volume, offset, length) {
        match devices.get(piece.device as usize) {
            Some(device) => bytes.extend(device.read(piece.offset, piece.length as u32)?),
            None if piece.device == ZEROES => bytes.resize(bytes.len() + piece.length as usize, 0),
            None => return Err(Error::corrupt(offset, "it lies on no device")),
        }
    }
    if bytes.len() as u64 == length {
        return Ok(bytes);
    }
    Err(Error::corrupt(offset, format!("it ends before byte {}", offset.saturating_add(length))))
}
