//! Checksums of blocks (OpenZFS' module/zfs/zio_checksum.c): Fletcher's, SHA-2's, BLAKE3. Skein and Edon-R are not computed.

use crate::bytes::{big, little};
use sha2::{Digest, Sha256, Sha512_256};

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
    /// There is none, or one that is not computed here.
    Unknown,
}

/// How blocks are summed: the pool's salt is in some of them.
#[derive(Clone, Debug, Default)]
pub struct Salt(pub Option<[u8; 32]>);

/// Whether the bytes have this sum by the algorithm of that number (zio_checksum).
pub fn verify(bytes: &[u8], order: bool, (algorithm, sum): (u8, [u64; 4]), salt: &Salt) -> Verdict {
    let actual = match algorithm {
        6 => fletcher2(bytes, order),
        1 | 7 => fletcher4(bytes, order),
        8 => words(&Sha256::digest(bytes), true),
        11 => words(&Sha512_256::digest(bytes), order),
        14 => match &salt.0 {
            Some(key) => words(blake3::keyed_hash(key, bytes).as_bytes(), order),
            None => return Verdict::Unknown,
        },
        _ => return Verdict::Unknown,
    };
    if actual == sum { Verdict::Good } else { Verdict::Bad }
}

fn words(digest: &[u8], order: bool) -> [u64; 4] {
    [0, 8, 16, 24].map(|at| if order { big(digest, at, 8) } else { little(digest, at, 8) })
}

fn fletcher2(bytes: &[u8], order: bool) -> [u64; 4] {
    let mut sum = [0u64; 4];
    for pair in bytes.chunks_exact(16) {
        let [first, second, ..] = words(pair, order);
        sum[0] = sum[0].wrapping_add(first);
        sum[1] = sum[1].wrapping_add(second);
        sum[2] = sum[2].wrapping_add(sum[0]);
        sum[3] = sum[3].wrapping_add(sum[1]);
    }
    sum
}

fn fletcher4(bytes: &[u8], order: bool) -> [u64; 4] {
    let [mut a, mut b, mut c, mut d] = [0u64; 4];
    for word in bytes.as_chunks::<4>().0 {
        let word = if order { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) };
        a = a.wrapping_add(u64::from(word));
        b = b.wrapping_add(a);
        c = c.wrapping_add(b);
        d = d.wrapping_add(c);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_their_order() {
        let bytes: Vec<u8> = (0..32).collect();
        let first = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7]);
        let third = u64::from_le_bytes([16, 17, 18, 19, 20, 21, 22, 23]);
        let sum = fletcher2(&bytes, false);
        assert_eq!((sum[0], sum[2]), (first.wrapping_add(third), (first * 2).wrapping_add(third)));
        assert_eq!(fletcher4(&[1, 0, 0, 0, 2, 0, 0, 0], false), [3, 4, 5, 6]);
        assert_eq!(fletcher4(&[0, 0, 0, 1, 0, 0, 0, 2], true), [3, 4, 5, 6]);
        assert_eq!(verify(&bytes, false, (14, [0; 4]), &Salt(None)), Verdict::Unknown);
        assert_eq!(verify(&bytes, false, (7, [0; 4]), &Salt(None)), Verdict::Bad);
    }
}
