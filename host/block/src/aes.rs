//! Sectors under AES: XTS (IEEE 1619) and CBC, with the initialisation vectors of Linux' dm-crypt.

use crate::{Error, Result};
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use sha2::{Digest, Sha256};

/// Bytes of a cipher's block.
const BLOCK: usize = 16;
type Block = Array<u8, aes::cipher::consts::U16>;

/// What sectors are numbered in for their vectors, whatever their size.
const UNIT: u64 = 512;

/// AES with a key of one of its three lengths.
enum Aes {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

impl Aes {
    fn new(key: &[u8]) -> Result<Self> {
        let wrong = |_| Error::new(format!("AES has no key of {} bytes", key.len()));
        match key.len() {
            16 => Aes128::new_from_slice(key).map(|aes| Self::Short(Box::new(aes))).map_err(wrong),
            24 => Aes192::new_from_slice(key).map(|aes| Self::Middle(Box::new(aes))).map_err(wrong),
            _ => Aes256::new_from_slice(key).map(|aes| Self::Long(Box::new(aes))).map_err(wrong),
        }
    }

    fn encrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Short(aes) => aes.encrypt_blocks(blocks),
            Self::Middle(aes) => aes.encrypt_blocks(blocks),
            Self::Long(aes) => aes.encrypt_blocks(blocks),
        }
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Short(aes) => aes.decrypt_blocks(blocks),
            Self::Middle(aes) => aes.decrypt_blocks(blocks),
            Self::Long(aes) => aes.decrypt_blocks(blocks),
        }
    }
}

/// How a sector's number becomes its vector.
enum Vector {
    /// the lower 32 bits
    Plain,
    Plain64,
    /// encrypted with the key's digest
    Essiv(Aes),
}

enum Mode {
    /// the second key is for the vectors
    Xts(Aes),
    Cbc,
}

/// A cipher with its key.
pub struct SectorCipher {
    aes: Aes,
    mode: Mode,
    vector: Vector,
    sector: usize,
}

impl SectorCipher {
    /// By dm-crypt's name of the cipher, such as `aes-xts-plain64`; sectors of `sector` bytes.
    pub fn new(name: &str, key: &[u8], sector: usize) -> Result<Self> {
        let unknown = || {
            Error::new(format!(
                "the cipher {name} is not one that can be opened here: aes-xts or aes-cbc with plain, plain64 or essiv:sha256"
            ))
        };
        if !(UNIT as usize..=4096).contains(&sector) || !sector.is_power_of_two() {
            return Err(Error::new(format!("encrypted sectors of {sector} bytes make no sense")));
        }
        let words = name.splitn(3, '-').collect::<Vec<_>>();
        let [cipher, mode, vector] = words.as_slice() else { return Err(unknown()) };
        let (first, mode) = match (*cipher, *mode) {
            ("aes", "xts") => {
                let (first, second) = key.split_at(key.len() / 2);
                (first, Mode::Xts(Aes::new(second)?))
            }
            ("aes", "cbc") => (key, Mode::Cbc),
            _ => return Err(unknown()),
        };
        let vector = match *vector {
            "plain" => Vector::Plain,
            "plain64" => Vector::Plain64,
            "essiv:sha256" => Vector::Essiv(Aes::new(&Sha256::digest(key))?),
            _ => return Err(unknown()),
        };
        Ok(Self { aes: Aes::new(first)?, mode, vector, sector })
    }

    /// Bytes of a sector.
    pub fn sector(&self) -> usize {
        self.sector
    }

    fn vector(&self, number: u64) -> Block {
        let mut block = Block::default();
        match &self.vector {
            Vector::Plain => block[..4].copy_from_slice(&(number as u32).to_le_bytes()),
            Vector::Plain64 | Vector::Essiv(_) => block[..8].copy_from_slice(&number.to_le_bytes()),
        }
        if let Vector::Essiv(aes) = &self.vector {
            aes.encrypt(std::slice::from_mut(&mut block));
        }
        block
    }

