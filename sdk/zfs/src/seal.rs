//! Blocks that carry their own checksum at their end (zio_eck_t): a magic number and a SHA-256 over the block, in which the
//! checksum's place holds a verifier, such as where the block is.

use sha2::{Digest, Sha256};
use wherry_sdk::bytes::{big, field, little, put};

/// What stands before the checksum (ZEC_MAGIC).
pub const MAGIC: u64 = 0x0210_da7a_b10c_7a11;
/// Bytes of magic number and checksum.
pub const TRAILER: usize = 40;

fn sum(block: &[u8], verifier: [u64; 4], big_endian: bool) -> [u8; 32] {
    let bytes = |word: u64| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
    let held = block.len().saturating_sub(32);
    let mut hash = Sha256::new();
    hash.update(field(block, 0, held));
    verifier.iter().for_each(|word| hash.update(bytes(*word)));
    let digest: [u8; 32] = hash.finalize().into();
    let mut words = [0; 32];
    for at in [0, 8, 16, 24] {
        put(&mut words, at, &bytes(big(&digest, at, 8)));
    }
    words
}

/// Whether the block is as it was written; if so, whether by a big-endian machine.
pub fn is_sealed(block: &[u8], verifier: [u64; 4]) -> Option<bool> {
    let trailer = block.len().checked_sub(TRAILER)?;
    let big_endian = match (little(block, trailer, 8), big(block, trailer, 8)) {
        (MAGIC, _) => false,
        (_, MAGIC) => true,
        _ => return None,
    };
    (field(block, trailer + 8, 32) == sum(block, verifier, big_endian)).then_some(big_endian)
}

/// Writes a checksum, after the magic number that is there already.
pub fn seal(block: &mut [u8], verifier: [u64; 4], big_endian: bool) {
    let words = sum(block, verifier, big_endian);
    let at = block.len().saturating_sub(32);
    put(block, at, &words);
}
