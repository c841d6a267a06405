//! Compressed extents: zlib, LZO by sectors (Linux: fs/btrfs/lzo.c), zstd.

use crate::bytes::{part, u32_at};
use flate2::{Decompress, FlushDecompress};
use std::io::Read;
use wherry_sdk::{Error, Result};

/// The most that one extent holds when it is unpacked (BTRFS_MAX_UNCOMPRESSED).
pub const UNPACKED_MOST: u64 = 128 << 10;

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(wherry_sdk::ErrorKind::Corrupt, format!("a compressed extent cannot be unpacked: {what}"))
}

/// Unpacks an extent of `length` bytes; what is missing at its end reads as zeros.
pub fn unpack(kind: u8, packed: &[u8], length: u64, sector: u32) -> Result<Vec<u8>> {
    if length > UNPACKED_MOST {
        return Err(bad(format!("it has {length} bytes")));
    }
    let length = length as usize;
    let mut bytes = match kind {
        1 => zlib(packed, length)?,
        2 => lzo(packed, length, sector as usize)?,
        3 => zstd(packed, length)?,
        other => return Err(Error::unsupported(format!("compression {other} is not known"))),
    };
    bytes.resize(length, 0);
    Ok(bytes)
}

fn zlib(packed: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    let mut stream = Decompress::new(true);
    stream.decompress_vec(packed, &mut bytes, FlushDecompress::Finish).map_err(bad)?;
    Ok(bytes)
}

/// A length of everything, then pieces of at most a sector, each with its length, which no sector's end divides.
fn lzo(packed: &[u8], length: usize, sector: usize) -> Result<Vec<u8>> {
    let total = (u32_at(packed, 0) as usize).min(packed.len());
    let mut bytes = Vec::with_capacity(length);
    let mut at = 4;
    while at + 4 <= total && bytes.len() < length {
        let left = sector - at % sector;
        if left < 4 {
            at += left;
            continue;
        }
        let size = u32_at(packed, at) as usize;
        let piece = packed.get(at + 4..(at + 4).saturating_add(size)).filter(|piece| !piece.is_empty());
        let piece = piece.ok_or_else(|| bad("a piece is longer than the extent"))?;
        let mut unpacked = vec![0; sector.min(length - bytes.len())];
        let count =
            lzokay::decompress::decompress(piece, &mut unpacked).map_err(|e| bad(format!("{e:?}")))?;
        bytes.extend_from_slice(part(&unpacked, 0, count));
        at += 4 + size;
    }
    Ok(bytes)
}

/// A frame, which looks back no further than an extent is long (ZSTD_BTRFS_MAX_INPUT), so that no header takes memory at will.
fn zstd(packed: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    let mut source = packed;
    let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(&mut source, UNPACKED_MOST);
    let decoder = decoder.map_err(bad)?;
    decoder.take(length as u64).read_to_end(&mut bytes).map_err(bad)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte, stored, in a frame that may look back so far: 1 KiB, 128 MiB, which no extent has.
    #[test]
    fn no_frame_takes_memory_at_will() {
        let frame = |window: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, window, 9, 0, 0, 7];
        assert_eq!(unpack(3, &frame(0), 1, 4096), Ok(vec![7]));
        assert!(unpack(3, &frame(17 << 3), 1, 4096).is_err());
    }
}
