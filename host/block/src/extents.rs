//! Which ranges hold data, and which read as zeroes without being stored.

/// What a range holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that must be read; they may still be zero.
    Data,
    /// Reads as zeroes: no need to read it.
    Zero,
}

/// A range of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// What it holds.
    pub kind: Kind,
}

/// Appends a range; empty ones vanish and adjacent ones of a kind become one.
pub fn push(list: &mut Vec<Extent>, offset: u64, length: u64, kind: Kind) {
    if length == 0 {
        return;
    }
    match list.last_mut() {
        Some(last) if last.kind == kind && last.offset + last.length == offset => last.length += length,
        _ => list.push(Extent { offset, length, kind }),
    }
}

/// Whether every byte is zero. Whole blocks are folded with OR, which compilers turn into vector code.
pub fn is_zero(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks_exact(256);
    blocks.all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
        && bytes[bytes.len() - bytes.len() % 256..].iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_byte_anywhere_is_seen() {
        for length in [0, 1, 255, 256, 257, 1000] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes));
            for at in 0..length {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {length}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn neighbours_of_a_kind_become_one() {
        let mut list = Vec::new();
        push(&mut list, 0, 5, Kind::Data);
        push(&mut list, 5, 0, Kind::Zero);
        push(&mut list, 5, 5, Kind::Data);
        push(&mut list, 10, 1, Kind::Zero);
        assert_eq!(list.len(), 2);
        assert_eq!(list[0], Extent { offset: 0, length: 10, kind: Kind::Data });
    }
}
