//! Numbers and texts at places in bytes that came from outside: what is missing reads as zero.

pub use wherry_sdk::bytes::{field, part, u16_at, u32_at, u64_at};

/// The text of names and targets; what is not UTF-8 carries U+FFFD.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
