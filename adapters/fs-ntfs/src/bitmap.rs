//! Bits in byte slices, lowest first.

/// Whether a bit is set; missing ones are not.
pub fn is_set(bits: &[u8], bit: u64) -> bool {
    bits.get((bit / 8) as usize).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// Sets or clears `count` bits.
pub fn fill(bits: &mut [u8], first: u64, count: u64, value: bool) {
    let mut bit = first;
    while bit < first + count {
        let Some(byte) = bits.get_mut((bit / 8) as usize) else { return };
        if bit.is_multiple_of(8) && bit + 8 <= first + count {
            *byte = if value { 0xff } else { 0 };
            bit += 8;
            continue;
        }
        let mask = 1 << (bit % 8);
        *byte = if value { *byte | mask } else { *byte & !mask };
        bit += 1;
    }
}

/// The first bit from `at` on that is `value`; `end` if there is none before it.
pub fn find(bits: &[u8], mut at: u64, end: u64, value: bool) -> u64 {
    let skip = if value { 0 } else { 0xff };
    while at < end {
        let byte = bits.get((at / 8) as usize).copied().unwrap_or(0);
        if at.is_multiple_of(8) && byte == skip {
            at += 8;
            continue;
        }
        if (byte >> (at % 8) & 1 == 1) == value {
            return at;
        }
        at += 1;
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
}
