//! Hashes of names in directory indexes (Linux: Documentation/filesystems/ext4, "Hash Tree Directories";
//! fs/ext4/hash.c for the functions and their constants).

/// How an index hashes names.
#[derive(Clone, Copy)]
pub struct Hasher {
    /// 0 legacy, 1 half MD4, 2 TEA
    pub version: u8,
    /// characters above 127 count as unsigned
    pub unsigned: bool,
    /// key; four zeroes mean the constants of MD4
    pub seed: [u32; 4],
}

const MD4: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The two greatest hashes mean the end of a directory.
const END: u32 = 0xffff_fffe;

impl Hasher {
    /// The hash of a name: even, since bit 0 marks hashes that go on in the next block. None for other versions.
    pub fn hash(&self, name: &[u8]) -> Option<u32> {
        let mut state = if self.seed == [0; 4] { MD4 } else { self.seed };
        let hash = match self.version {
            0 => self.legacy(name),
            1 => {
                let mut rest = name;
                while !rest.is_empty() {
                    half_md4(&mut state, &self.words::<8>(rest));
                    rest = rest.get(32..).unwrap_or_default();
                }
                state[1]
            }
            2 => {
                let mut rest = name;
                while !rest.is_empty() {
                    tea(&mut state, &self.words::<4>(rest));
                    rest = rest.get(16..).unwrap_or_default();
                }
                state[0]
            }
            _ => return None,
        };
        Some(if hash & !1 == END { END - 2 } else { hash & !1 })
    }

    fn character(&self, byte: u8) -> u32 {
        if self.unsigned { u32::from(byte) } else { byte as i8 as u32 }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut last, mut before) = (0x12a3_fe2du32, 0x37ab_e8f9u32);
        for byte in name {
            let mixed = last ^ self.character(*byte).wrapping_mul(7_152_373);
            let mut hash = before.wrapping_add(mixed);
            if hash & 0x8000_0000 != 0 {
                hash = hash.wrapping_sub(0x7fff_ffff);
            }
            (last, before) = (hash, last);
        }
        last << 1
    }

    /// The beginning of a name as words, the rest filled with its length.
    fn words<const N: usize>(&self, name: &[u8]) -> [u32; N] {
        let length = name.len() as u32;
        let filler = length | length << 8;
        let filler = filler | filler << 16;
        let mut words = [filler; N];
        let chunks = name.get(..name.len().min(4 * N)).unwrap_or_default().chunks(4);
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = chunk.iter().fold(filler, |word, byte| self.character(*byte).wrapping_add(word << 8));
        }
        words
    }
}

/// The Tiny Encryption Algorithm, 16 rounds, as a compression function.
fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    let (mut left, mut right, mut sum) = (state[0], state[1], 0u32);
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        left = left.wrapping_add(tea_mix(right, sum, key[0], key[1]));
        right = right.wrapping_add(tea_mix(left, sum, key[2], key[3]));
    }
    state[0] = state[0].wrapping_add(left);
    state[1] = state[1].wrapping_add(right);
}

fn tea_mix(value: u32, sum: u32, first: u32, second: u32) -> u32 {
    (value << 4).wrapping_add(first) ^ value.wrapping_add(sum) ^ (value >> 5).wrapping_add(second)
}

/// MD4 with half the words and half the steps in each round.
fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    const ROUNDS: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (|x, y, z| z ^ (x & (y ^ z)), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]),
        (|x, y, z| (x & y).wrapping_add((x ^ y) & z), 0x5a82_7999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]),
        (|x, y, z| x ^ y ^ z, 0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (mix, constant, order, shifts) in ROUNDS {
        for (step, word) in order.into_iter().enumerate() {
            let sum = a.wrapping_add(mix(b, c, d)).wrapping_add(input[word]).wrapping_add(constant);
            (a, b, c, d) = (d, sum.rotate_left(shifts[step % 4]), b, c);
        }
    }
    for (word, value) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(value);
    }
}
