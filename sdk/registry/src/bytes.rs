//! Little-endian numbers ("hereinafter, all numbers are in the little-endian form").

/// The number of `length` bytes (8 at most) at `at`; bytes that are missing count as zero.
pub(crate) fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..).unwrap_or_default();
    bytes[..length.min(bytes.len())].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The same, of 4 bytes.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    number(bytes, at, 4) as u32
}

/// The same, of 2 bytes.
pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    number(bytes, at, 2) as u16
}
