//! Block pointers (blkptr_t: OpenZFS' include/sys/spa.h): where the copies of a block are, how it is packed, its checksum.

use crate::bytes::{Block, bits};

/// Bytes of a pointer.
pub const LENGTH: usize = 128;
/// Bytes that a pointer can hold itself.
const HELD: usize = 112;

/// One copy (dva_t).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// The number of the top-level vdev.
    pub vdev: u32,
    /// Bytes from where its allocatable bytes begin.
    pub offset: u64,
    /// What is there is the header of a gang.
    pub gang: bool,
}

/// A pointer to a block that is somewhere.
#[derive(Clone, Debug, Default)]
pub struct Pointer {
    pub copies: Vec<Copy>,
    /// Bytes as they are stored, and unpacked.
    pub stored: usize,
    pub length: usize,
    pub compression: u8,
    pub checksum: u8,
    pub sum: [u64; 4],
    /// 0 is data.
    pub level: u8,
    /// What kind of object it is of.
    pub kind: u8,
    pub encrypted: bool,
    /// Byte order of what it points to.
    pub big: bool,
    /// The transaction group in which the bytes were written.
    pub birth: u64,
    /// What an embedded pointer holds, still packed, and of what type it is (bp_embedded_type_t).
    pub embedded: Option<(Vec<u8>, u8)>,
}

impl Pointer {
    /// The pointer at `at`; none for a hole.
    pub fn parse(block: &Block, at: usize) -> Option<Self> {
        let word = |number: usize| block.u64(at.saturating_add(number * 8));
        let property = word(6);
        let mut pointer = Self {
            compression: bits(property, 32, 7) as u8,
            kind: bits(property, 48, 8) as u8,
            level: bits(property, 56, 5) as u8,
            big: bits(property, 63, 1) == 0,
            ..Self::default()
        };
        if bits(property, 39, 1) != 0 {
            pointer.length = bits(property, 0, 25) as usize + 1;
            pointer.stored = bits(property, 25, 7) as usize + 1;
            let words = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15];
            let mut held: Vec<u8> = words.iter().flat_map(|number| word(*number).to_le_bytes()).collect();
            held.truncate(pointer.stored.min(HELD));
            pointer.embedded = Some((held, bits(property, 40, 8) as u8));
            return Some(pointer);
        }
        if word(0) == 0 && word(1) == 0 {
            return None;
        }
        for number in [0, 2, 4] {
            let (first, second) = (word(number), word(number + 1));
            if first != 0 || second != 0 {
                pointer.copies.push(Copy {
                    vdev: bits(first, 32, 24) as u32,
                    offset: bits(second, 0, 63) << 9,
                    gang: bits(second, 63, 1) != 0,
                });
            }
        }
        pointer.length = (bits(property, 0, 16) as usize + 1) << 9;
        pointer.stored = (bits(property, 16, 16) as usize + 1) << 9;
        pointer.checksum = bits(property, 40, 8) as u8;
        pointer.encrypted = bits(property, 61, 1) != 0;
        pointer.birth = if word(9) != 0 { word(9) } else { word(10) };
        pointer.sum = [word(12), word(13), word(14), word(15)];
        Some(pointer)
    }
}
