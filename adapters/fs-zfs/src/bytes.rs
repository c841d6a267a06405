//! Blocks with the byte order of the machine that wrote them: every block pointer tells it.

pub use wherry_sdk::bytes::{big, byte_at, field, little, part};

/// Bytes and their order.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub bytes: Vec<u8>,
    /// Written by a big-endian machine.
    pub big: bool,
}

impl Block {
    pub fn new(bytes: Vec<u8>, big: bool) -> Self {
        Self { bytes, big }
    }

    /// The number of `length` (at most 8) bytes; zero where they are missing.
    pub fn number(&self, at: usize, length: usize) -> u64 {
        if self.big { big(&self.bytes, at, length) } else { little(&self.bytes, at, length) }
    }

    pub fn u64(&self, at: usize) -> u64 {
        self.number(at, 8)
    }

    pub fn u32(&self, at: usize) -> u32 {
        self.number(at, 4) as u32
    }

    pub fn u16(&self, at: usize) -> u16 {
        self.number(at, 2) as u16
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Up to `length` bytes from `at` on, in the same order.
    pub fn part(&self, at: usize, length: usize) -> Block {
        Self { bytes: part(&self.bytes, at, length).to_vec(), big: self.big }
    }
}

/// `bits` bits of a number from bit `low` on.
pub fn bits(number: u64, low: u32, bits: u32) -> u64 {
    number >> low & ((1 << bits) - 1)
}
