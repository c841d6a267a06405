//! LZX as WOF and WIM use it: chunks of 32 KiB that stand alone, a window of 32 KiB, calls of x86 code translated with a
//! fixed file size. Sources: [MS-PATCH] 2 (LZX DELTA), and wimlib's documentation for the differences of WIM.

use crate::bytes::{put, u32_at};
use crate::prefix::{Bits, Code, copy};
use wherry_sdk::{Error, Result};

/// Bytes of a whole chunk, and of the window.
pub const SIZE_MOST: usize = 32 << 10;
/// Ways to tell an offset: three of the last ones, and 27 ranges for a window of 32 KiB.
const SLOTS: usize = 30;
/// Bytes, and matches by slot and 8 lengths.
const MAIN: usize = 256 + SLOTS * 8;
/// Lengths that the main symbol has no room for.
const LENGTHS: usize = 249;
/// Symbols of the code in which lengths of codes are written.
const PRE: usize = 20;
/// The least length of a match.
const LENGTH_LEAST: usize = 2;
/// Targets of calls are translated as if the file had so many bytes.
const FILE_SIZE: i32 = 12_000_000;
/// No call is translated so near to the end.
const TAIL: usize = 10;
/// The first byte of a call of x86 code.
const CALL: u8 = 0xe8;

const VERBATIM: u32 = 1;
const ALIGNED: u32 = 2;
const STORED: u32 = 3;

/// First offset and further bits of each slot, as [MS-PATCH] 2.3.4 has them.
const OFFSETS: [(u32, u32); SLOTS] = {
    let mut offsets = [(0, 0); SLOTS];
    let (mut slot, mut start) = (0, 0);
    while slot < SLOTS {
        let bits = if slot < 4 { 0 } else { slot as u32 / 2 - 1 };
        offsets[slot] = (start, bits);
        start += 1 << bits;
        slot += 1;
    }
    offsets
};

/// Unpacks chunks; tables are kept.
pub struct Lzx {
    main: Code,
    long: Code,
    low: Code,
    pre: Code,
    /// Lengths of the codes, told as differences to those of the block before.
    lengths: Box<[u8; MAIN + LENGTHS]>,
}

impl Default for Lzx {
    fn default() -> Self {
        let lengths = Box::new([0; MAIN + LENGTHS]);
        Self { main: Code::new(), long: Code::new(), low: Code::new(), pre: Code::new(), lengths }
    }
}

impl Lzx {
    /// The `size` bytes (at most [`SIZE_MOST`]) that a chunk holds; `corrupt` where it does not.
    pub fn unpack(&mut self, packed: &[u8], size: usize) -> Result<Vec<u8>> {
        let message = "a chunk that LZX packed is damaged: restore the file";
        let unpacked = if size <= SIZE_MOST { self.chunk(packed, size) } else { None };
        let mut out = unpacked.ok_or_else(|| Error::corrupt(0, message))?;
        untranslate(&mut out);
        Ok(out)
    }

    fn chunk(&mut self, packed: &[u8], size: usize) -> Option<Vec<u8>> {
        let (mut bits, mut out, mut at) = (Bits::new(packed), vec![0; size], 0);
        let mut recent = [1; 3];
        self.lengths.fill(0);
        while at < size {
            let kind = bits.read(3);
            let length = if bits.read(1) == 1 { SIZE_MOST } else { bits.read(16) as usize };
            let end = at.checked_add(length).filter(|end| length > 0 && *end <= size)?;
            match kind {
                VERBATIM | ALIGNED => {
                    self.codes(&mut bits, kind)?;
                    self.block(&mut bits, out.get_mut(..end)?, at, &mut recent, kind == ALIGNED)?;
                }
                STORED => stored(&mut bits, out.get_mut(at..end)?, &mut recent)?,
                _ => return None,
            }
            at = end;
        }
        (!bits.overrun()).then_some(out)
    }

    /// The codes in front of a block.
    fn codes(&mut self, bits: &mut Bits<'_>, kind: u32) -> Option<()> {
        if kind == ALIGNED {
            let mut lengths = [0; 8];
            lengths.fill_with(|| bits.read(3) as u8);
            self.low.assign(&lengths).then_some(())?;
        }
        self.lengths(bits, 0, 256)?;
        self.lengths(bits, 256, MAIN)?;
        self.lengths(bits, MAIN, MAIN + LENGTHS)?;
        let (main, long) = self.lengths.split_at(MAIN);
        (self.main.assign(main) && self.long.assign(long)).then_some(())
    }

