//! Repeatable damage.

/// Repeatable pseudo-random numbers (xorshift64): the same seed gives the same sequence everywhere.
pub struct Random(u64);

impl Random {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next_u64() >> 11) % end
    }
    /// Bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// The first `length` bytes of this seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    Random::new(seed).bytes(length)
}

/// Damages `bytes[from..to]` a few times, as `seed` says: bits and bytes flipped, runs of 0x00 and 0xff, numbers near
/// their type's end in either byte order, one place copied over another (which makes cycles).
pub fn damage(bytes: &mut [u8], from: usize, to: usize, seed: u64) {
    let mut random = Random::new(seed);
    let to = to.min(bytes.len());
    let Some(room) = to.checked_sub(from).filter(|room| *room > 16) else { return };
    for _ in 0..=random.below(4) {
        let at = from + random.below(room as u64 - 16) as usize;
        let length = 1usize << random.below(4);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next_u64() as u8,
            2 => bytes[at..at + length].fill(0),
            3 => bytes[at..at + length].fill(0xff),
            4 => {
                let number = u64::MAX - random.below(1 << 20);
                let number = if random.below(2) == 0 { number >> 32 << 32 | 0x7fff_ffff } else { number };
                let number = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                bytes[at..at + length].copy_from_slice(&number[..length]);
            }
            _ => {
                let source = from + random.below(room as u64 - 16) as usize;
                bytes.copy_within(source..source + length, at);
            }
        }
    }
}
