//! Numbers in bytes from the disk: btrfs is little-endian.

pub use wherry_sdk::bytes::{
    byte_at, field, part, put, put_u16, put_u32, put_u64, text, u16_at, u32_at, u64_at,
};

/// A UUID as it is written for people.
pub fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let piece = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [piece(0, 8), piece(8, 12), piece(12, 16), piece(16, 20), piece(20, 32)].join("-")
}
