//! What SquashFS packs blocks with (Linux: `fs/squashfs/*_wrapper.c`).

use crate::bytes::{part, u16_at, u32_at, u64_at};
use flate2::{Decompress, FlushDecompress, Status};
use std::io::Read;
use wherry_sdk::{Error, ErrorKind, Result};

/// KiB that a dictionary of xz may take: mksquashfs takes a block's size, which is at most 1 MiB.
const XZ_KIB: u32 = 8 << 10;
/// Bytes that a frame of zstd may look back.
const ZSTD_WINDOW: u64 = 8 << 20;

/// How everything in one file system is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Lzo,
    Xz,
    Lz4,
    Zstd,
}

impl Packing {
    /// By its number in the superblock.
    pub fn new(number: u16) -> Result<Self> {
        Ok(match number {
            1 => Self::Gzip,
            3 => Self::Lzo,
            4 => Self::Xz,
            5 => Self::Lz4,
            6 => Self::Zstd,
            2 => return Err(Error::unsupported("SquashFS packed with lzma is not read, as Linux does not")),
            other => {
                return Err(Error::unsupported(format!("SquashFS packed with method {other} is not known")));
            }
        })
    }

    /// As mksquashfs calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Lzo => "lzo",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks a block that has at most `most` bytes.
    pub fn unpack(self, packed: &[u8], most: usize) -> Result<Vec<u8>> {
        match self {
            Self::Gzip => zlib(packed, most),
            Self::Lzo => {
                let mut bytes = vec![0; most];
                let count = lzokay::decompress::decompress(packed, &mut bytes);
                bytes.truncate(count.map_err(|e| bad(format!("{e:?}")))?);
                Ok(bytes)
            }
            Self::Lz4 => {
                let mut bytes = vec![0; most];
                let count = lz4_flex::block::decompress_into(packed, &mut bytes).map_err(bad)?;
                bytes.truncate(count);
                Ok(bytes)
            }
            Self::Xz => whole(lzma_rust2::XzReader::new_mem_limit(packed, false, XZ_KIB), most),
            Self::Zstd => {
                if window(packed).is_none_or(|window| window > ZSTD_WINDOW) {
                    return Err(bad("the frame's header makes no sense"));
                }
                whole(ruzstd::decoding::StreamingDecoder::new(packed).map_err(bad)?, most)
            }
        }
    }
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("it cannot be unpacked: {what}"))
}

fn zlib(packed: &[u8], most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    let status = Decompress::new(true).decompress_vec(packed, &mut bytes, FlushDecompress::Finish);
    match status.map_err(bad)? {
        Status::StreamEnd => Ok(bytes),
        _ => Err(bad("the stream has no end")),
    }
}

/// All of a stream, which also compares the sums at its end.
fn whole(stream: impl Read, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    stream.take(most as u64 + 1).read_to_end(&mut bytes).map_err(bad)?;
    if bytes.len() > most { Err(bad(format!("it has more than {most} bytes"))) } else { Ok(bytes) }
}

/// The bytes that a frame of zstd needs to look back (RFC 8878, 3.1.1.1), so that no header takes memory at will.
fn window(packed: &[u8]) -> Option<u64> {
    let descriptor = *packed.get(4)?;
    if descriptor & 1 << 5 == 0 {
        let window = *packed.get(5)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // Only one segment: its size is told instead, behind the dictionary's number.
    let at = 5 + [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    Some(match descriptor >> 6 {
        0 => u64::from(*packed.get(at)?),
        1 => u64::from(u16_at(part(packed, at, 2), 0)) + 256,
        2 => u32_at(part(packed, at, 4), 0).into(),
        _ => u64_at(part(packed, at, 8), 0),
    })
}