    /// Whole sectors; `first` is the number of the first of them, in units of 512 bytes.
    fn each(&self, first: u64, bytes: &mut [u8], mut one: impl FnMut(&Self, Block, &mut [Block])) {
        let mut blocks: Vec<Block> = Vec::with_capacity(self.sector / BLOCK);
        let numbers = (first..).step_by(self.sector / UNIT as usize);
        for (sector, number) in bytes.chunks_exact_mut(self.sector).zip(numbers) {
            blocks.clear();
            blocks.extend(sector.chunks_exact(BLOCK).map(|block| {
                let mut own = Block::default();
                own.copy_from_slice(block);
                own
            }));
            one(self, self.vector(number), &mut blocks);
            for (into, block) in sector.chunks_exact_mut(BLOCK).zip(&blocks) {
                into.copy_from_slice(block);
            }
        }
    }

    /// Encrypts whole sectors in place.
    pub fn encrypt(&self, first: u64, bytes: &mut [u8]) {
        self.each(first, bytes, |own, vector, blocks| match &own.mode {
            Mode::Xts(second) => own.xts(second, vector, blocks, Aes::encrypt),
            Mode::Cbc => {
                let mut before = vector;
                for block in blocks {
                    mix(block, &before);
                    own.aes.encrypt(std::slice::from_mut(block));
                    before = *block;
                }
            }
        });
    }

    /// Decrypts whole sectors in place.
    pub fn decrypt(&self, first: u64, bytes: &mut [u8]) {
        self.each(first, bytes, |own, vector, blocks| match &own.mode {
            Mode::Xts(second) => own.xts(second, vector, blocks, Aes::decrypt),
            Mode::Cbc => {
                let under = blocks.to_vec();
                own.aes.decrypt(blocks);
                let before = std::iter::once(&vector).chain(&under);
                blocks.iter_mut().zip(before).for_each(|(block, before)| mix(block, before));
            }
        });
    }

    fn xts(&self, second: &Aes, mut tweak: Block, blocks: &mut [Block], turn: fn(&Aes, &mut [Block])) {
        second.encrypt(std::slice::from_mut(&mut tweak));
        let mut tweaks = Vec::with_capacity(blocks.len());
        for block in blocks.iter_mut() {
            mix(block, &tweak);
            tweaks.push(tweak);
            // Times x in the field of 2^128 elements, whose polynomial ends with 0x87.
            let number = u128::from_le_bytes(tweak.into());
            let carry = if number >> 127 == 1 { 0x87 } else { 0 };
            tweak.copy_from_slice(&(number << 1 ^ carry).to_le_bytes());
        }
        turn(&self.aes, blocks);
        blocks.iter_mut().zip(&tweaks).for_each(|(block, tweak)| mix(block, tweak));
    }
}

fn mix(block: &mut Block, with: &Block) {
    block.iter_mut().zip(with).for_each(|(one, other)| *one ^= other);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 1619-2007, vector 4: keys from the digits of e and pi, sector 0, bytes 00 to ff twice.
    #[test]
    fn xts_of_the_standard() {
        let key = [
            0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
            0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
        ];
        let cipher = SectorCipher::new("aes-xts-plain64", &key, 512).unwrap();
        let plain: Vec<u8> = (0..512u32).map(|at| at as u8).collect();
        let mut bytes = plain.clone();
        cipher.encrypt(0, &mut bytes);
        assert_eq!(bytes[..8], [0x27, 0xa7, 0x47, 0x9b, 0xef, 0xa1, 0xd4, 0x76]);
        cipher.decrypt(0, &mut bytes);
        assert_eq!(bytes, plain);
    }

    #[test]
    fn other_ciphers_are_named() {
        for name in ["serpent-xts-plain64", "aes-gcm-random", "aes-cbc-benbi", "aes"] {
            assert!(SectorCipher::new(name, &[0; 32], 512).err().unwrap().to_string().contains(name));
        }
        assert!(SectorCipher::new("aes-xts-plain64", &[0; 32], 100).is_err());
        assert!(SectorCipher::new("aes-cbc-plain64", &[0; 20], 512).is_err());
    }
}
