//! Numbers in either order of bytes: SPARC's and most others' is big-endian, x86's little-endian.

use wherry_sdk::bytes::{big, little, put};

/// The order of bytes in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// x86
    Little,
    /// SPARC
    Big,
}

impl Order {
    fn number(self, bytes: &[u8], at: usize, length: usize) -> u64 {
        match self {
            Self::Little => little(bytes, at, length),
            Self::Big => big(bytes, at, length),
        }
    }

    /// The number of 2 bytes at `at`; zero where bytes are missing.
    pub fn u16(self, bytes: &[u8], at: usize) -> u16 {
        self.number(bytes, at, 2) as u16
    }

    /// The number of 4 bytes.
    pub fn u32(self, bytes: &[u8], at: usize) -> u32 {
        self.number(bytes, at, 4) as u32
    }

    /// The number of 4 bytes, with a sign.
    pub fn i32(self, bytes: &[u8], at: usize) -> i32 {
        self.u32(bytes, at) as i32
    }

    /// The number of 8 bytes.
    pub fn u64(self, bytes: &[u8], at: usize) -> u64 {
        self.number(bytes, at, 8)
    }

    /// Writes a number of 2 bytes, where it fits.
    pub fn put16(self, bytes: &mut [u8], at: usize, value: u16) {
        match self {
            Self::Little => put(bytes, at, &value.to_le_bytes()),
            Self::Big => put(bytes, at, &value.to_be_bytes()),
        }
    }

    /// Writes a number of 4 bytes.
    pub fn put32(self, bytes: &mut [u8], at: usize, value: u32) {
        match self {
            Self::Little => put(bytes, at, &value.to_le_bytes()),
            Self::Big => put(bytes, at, &value.to_be_bytes()),
        }
    }

    /// Writes a number of 8 bytes.
    pub fn put64(self, bytes: &mut [u8], at: usize, value: u64) {
        match self {
            Self::Little => put(bytes, at, &value.to_le_bytes()),
            Self::Big => put(bytes, at, &value.to_be_bytes()),
        }
    }

    /// Adds to a number of 4 bytes.
    pub fn add32(self, bytes: &mut [u8], at: usize, more: i32) {
        self.put32(bytes, at, self.u32(bytes, at).wrapping_add_signed(more));
    }
}
