//! Marvin32 (US patent 8,555,057), the hash of log entries ("New format", "Log entries", note 3).

use crate::bytes::word;

/// The seed that Windows uses for logs. The specification's number has the same bytes the other way round.
const SEED: u64 = 0x82ef_4d88_7a4e_55c5;

fn mix((mut low, mut high): (u32, u32), value: u32) -> (u32, u32) {
    low = low.wrapping_add(value);
    high ^= low;
    low = low.rotate_left(20).wrapping_add(high);
    high = high.rotate_left(9) ^ low;
    low = low.rotate_left(27).wrapping_add(high);
    (low, high.rotate_left(19))
}

/// The hash of `bytes` with the logs' seed.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    // What is left, and a bit behind it.
    let left = words.remainder();
    let last = word(left, 0) | 0x80 << (8 * left.len());
    let mut state = (SEED as u32, (SEED >> 32) as u32);
    for value in words.map(|bytes| word(bytes, 0)).chain([last, 0]) {
        state = mix(state, value);
    }
    u64::from(state.1) << 32 | u64::from(state.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn windows_hashes_alike() {
        // The beginning of a log entry that Windows 10 wrote, and its hash.
        let entry = [
            0x48, 0x76, 0x4c, 0x45, 0, 0x1e, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0x50, 0, 0, 1, 0, 0, 0, 0x5d,
            0x1e, 0x70, 0x07, 0x17, 0xa8, 0x46, 0x47,
        ];
        assert_eq!(super::hash(&entry), 0xe637_dcaf_f687_7267);
    }
}
