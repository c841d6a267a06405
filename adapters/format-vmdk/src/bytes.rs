//! Little-endian numbers, and text.

/// Bytes of a sector: what offsets in VMDK count.
pub(crate) const SECTOR: u64 = 512;

/// The number of `length` bytes at `at`; zero where the bytes are missing.
pub(crate) fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// `bytes` up to the first NUL.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..length).unwrap_or_default()
}

/// A value, or what is wrong with it.
pub(crate) type Checked<T> = Result<T, &'static str>;
