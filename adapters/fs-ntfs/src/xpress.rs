//! XPRESS with Huffman codes: WOF's XPRESS4K, 8K and 16K. Source: [MS-XCA] 2.2.

use crate::prefix::{Bits, Code, copy};
use wherry_sdk::{Error, Result};

/// Bytes in front of the bits: 4 bits for the length of each of 512 codes.
const LENGTHS: usize = 256;
/// The largest chunk that is unpacked: [MS-XCA] starts new codes every 64 KiB, and WOF's chunks are smaller.
pub const SIZE_MOST: usize = 64 << 10;

/// Unpacks chunks; the code's table is kept.
pub struct Xpress(Code);

impl Default for Xpress {
    fn default() -> Self {
        Self(Code::new())
    }
}

impl Xpress {
    /// The `size` bytes (at most [`SIZE_MOST`]) that a chunk holds; `corrupt` where it does not.
    pub fn unpack(&mut self, packed: &[u8], size: usize) -> Result<Vec<u8>> {
        let message = "a chunk that XPRESS packed is damaged: restore the file";
        let unpacked = if size <= SIZE_MOST { self.chunk(packed, size) } else { None };
        unpacked.ok_or_else(|| Error::corrupt(0, message))
    }

    fn chunk(&mut self, packed: &[u8], size: usize) -> Option<Vec<u8>> {
        let (lengths, rest) = packed.split_at_checked(LENGTHS)?;
        let mut each = [0; LENGTHS * 2];
        for (pair, byte) in each.chunks_exact_mut(2).zip(lengths) {
            pair.copy_from_slice(&[byte & 15, byte >> 4]);
        }
        if !self.0.assign(&each) {
            return None;
        }
        let (mut bits, mut out, mut at) = (Bits::new(rest), vec![0; size], 0);
        while at < size {
            bits.need();
            let symbol = bits.symbol(&self.0)?;
            if symbol < 256 {
                *out.get_mut(at)? = symbol as u8;
                at += 1;
                continue;
            }
            // Whole bytes of the length lie behind the words from which the offset's bits come.
            bits.need();
            let width = (symbol - 256) as u32 / 16;
            let length = length(&mut bits, symbol % 16)?;
            let offset = 1usize << width | bits.take(width) as usize;
            copy(&mut out, at, offset, length)?;
            at += length;
        }
        (!bits.overrun()).then_some(out)
    }
}

/// The length of a match; long ones have further bytes.
#[inline]
fn length(bits: &mut Bits<'_>, low: usize) -> Option<usize> {
    if low < 15 {
        return Some(low + 3);
    }
    let more = usize::from(*bits.bytes(1)?.first()?);
    if more < 255 {
        return Some(more + 18);
    }
    let word = u16::from_le_bytes(*bits.bytes(2)?.first_chunk()?);
    let whole = match word {
        0 => u32::from_le_bytes(*bits.bytes(4)?.first_chunk()?),
        word => u32::from(word),
    };
    // Smaller numbers would have had shorter forms.
    (15..1 << 20).contains(&whole).then_some(whole as usize + 3)
}
