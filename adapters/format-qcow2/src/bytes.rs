//! Big-endian numbers: "all numbers in qcow2 are stored in Big Endian byte order" (docs/interop/qcow2, General).

/// The number of `length` bytes at `at`; zero where the bytes are missing.
pub(crate) fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The text in `bytes`, up to its first NUL.
pub(crate) fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()
}
