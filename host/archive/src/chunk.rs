//! A chunk as it is stored: a head, then its bytes, packed by zstd where that gains something, sealed where the archive is
//! encrypted. A chunk can be read without its neighbours.

use crate::keys::Keys;
use crate::seal::{Cipher, TAG};
use crate::{Error, Result};
use std::fmt;

/// Names a chunk: BLAKE3 of its bytes, keyed in an encrypted archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 32]);

impl Id {
    /// Stands for a chunk of zeroes, which is never stored.
    pub const ZERO: Self = Self([0; 32]);

    /// The first 64 bits, in the order of ids.
    pub(crate) fn prefix(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of a disk.
    Data = 0,
    /// Ids of consecutive pieces.
    Leaf = 1,
    /// Ids of a disk's leaves.
    Root = 2,
}

/// Bytes in front of a stored chunk: nonce, plain length, codec, kind, 2 of zero.
pub(crate) const CHUNK_HEAD: usize = 16;
/// More is no chunk: the root of a disk of 128 TiB in chunks of 256 KiB.
pub(crate) const PLAIN_MOST: usize = 16 << 20;
const ZSTD: u8 = 1;
/// Packed bytes must save a 32nd, or the chunk is stored as it is: unpacking costs more than reading them.
const GAIN: usize = 32;

/// A worker's contexts and buffers.
pub(crate) struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    out: Vec<u8>,
}

impl Packer {
    pub fn new(level: i32) -> Result<Self> {
        let zstd = zstd::bulk::Compressor::new(level).map_err(|e| Error::store("zstd", e))?;
        Ok(Self { zstd, out: Vec::new() })
    }

    /// The stored form of a chunk; `number` must be used only once under this cipher.
    pub fn pack(&mut self, cipher: &Cipher, number: u64, kind: Kind, plain: &[u8]) -> Result<&[u8]> {
        let most = CHUNK_HEAD + zstd::zstd_safe::compress_bound(plain.len()) + TAG;
        self.out.resize(most.max(self.out.len()), 0);
        let body = &mut self.out[CHUNK_HEAD..];
        let packed = match looks_random(plain) {
            true => None,
            false => Some(self.zstd.compress_to_buffer(plain, body).map_err(|e| Error::store("zstd", e))?),
        };
        let packed = packed.filter(|length| length + plain.len() / GAIN < plain.len());
        let length = packed.unwrap_or(plain.len());
        if packed.is_none() {
            body[..length].copy_from_slice(plain);
        }
        let mut head = [0; CHUNK_HEAD];
        head[..8].copy_from_slice(&number.to_le_bytes());
        head[8..12].copy_from_slice(&(plain.len() as u32).to_le_bytes());
        head[12] = if packed.is_some() { ZSTD } else { 0 };
        head[13] = kind as u8;
        let mut end = CHUNK_HEAD + length;
        if matches!(cipher, Cipher::Encrypted(_)) {
            let tag = cipher.seal(number, &head, &mut body[..length])?;
            self.out[end..end + TAG].copy_from_slice(&tag);
            end += TAG;
        }
        self.out[..CHUNK_HEAD].copy_from_slice(&head);
        Ok(&self.out[..end])
    }
}

/// Whether the bytes cannot be packed, by the counts of 4 KiB from their middle: the squares of random counts sum up to
/// 4096 + 4096 * 4095 / 256 = 69,616 on average, with a deviation of about 360; those of anything that zstd makes smaller are above.
fn looks_random(bytes: &[u8]) -> bool {
    const SAMPLE: usize = 4096;
    const MOST: u32 = 71_500;
    if bytes.len() < 4 * SAMPLE {
        return false;
    }
    let quarter = SAMPLE / 4;
    let mut counts = [0u32; 256];
    for part in 0..4 {
        let start = bytes.len() / 4 * part + bytes.len() / 8 - quarter / 2;
        bytes[start..start + quarter].iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    }
    counts.iter().map(|count| count * count).sum::<u32>() < MOST
}

/// The plain bytes of a stored chunk, as it says itself.
pub(crate) fn plain_length(stored: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*stored.get(8..12)?.first_chunk()?) as usize;
    (length <= PLAIN_MOST).then_some(length)
}

