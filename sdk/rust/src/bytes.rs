//! Numbers in byte slices that came from outside: a read beyond the slice gives 0 or nothing, a write beyond it does
//! nothing, so that no length has to be trusted. Callers check the lengths that matter.

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    field(bytes, at, N).try_into().unwrap_or([0; N])
}

/// `length` bytes at `at`; none where some are missing.
pub fn field(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    bytes.get(at..at.saturating_add(length)).unwrap_or_default()
}

/// `length` bytes from `at`; fewer or none where they are missing.
pub fn part(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    bytes.get(at..at.saturating_add(length).min(bytes.len())).unwrap_or_default()
}

/// The bytes before the first zero; all if there is none.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The text before the first zero.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(until_nul(bytes)).into_owned()
}

/// The big-endian number of `length` (at most 8) bytes at `at`; zero where the bytes are missing.
pub fn big(bytes: &[u8], at: usize, length: usize) -> u64 {
    field(bytes, at, length).iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The little-endian number of `length` (at most 8) bytes at `at`; zero where the bytes are missing.
pub fn little(bytes: &[u8], at: usize, length: usize) -> u64 {
    field(bytes, at, length).iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The byte at `at`.
pub fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The little-endian number of 2 bytes at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// The little-endian number of 4 bytes at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// The little-endian number of 8 bytes at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// The big-endian number of 2 bytes at `at`.
pub fn be16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

/// The big-endian number of 4 bytes at `at`.
pub fn be32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

/// Writes `value` at `at`, where it fits.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(value.len())) {
        place.copy_from_slice(value);
    }
}

/// Writes a little-endian number of 2 bytes.
pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    put(bytes, at, &value.to_le_bytes());
}

/// Writes a little-endian number of 4 bytes.
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_le_bytes());
}

/// Writes a little-endian number of 8 bytes.
pub fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    put(bytes, at, &value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_the_end() {
        assert_eq!((big(&[1, 2, 3], 1, 2), little(&[1, 2, 3], 1, 2), big(&[1], 0, 2)), (0x203, 0x302, 0));
        let bytes = [1, 2, 3, 4, 5, 6, 7, 0x88, 0];
        assert_eq!(
            (u16_at(&bytes, 6), u32_at(&bytes, 4), u64_at(&bytes, 0)),
            (0x8807, 0x8807_0605, 0x8807_0605_0403_0201)
        );
        assert_eq!((be16_at(&bytes, 6), be32_at(&bytes, 4)), (0x0788, 0x0506_0788));
        assert_eq!((u16_at(&bytes, 8), u64_at(&bytes, usize::MAX), byte_at(&bytes, 9)), (0, 0, 0));
        assert_eq!(
            (field(&bytes, 7, 3), part(&bytes, 7, 3), part(&bytes, 10, 1)),
            (&[][..], &bytes[7..], &[][..])
        );
        assert_eq!(
            (until_nul(&bytes), until_nul(b"ab"), until_nul(b"")),
            (&bytes[..8], &b"ab"[..], &b""[..])
        );
        let mut own = [0; 3];
        put_u16(&mut own, 1, 0x0201);
        put_u32(&mut own, 0, u32::MAX);
        put(&mut own, usize::MAX, &[1]);
        assert_eq!(own, [0, 1, 2]);
    }
}
