//! What SquashFS packs blocks with (Linux: `fs/squashfs/*_wrapper.c`).

use flate2::{Decompress, FlushDecompress, Status};
use std::io::Read;
use wherry_sdk::{Error, ErrorKind, Result};

/// KiB that a dictionary of xz may take: mksquashfs takes a block's size, which is at most 1 MiB.
const XZ_KIB: u32 = 8 << 10;
/// Bytes that a frame of zstd may look back, so that no header takes memory at will.
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
                let decoder =
                    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(packed, ZSTD_WINDOW);
                whole(decoder.map_err(bad)?, most)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte, stored, in a frame that may look back so far: 1 KiB, 128 MiB, which no block has.
    #[test]
    fn no_frame_takes_memory_at_will() {
        let frame = |window: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, window, 9, 0, 0, 7];
        assert_eq!(Packing::Zstd.unpack(&frame(0), 1), Ok(vec![7]));
        assert!(Packing::Zstd.unpack(&frame(17 << 3), 1).is_err());
    }
}