    /// Lengths of codes `from..to`, in a code of their own ([MS-PATCH] 2.3.3).
    fn lengths(&mut self, bits: &mut Bits<'_>, from: usize, to: usize) -> Option<()> {
        let mut pre = [0; PRE];
        pre.fill_with(|| bits.read(4) as u8);
        self.pre.assign(&pre).then_some(())?;
        let difference = |old: u8, symbol: usize| ((usize::from(old) + 17 - symbol) % 17) as u8;
        let mut at = from;
        while at < to {
            bits.fill();
            let symbol = bits.symbol(&self.pre)?;
            let old = *self.lengths.get(at)?;
            let (count, length) = match symbol {
                0..=16 => (1, difference(old, symbol)),
                17 => (bits.take(4) + 4, 0),
                18 => (bits.take(5) + 20, 0),
                _ => {
                    let count = bits.take(1) + 4;
                    let symbol = bits.symbol(&self.pre).filter(|symbol| *symbol <= 16)?;
                    (count, difference(old, symbol))
                }
            };
            let end = at + count as usize;
            self.lengths.get_mut(at..end).filter(|_| end <= to)?.fill(length);
            at = end;
        }
        Some(())
    }

    /// Bytes and matches up to the end of `out`.
    fn block(
        &self,
        bits: &mut Bits<'_>,
        out: &mut [u8],
        mut at: usize,
        recent: &mut [u32; 3],
        aligned: bool,
    ) -> Option<()> {
        while at < out.len() {
            bits.fill();
            let symbol = bits.symbol(&self.main)?;
            if symbol < 256 {
                *out.get_mut(at)? = symbol as u8;
                at += 1;
                continue;
            }
            let (slot, mut length) = ((symbol - 256) / 8, symbol % 8 + LENGTH_LEAST);
            if symbol % 8 == 7 {
                length += bits.symbol(&self.long)?;
            }
            let offset = self.offset(bits, slot, recent, aligned)?;
            copy(out, at, offset as usize, length)?;
            at += length;
        }
        Some(())
    }

    /// The offset of a match: one of the last three, or a new one.
    #[inline]
    fn offset(&self, bits: &mut Bits<'_>, slot: usize, recent: &mut [u32; 3], aligned: bool) -> Option<u32> {
        if slot < 3 {
            recent.swap(0, slot);
            return Some(recent[0]);
        }
        let (start, width) = *OFFSETS.get(slot)?;
        let more = match width {
            3.. if aligned => bits.take(width - 3) << 3 | bits.symbol(&self.low)? as u32,
            _ => bits.take(width),
        };
        *recent = [start + more - 2, recent[0], recent[1]];
        Some(recent[0])
    }
}

/// A block of plain bytes: offsets for the matches to come, the bytes, and one more where their number is odd.
fn stored(bits: &mut Bits<'_>, out: &mut [u8], recent: &mut [u32; 3]) -> Option<()> {
    bits.align();
    let offsets = bits.bytes(12)?;
    *recent = [u32_at(offsets, 0), u32_at(offsets, 4), u32_at(offsets, 8)];
    out.copy_from_slice(bits.bytes(out.len())?);
    if out.len() % 2 == 1 {
        bits.bytes(1)?;
    }
    Some(())
}

/// Gives calls their relative targets back ([MS-PATCH] 2.3.2; each chunk starts at 0, whatever it is).
fn untranslate(bytes: &mut [u8]) {
    let end = bytes.len().saturating_sub(TAIL);
    let mut at = 0;
    while let Some(next) = bytes.get(at..end).and_then(|rest| rest.iter().position(|byte| *byte == CALL)) {
        at += next;
        let (target, place) = (u32_at(bytes, at + 1) as i32, at as i32);
        if (0..FILE_SIZE).contains(&target) {
            put(bytes, at + 1, &(target - place).to_le_bytes());
        } else if target < 0 && target >= -place {
            put(bytes, at + 1, &(target + FILE_SIZE).to_le_bytes());
        }
        at += 5;
    }
}
