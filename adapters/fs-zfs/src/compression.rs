//! How blocks are packed (OpenZFS' module/zfs/zio_compress.c): lzjb, gzip, zle, lz4, zstd.

use crate::bytes::{big, byte_at, part};
use flate2::{Decompress, FlushDecompress};
use std::io::Read;
use wherry_sdk::{Error, ErrorKind, Result};

const OFF: u8 = 2;
/// Blocks up to this length are read: 16 MiB is the format's own limit (SPA_MAXBLOCKSIZE).
pub const LENGTH_MOST: usize = 16 << 20;
/// Runs that zle copies: longer ones are of zeros.
const ZLE: usize = 64;
/// What a frame of zstd begins with, which ZFS leaves out (ZSTD_f_zstd1_magicless).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a block cannot be unpacked: {what}"))
}

/// Unpacks a block of `length` bytes.
pub fn unpack(kind: u8, packed: Vec<u8>, length: usize) -> Result<Vec<u8>> {
    if length > LENGTH_MOST {
        return Err(bad(format!("it has {length} bytes")));
    }
    let mut bytes = match kind {
        OFF => packed,
        1 | 3 => lzjb(&packed, length)?,
        4 => Vec::new(),
        5..=13 => gzip(&packed, length)?,
        14 => zle(&packed, length),
        15 => lz4(&packed, length)?,
        16 => zstd(&packed, length)?,
        other => return Err(Error::unsupported(format!("compression {other} of ZFS is not known"))),
    };
    if bytes.len() > length {
        bytes.truncate(length);
    } else if bytes.len() < length {
        if kind != 4 && kind != OFF {
            return Err(bad(format!("it has {} bytes instead of {length}", bytes.len())));
        }
        bytes.resize(length, 0);
    }
    Ok(bytes)
}

/// Bytes with a bit each that tells copies from literals: six bits of length, ten of distance (module/zfs/lzjb.c).
fn lzjb(packed: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    let (mut at, mut map, mut bit) = (0, 0, 8);
    while bytes.len() < length && at < packed.len() {
        if bit == 8 {
            (map, bit) = (byte_at(packed, at), 0);
            at += 1;
        }
        if map >> bit & 1 == 0 {
            bytes.push(byte_at(packed, at));
            at += 1;
        } else {
            let pair = big(packed, at, 2) as usize;
            let (count, distance) = ((pair >> 10) + 3, pair & 0x3ff);
            at += 2;
            let from = bytes.len().checked_sub(distance).filter(|_| distance != 0);
            let from = from.ok_or_else(|| bad("a copy from before its start"))?;
            for index in 0..count.min(length - bytes.len()) {
                bytes.push(byte_at(&bytes, from + index));
            }
        }
        bit += 1;
    }
    Ok(bytes)
}

fn gzip(packed: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    Decompress::new(true).decompress_vec(packed, &mut bytes, FlushDecompress::Finish).map_err(bad)?;
    Ok(bytes)
}

/// Runs of bytes, and of zeros (module/zfs/zle.c).
fn zle(packed: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut at = 0;
    while at < packed.len() && bytes.len() < length {
        let run = usize::from(byte_at(packed, at)) + 1;
        at += 1;
        if run <= ZLE {
            bytes.extend_from_slice(part(packed, at, run));
            at += run;
        } else {
            bytes.resize(bytes.len() + run - ZLE, 0);
        }
    }
    bytes
}

/// A block of LZ4 after its length, which is big-endian (module/zfs/lz4_zfs.c).
fn lz4(packed: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let block = part(packed, 4, big(packed, 0, 4) as usize);
    let count = lz4_flex::block::decompress_into(block, &mut bytes).map_err(bad)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// A frame without its magic number, after its length and what made it (zfs_zstdhdr_t).
fn zstd(packed: &[u8], length: usize) -> Result<Vec<u8>> {
    let frame = part(packed, 8, big(packed, 0, 4) as usize);
    let mut source = ZSTD_MAGIC.as_slice().chain(frame);
    let decoder =
        ruzstd::decoding::StreamingDecoder::new_with_max_window_size(&mut source, LENGTH_MOST as u64);
    let decoder = decoder.map_err(bad)?;
    let mut bytes = Vec::with_capacity(length);
    decoder.take(length as u64).read_to_end(&mut bytes).map_err(bad)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones() {
        assert_eq!(zle(&[1, 7, 8, 66, 0, 9], 6), [7, 8, 0, 0, 0, 9]);
        assert_eq!(zle(&[255, 255], 192), [0; 192]);
        // One literal, then three bytes from one before.
        assert_eq!(lzjb(&[2, 7, 0, 1], 4), Ok(vec![7; 4]));
        assert!(lzjb(&[1, 0, 1], 4).is_err());
        assert!(unpack(3, vec![], 512).is_err() && unpack(99, vec![], 512).is_err());
        assert_eq!(unpack(4, vec![], 3), Ok(vec![0; 3]));
    }

    /// One byte, stored, in a frame that may look back so far: 1 KiB, 128 MiB, which no block has.
    #[test]
    fn no_frame_takes_memory_at_will() {
        let frame = |window: u8| vec![0, 0, 0, 6, 0, 0, 0, 0, 0, window, 9, 0, 0, 7];
        assert_eq!(unpack(16, frame(0), 1), Ok(vec![7]));
        assert!(unpack(16, frame(17 << 3), 1).is_err());
    }
}
