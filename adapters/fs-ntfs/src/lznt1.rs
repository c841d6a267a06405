//! LZNT1: what NTFS packs compression units with. Source: [MS-XCA] 2.5.

use crate::bytes::{part, put, u16_at};
use crate::prefix::copy;
use wherry_sdk::{Error, Result};

/// Bytes that a chunk unpacks to.
const CHUNK: usize = 4096;
/// Bytes of the largest unit: 16 clusters of 4 KiB are usual; larger clusters cannot be compressed.
pub const SIZE_MOST: usize = 1 << 20;

/// The `size` bytes (at most [`SIZE_MOST`]) of a compression unit; what its chunks do not fill is zero.
pub fn unpack(packed: &[u8], size: usize) -> Result<Vec<u8>> {
    if size > SIZE_MOST {
        return Err(Error::corrupt(0, format!("a compression unit of {size} bytes: run chkdsk")));
    }
    let mut out = vec![0; size];
    let mut at = 0;
    for chunk in out.chunks_mut(CHUNK) {
        let header = usize::from(u16_at(packed, at));
        if header == 0 {
            break;
        }
        let length = (header & 0xfff) + 1;
        let bytes = part(packed, at + 2, length);
        let done = match header >> 15 {
            _ if bytes.len() < length || header >> 12 & 7 != 3 => None,
            0 => (length <= chunk.len()).then(|| put(chunk, 0, bytes)),
            _ => unpack_chunk(bytes, chunk),
        };
        done.ok_or_else(|| {
            Error::corrupt(at as u64, "a compression unit is damaged: run chkdsk, restore the file")
        })?;
        at += 2 + length;
    }
    Ok(out)
}

/// Flags tell for each of the 8 next whether it is a byte or a pair of offset and length.
fn unpack_chunk(packed: &[u8], out: &mut [u8]) -> Option<()> {
    let (mut from, mut at) = (0, 0);
    while let Some(flags) = packed.get(from) {
        from += 1;
        let all = (packed.get(from..from + 8), out.get_mut(at..at + 8));
        if let (0, (Some(bytes), Some(place))) = (*flags, all) {
            place.copy_from_slice(bytes);
            (from, at) = (from + 8, at + 8);
            continue;
        }
        for bit in 0..8 {
            let Some(byte) = packed.get(from) else { return Some(()) };
            if flags >> bit & 1 == 0 {
                *out.get_mut(at)? = *byte;
                (from, at) = (from + 1, at + 1);
                continue;
            }
            let pair = usize::from(u16::from_le_bytes(*packed.get(from..)?.first_chunk()?));
            // The further the chunk has come, the more of the 16 bits belong to the offset: 4 to 12.
            let width = at.saturating_sub(1).checked_ilog2().map_or(4, |log| (log + 1).max(4));
            let length = (pair & (0xffff >> width)) + 3;
            copy(out, at, (pair >> (16 - width)) + 1, length)?;
            (from, at) = (from + 2, at + length);
        }
    }
    Some(())
}
