//! Bitmaps in bytes that came from a disk, the lowest bit first. A bit that is missing is neither set nor clear, so that
//! it is not taken for free.

/// Whether a bit is there and set.
pub fn is_set(bits: &[u8], bit: u64) -> bool {
    bits.get((bit / 8) as usize).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// Sets or clears `count` bits from `first` on, those that are there.
pub fn fill(bits: &mut [u8], first: u64, count: u64, value: bool) {
    let (mut bit, end) = (first, first.saturating_add(count));
    while bit < end {
        let Some(byte) = bits.get_mut((bit / 8) as usize) else { return };
        if bit.is_multiple_of(8) && end - bit >= 8 {
            *byte = if value { 0xff } else { 0 };
            bit += 8;
            continue;
        }
        let mask = 1 << (bit % 8);
        *byte = if value { *byte | mask } else { *byte & !mask };
        bit += 1;
    }
}

/// The first bit from `from` on that is `wanted`, or `end`; eight bytes at a time.
pub fn find(bits: &[u8], from: u64, end: u64, wanted: bool) -> u64 {
    let skip = if wanted { 0 } else { u64::MAX };
    let there = end.min(bits.len() as u64 * 8);
    let mut bit = from;
    while bit < there {
        let word = bits.get((bit / 8) as usize..).and_then(|rest| rest.first_chunk());
        match word.map(|word| u64::from_le_bytes(*word)).filter(|_| bit.is_multiple_of(8)) {
            Some(word) if word == skip => bit += 64,
            Some(word) => return (bit + u64::from((word ^ skip).trailing_zeros())).min(end),
            None if is_set(bits, bit) == wanted => return bit,
            None => bit += 1,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        let mut bits = vec![0; 8];
        fill(&mut bits, 5, 30, true);
        assert_eq!(
            (find(&bits, 0, 64, true), find(&bits, 5, 64, false), find(&bits, 40, 64, true)),
            (5, 35, 64)
        );
        assert!(is_set(&bits, 34) && !is_set(&bits, 35) && !is_set(&bits, 1000));
        fill(&mut bits, 6, 20, false);
        assert_eq!((find(&bits, 6, 64, true), find(&bits, 0, 3, true)), (26, 3));
    }

    #[test]
    fn runs() {
        let mut bits = vec![0; 32];
        fill(&mut bits, 3, 130, true);
        assert_eq!((find(&bits, 0, 256, true), find(&bits, 3, 256, false)), (3, 133));
        assert_eq!((find(&bits, 133, 256, true), find(&bits, 133, 140, true)), (256, 140));
        fill(&mut bits, 64, 1, false);
        assert_eq!(find(&bits, 3, 256, false), 64);
        assert_eq!(find(&bits, 1 << 20, 1 << 21, false), 1 << 21, "bits behind the end cannot be had");
    }

    /// Bit by bit, for every beginning and end; also behind the last byte.
    #[test]
    fn found_as_one_by_one() {
        let mut bits = vec![0xff; 21];
        bits[10..19].fill(0);
        bits[3] = 0xfe;
        bits[20] = 0x7f;
        for wanted in [true, false] {
            for (from, end) in (0..180).flat_map(|from| (from..180).map(move |end| (from, end))) {
                let slow = (from..end.min(168)).find(|bit| is_set(&bits, *bit) == wanted);
                assert_eq!(find(&bits, from, end, wanted), slow.unwrap_or(end), "{from} {end}");
            }
        }
        assert_eq!(find(&[], 0, u64::MAX, false), u64::MAX);
        fill(&mut bits, 100, u64::MAX, true);
        assert_eq!(find(&bits, 96, 200, true), 100);
        assert_eq!(find(&bits, 100, 200, false), 200);
    }
}
