//! Unpacks stored units.

use crate::{Error, Result};
use flate2::{Decompress, FlushDecompress, Status};

/// How a unit is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    None,
    /// A raw deflate stream (RFC 1951).
    Deflate,
    /// A zlib stream (RFC 1950).
    Zlib,
    /// One Zstandard frame (RFC 8878).
    Zstd,
}

impl Codec {
    /// Unpacks one unit and says how many bytes it has. What follows the stream in `stored` is slack of the format
    /// and ignored; a stream that is cut off, or holds more than `into`, is an error.
    pub fn decode(self, stored: &[u8], into: &mut [u8]) -> Result<usize> {
        match self {
            Self::None => {
                let take = stored.len().min(into.len());
                into[..take].copy_from_slice(&stored[..take]);
                Ok(take)
            }
            Self::Deflate => inflate(Decompress::new(false), stored, into),
            Self::Zlib => inflate(Decompress::new(true), stored, into),
            Self::Zstd => unzstd(stored, into),
        }
    }
}

fn inflate(mut stream: Decompress, stored: &[u8], into: &mut [u8]) -> Result<usize> {
    let bad = |what: &str| Error::new(format!("a compressed unit is damaged: {what}"));
    let status = stream.decompress(stored, into, FlushDecompress::Finish).map_err(|e| bad(&e.to_string()))?;
    let written = stream.total_out() as usize;
    if status == Status::StreamEnd {
        return Ok(written);
    }
    if written < into.len() {
        return Err(bad("its stream is cut off"));
    }
    // All bytes are there; what may be left is the end mark and the sum.
    let rest = &stored[(stream.total_in() as usize).min(stored.len())..];
    let mut spare = [0; 1];
    let end =
        stream.decompress(rest, &mut spare, FlushDecompress::Finish).map_err(|e| bad(&e.to_string()))?;
    match end {
        Status::StreamEnd if stream.total_out() as usize == written => Ok(written),
        Status::StreamEnd | Status::Ok => Err(bad("it holds more than a unit")),
        Status::BufError if stream.total_out() as usize > written => Err(bad("it holds more than a unit")),
        Status::BufError => Err(bad("its stream is cut off")),
    }
}

fn unzstd(stored: &[u8], into: &mut [u8]) -> Result<usize> {
    use zstd::zstd_safe::{find_frame_compressed_size, get_error_name};
    let bad = |what: &str| Error::new(format!("a compressed unit is damaged: {what}"));
    let length = find_frame_compressed_size(stored).map_err(|code| bad(get_error_name(code)))?;
    let mut context = zstd::bulk::Decompressor::new().map_err(|e| bad(&e.to_string()))?;
    context.decompress_to_buffer(&stored[..length], into).map_err(|e| bad(&e.to_string()))
}
