//! Numbers and UTF-16 text in bytes from the disk.

pub use wherry_sdk::bytes::{byte_at, part, put, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};

/// UTF-16 text from its bytes.
pub fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
}

/// The bytes of UTF-16 text.
pub fn unit_bytes(units: &[u16]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
}

/// The next multiple of 8.
pub fn align(length: usize) -> usize {
    length.saturating_add(7) & !7
}
