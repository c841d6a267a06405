//! Numbers in bytes from the disk.

pub use wherry_sdk::bytes::{be16_at, be32_at, byte_at, part, put, put_u16, put_u32, text, u16_at, u32_at};

/// A number that is stored as its low and its high 32 bits.
pub fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
