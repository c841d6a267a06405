//! Compresses units, one worker's at a time: contexts are made once and used again.

use crate::layout::{Codec, Shape};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::io;

/// The window that qcow2's readers need to have: qemu opens its streams with inflateInit2(-12).
const DEFLATE_WINDOW_BITS: u8 = 12;
/// zlib's default.
const DEFLATE_LEVEL: u8 = 6;

enum Context {
    Plain,
    Flate(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

/// A worker's compressor.
pub(crate) struct Packer {
    context: Context,
    plain_if_larger: bool,
}

/// More than any codec makes of incompressible bytes.
pub(crate) fn bound(unit: usize) -> usize {
    unit + unit / 8 + 1024
}

impl Packer {
    pub fn new(shape: &Shape) -> io::Result<Self> {
        let level = Compression::new(match shape.level {
            0 => DEFLATE_LEVEL.into(),
            level => u32::from(level).min(9),
        });
        let context = match shape.codec {
            Codec::None => Context::Plain,
            Codec::Deflate => {
                Context::Flate(Compress::new_with_window_bits(level, false, DEFLATE_WINDOW_BITS))
            }
            Codec::Zlib => Context::Flate(Compress::new(level, true)),
            Codec::Zstd => Context::Zstd(zstd::bulk::Compressor::new(shape.level.into())?),
        };
        Ok(Self { context, plain_if_larger: shape.plain_if_larger })
    }

    /// Packs a unit into the beginning of `into`, which has room for [`bound`] bytes: its length there, and whether
    /// the codec was applied.
    pub fn pack(&mut self, unit: &[u8], into: &mut [u8]) -> io::Result<(usize, bool)> {
        let packed = match &mut self.context {
            Context::Plain => None,
            Context::Flate(context) => {
                context.reset();
                let status = context.compress(unit, into, FlushCompress::Finish).map_err(io::Error::other)?;
                (status == Status::StreamEnd).then_some(context.total_out() as usize)
            }
            Context::Zstd(context) => Some(context.compress_to_buffer(unit, into)?),
        };
        match packed {
            Some(length) if length < unit.len() || !self.plain_if_larger => Ok((length, true)),
            None if !self.plain_if_larger => Err(io::Error::other("a unit outgrew its buffer")),
            _ => {
                into[..unit.len()].copy_from_slice(unit);
                Ok((unit.len(), false))
            }
        }
    }
}
