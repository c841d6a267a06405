//! What a disk must answer, and repeatable numbers.

use wherry_block::{Disk, Kind};

/// Xorshift: repeatable by seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

/// Reads and asks for extents at random: the bytes are the model's, the extents lie in order and without gaps in what
/// was asked for, neighbours differ in kind, and what is said to be zero is.
pub fn check(disk: &dyn Disk, model: &[u8], random: &mut Random, rounds: usize) {
    let length = model.len() as u64;
    assert_eq!(disk.length(), length);
    for round in 0..rounds {
        let start = if round == 0 { 0 } else { random.below(length + 1) };
        let most = if round % 3 == 0 { length } else { 20_000 };
        let take = if round == 0 { length } else { random.below((length - start).min(most) + 1) };
        let mut read = vec![0x5a; take as usize];
        disk.read_at(start, &mut read).unwrap();
        assert!(read == model[start as usize..(start + take) as usize], "{start}+{take}");
        let list = disk.extents(start, take).unwrap();
        let mut at = start;
        for extent in &list {
            assert_eq!(extent.offset, at);
            assert!(extent.length > 0);
            at += extent.length;
            let bytes = &model[extent.offset as usize..at as usize];
            assert!(
                extent.kind == Kind::Data || bytes.iter().all(|byte| *byte == 0),
                "{extent:?} is not zero"
            );
        }
        assert_eq!(at, start + take);
        assert!(list.windows(2).all(|pair| pair[0].kind != pair[1].kind));
    }
    assert!(disk.read_at(length, &mut [0]).is_err());
    assert!(disk.read_at(u64::MAX, &mut [0; 2]).is_err());
    assert!(disk.extents(length, 1).is_err());
    assert!(disk.extents(u64::MAX, 2).is_err());
}