/// What a stored chunk says that it is.
pub(crate) fn kind_of(stored: &[u8]) -> Kind {
    match stored.get(13) {
        Some(1) => Kind::Leaf,
        Some(2) => Kind::Root,
        _ => Kind::Data,
    }
}

/// A worker's context for reading.
pub(crate) struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Unpacker {
    pub fn new() -> Result<Self> {
        let zstd = zstd::bulk::Decompressor::new().map_err(|e| Error::store("zstd", e))?;
        Ok(Self { zstd })
    }

    /// Puts the chunk into `plain`, which must have its length, after its bytes were found to be those of `id`; `stored` is
    /// decrypted in place.
    pub fn unpack(
        &mut self,
        keys: &Keys,
        cipher: &Cipher,
        stored: &mut [u8],
        id: &Id,
        plain: &mut [u8],
    ) -> Result<()> {
        let wrong = |what: &str| Err(Error::corrupt(format!("chunk {id} {what}")));
        if plain_length(stored) != Some(plain.len()) {
            return wrong("has another length than it should");
        }
        let Some((head, mut body)) = stored.split_first_chunk_mut::<CHUNK_HEAD>() else {
            return wrong("is cut off");
        };
        let codec = head[12];
        if let Cipher::Encrypted(_) = cipher {
            let Some(length) = body.len().checked_sub(TAG) else { return wrong("is cut off") };
            let (bytes, tag) = body.split_at_mut(length);
            let number = head.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
            if !cipher.open(number, head, bytes, tag) {
                return wrong("was changed after it was written");
            }
            body = bytes;
        }
        match codec {
            0 if body.len() == plain.len() => plain.copy_from_slice(body),
            ZSTD => match self.zstd.decompress_to_buffer(body, plain) {
                Ok(length) if length == plain.len() => {}
                _ => return wrong("was changed after it was written"),
            },
            _ => return wrong("was changed after it was written"),
        }
        if keys.id(plain) != id.0 {
            return wrong("was changed after it was written");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::random;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        for keys in [Keys::new(None), Keys::new(Some([7; 32]))] {
            let cipher = Cipher::new(&keys, &random().unwrap());
            for plain in [b"abc".repeat(1000), noise(20_000), vec![1]] {
                let id = Id(keys.id(&plain));
                let mut packer = Packer::new(1).unwrap();
                let stored = packer.pack(&cipher, 5, Kind::Data, &plain).unwrap().to_vec();
                let mut back = vec![0; plain.len()];
                let mut unpacker = Unpacker::new().unwrap();
                unpacker.unpack(&keys, &cipher, &mut stored.clone(), &id, &mut back).unwrap();
                assert_eq!(back, plain);
                for at in (0..stored.len()).step_by(1 + stored.len() / 300) {
                    let mut changed = stored.clone();
                    changed[at] ^= 4;
                    let read = unpacker.unpack(&keys, &cipher, &mut changed, &id, &mut back);
                    // The nonce and the kind of a chunk that is not encrypted say nothing about its bytes.
                    let harmless = !keys.encrypted() && (at < 8 || (13..16).contains(&at));
                    assert!(read.is_err() || (harmless && back == plain), "byte {at}");
                }
                for length in [0, 8, CHUNK_HEAD, stored.len() - 1] {
                    let read =
                        unpacker.unpack(&keys, &cipher, &mut stored[..length].to_vec(), &id, &mut back);
                    assert!(read.is_err(), "{length} bytes");
                }
            }
        }
    }

    #[test]
    fn noise_is_known_by_a_look() {
        assert!(looks_random(&noise(256 << 10)));
        let text: Vec<u8> = (0u64..40_000).flat_map(|n| (n * n).to_string().into_bytes()).collect();
        assert!(!looks_random(&text));
        let mut packer = Packer::new(1).unwrap();
        let cipher = Cipher::new(&Keys::new(None), &[0; 32]);
        assert_eq!(
            packer.pack(&cipher, 0, Kind::Data, &noise(1 << 18)).unwrap().len(),
            (1 << 18) + CHUNK_HEAD
        );
    }
}
