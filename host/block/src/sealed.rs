//! Key slots: from a passphrase to the key of an encrypted part, by what an adapter tells of its header. The words are those of
//! `wit/volume.wit`; the ways are those of the LUKS specifications (1.2.3 and 2, "on-disk format").

use crate::aes::SectorCipher;
use crate::{Disk, Encrypted, Error, Result};
use argon2::{Algorithm, Argon2, Params, Version};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a key: AES-256 in XTS has two.
const KEY_MOST: usize = 64;
/// cryptsetup makes 4000 stripes.
const STRIPES_MOST: usize = 100_000;
/// cryptsetup takes at most 4 GiB for a passphrase, in KiB.
const MEMORY_MOST: u32 = 4 << 20;
/// Rounds of PBKDF2 for one key: minutes, where cryptsetup takes 2 seconds. A hostile header must not keep a processor for days.
const ITERATIONS_MOST: u32 = 500_000_000;
/// The same for Argon2: KiB times passes. cryptsetup's own are some 4 GiB.
const WORK_MOST: u64 = 256 << 20;
/// More slots or digests than a header has room for.
const SLOTS_MOST: usize = 64;

/// What is encrypted, and what opens it.
#[derive(Debug)]
pub struct Sealed {
    cipher: String,
    key: usize,
    sector: usize,
    first: u64,
    slots: Vec<Slot>,
    digests: Vec<Digest>,
    /// Why a slot was left out.
    left_out: Option<Error>,
}

/// A key, encrypted with a key that a passphrase becomes.
#[derive(Debug)]
struct Slot {
    id: u32,
    way: Way,
    salt: Vec<u8>,
    /// the key's own cipher, and its key's bytes
    cipher: String,
    key: usize,
    /// bytes of the device
    offset: u64,
    stripes: usize,
    split: Hash,
}

/// From a passphrase to a key.
#[derive(Debug)]
enum Way {
    Pbkdf2 { hash: Hash, iterations: u32 },
    Argon2 { algorithm: Algorithm, passes: u32, memory: u32, lanes: u32 },
}

/// What says whether a key is right.
#[derive(Debug)]
struct Digest {
    slots: Vec<u32>,
    hash: Hash,
    iterations: u32,
    salt: Vec<u8>,
    value: Vec<u8>,
}

/// The key of an encrypted part. It is never shown, and overwritten when it is dropped.
pub struct Key(Vec<u8>);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn by_name(name: &str) -> Result<Self> {
        match name {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            other => Err(Error::new(format!("the hash {other} is not one of sha1, sha256, sha384, sha512"))),
        }
    }

    fn derive(self, secret: &[u8], salt: &[u8], iterations: u32, into: &mut [u8]) {
        match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>(secret, salt, iterations, into),
            Self::Sha256 => pbkdf2_hmac::<Sha256>(secret, salt, iterations, into),
            Self::Sha384 => pbkdf2_hmac::<Sha384>(secret, salt, iterations, into),
            Self::Sha512 => pbkdf2_hmac::<Sha512>(secret, salt, iterations, into),
        }
    }

    /// The digest of a number and bytes.
    fn numbered(self, number: u32, bytes: &[u8]) -> Vec<u8> {
        let number = number.to_be_bytes();
        match self {
            Self::Sha1 => Sha1::new().chain_update(number).chain_update(bytes).finalize().to_vec(),
            Self::Sha256 => Sha256::new().chain_update(number).chain_update(bytes).finalize().to_vec(),
            Self::Sha384 => Sha384::new().chain_update(number).chain_update(bytes).finalize().to_vec(),
            Self::Sha512 => Sha512::new().chain_update(number).chain_update(bytes).finalize().to_vec(),
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// `name=value` words of a fact.
struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.split(' ').filter_map(|word| word.split_once('=')).collect())
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.0.get(name).copied().ok_or_else(|| Error::new(format!("{name} is missing")))
    }

    fn number<T: std::str::FromStr + PartialOrd>(&self, name: &str, least: T, most: T) -> Result<T> {
        let number = self.text(name)?.parse().ok().filter(|number| *number >= least && *number <= most);
        number.ok_or_else(|| Error::new(format!("{name} is no number that makes sense")))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let text = self.text(name)?;
        let pair = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes = (0..text.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>();
        bytes
            .filter(|bytes| bytes.len() <= 1024)
            .ok_or_else(|| Error::new(format!("{name} is not in hexadecimal")))
    }
}

impl Sealed {
    /// From the facts of a part of kind `encrypted`: `cipher`, `cipher.slot` and `cipher.digest`; the latter two may be there several times.
    /// A slot that cannot be tried is left out; that is an error only where there is no other.
    pub fn parse<'a>(facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let (mut whole, mut slots, mut digests, mut left_out) = (None, Vec::new(), Vec::new(), None);
        for (key, value) in facts {
            let words = Words::of(value);
            match key {
                "cipher" => whole = Some(words),
                "cipher.slot" if slots.len() < SLOTS_MOST => match slot(&words) {
                    Ok(slot) => slots.push(slot),
                    Err(e) => left_out = Some(e),
                },
                "cipher.digest" if digests.len() < SLOTS_MOST => digests.push(digest(&words)?),
                _ => {}
            }
        }
        let words = whole.ok_or_else(|| Error::new("what cipher it is under is not told"))?;
        if let Some(e) = left_out.take_if(|_| slots.is_empty()) {
            return Err(e);
        }
        Ok(Self {
            cipher: words.text("name")?.into(),
            key: words.number("key", 16, KEY_MOST)?,
            sector: words.number("sector", 512, 4096)?,
            first: words.number("first", 0, u64::MAX)?,
            slots,
            digests,
            left_out,
        })
    }

    /// The key, if the passphrase (or the content of a key file) opens one of the slots; `device` is the one that the header is on.
    /// A slot that cannot be tried is an error only if no other opens.
    pub fn unlock(&self, device: &dyn Disk, passphrase: &[u8]) -> Result<Option<Key>> {
        let mut trouble =
            self.left_out.as_ref().map(|e| Error::new(format!("a key slot was not tried: {e}")));
        for slot in &self.slots {
            match self.try_slot(slot, device, passphrase) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(e) => trouble = Some(Error::new(format!("key slot {}: {e}", slot.id))),
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    fn try_slot(&self, slot: &Slot, device: &dyn Disk, passphrase: &[u8]) -> Result<Option<Key>> {
        let mut own = Key(vec![0; slot.key]);
        slot.way.derive(passphrase, &slot.salt, &mut own.0)?;
        let length = self.key * slot.stripes;
        let mut area = Key(vec![0; length.next_multiple_of(512)]);
        device.read_at(slot.offset, &mut area.0)?;
        SectorCipher::new(&slot.cipher, &own.0, 512)?.decrypt(0, &mut area.0);
        let key = merge(&area.0[..length], self.key, slot.split);
        let own = |digest: &&Digest| digest.slots.contains(&slot.id);
        let right = self.digests.iter().filter(own).any(|digest| {
            let mut value = vec![0; digest.value.len()];
            digest.hash.derive(&key.0, &digest.salt, digest.iterations, &mut value);
            !value.is_empty() && value == digest.value
        });
        Ok(right.then_some(key))
    }

    /// The plain text of `under`, the part's bytes.
    pub fn open(&self, key: &Key, under: Arc<dyn Disk>) -> Result<Encrypted> {
        Encrypted::new(under, SectorCipher::new(&self.cipher, &key.0, self.sector)?, self.first)
    }
}

fn slot(words: &Words<'_>) -> Result<Slot> {
    let memory = || words.number("memory", 8, MEMORY_MOST);
    let way = match words.text("way")? {
        "pbkdf2" => Way::Pbkdf2 {
            hash: Hash::by_name(words.text("hash")?)?,
            iterations: words.number("iterations", 1, ITERATIONS_MOST)?,
        },
        name @ ("argon2i" | "argon2id") => Way::Argon2 {
            algorithm: if name == "argon2i" { Algorithm::Argon2i } else { Algorithm::Argon2id },
            passes: words.number("passes", 1, (WORK_MOST / u64::from(memory()?)) as u32)?,
            memory: memory()?,
            lanes: words.number("lanes", 1, 64)?,
        },
        other => return Err(Error::new(format!("keys by {other} cannot be made here"))),
    };
    Ok(Slot {
        id: words.number("id", 0, u32::MAX)?,
        way,
        salt: words.bytes("salt")?,
        cipher: words.text("cipher")?.into(),
        key: words.number("key", 16, KEY_MOST)?,
        offset: words.number("offset", 0, u64::MAX)?,
        stripes: words.number("stripes", 1, STRIPES_MOST)?,
        split: Hash::by_name(words.text("split")?)?,
    })
}

fn digest(words: &Words<'_>) -> Result<Digest> {
    let slots = words.text("slots")?.split(',').filter_map(|id| id.parse().ok()).collect();
    Ok(Digest {
        slots,
        hash: Hash::by_name(words.text("hash")?)?,
        iterations: words.number("iterations", 1, ITERATIONS_MOST)?,
        salt: words.bytes("salt")?,
        value: words.bytes("value")?,
    })
}

impl Way {
    fn derive(&self, passphrase: &[u8], salt: &[u8], into: &mut [u8]) -> Result<()> {
        match self {
            Self::Pbkdf2 { hash, iterations } => hash.derive(passphrase, salt, *iterations, into),
            Self::Argon2 { algorithm, passes, memory, lanes } => {
                let bad = |e: argon2::Error| Error::new(format!("argon2 does not take its parameters: {e}"));
                let params = Params::new(*memory, *passes, *lanes, Some(into.len())).map_err(bad)?;
                let argon = Argon2::new(*algorithm, Version::V0x13, params);
                argon.hash_password_into(passphrase, salt, into).map_err(bad)?;
            }
        }
        Ok(())
    }
}

/// Takes the stripes of a key together again (anti-forensic splitter).
fn merge(stripes: &[u8], length: usize, hash: Hash) -> Key {
    let mut key = Key(vec![0; length]);
    let last = (stripes.len() / length).saturating_sub(1);
    for (number, stripe) in stripes.chunks_exact(length).enumerate() {
        key.0.iter_mut().zip(stripe).for_each(|(one, other)| *one ^= other);
        if number < last {
            for (at, piece) in key.0.chunks_mut(hash.length()).enumerate() {
                let mixed = hash.numbered(at as u32, piece);
                piece.copy_from_slice(&mixed[..piece.len()]);
            }
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    const WHOLE: &str = "name=aes-xts-plain64 key=64 sector=512 first=0";
    const SLOT: &str = "id=0 way=pbkdf2 hash=sha256 iterations=1 salt=00ff cipher=aes-xts-plain64 key=64 offset=0 stripes=2 split=sha256";
    const DIGEST: &str = "slots=0,1 hash=sha256 iterations=1 salt=00 value=00";

    #[test]
    fn nonsense_is_refused_by_name() {
        for (key, from, to, message) in [
            ("cipher", "key=64", "key=65", "key is no number"),
            ("cipher", "name=", "gone=", "name is missing"),
            ("cipher.slot", "iterations=1", "iterations=4000000000", "iterations is no number"),
            ("cipher.slot", "stripes=2", "stripes=9999999", "stripes is no number"),
            ("cipher.slot", "salt=00ff", "salt=0", "salt is not in hexadecimal"),
            ("cipher.slot", "way=pbkdf2", "way=scrypt", "keys by scrypt"),
            ("cipher.slot", "split=sha256", "split=whirlpool", "the hash whirlpool"),
            ("cipher.digest", "value=00", "", "value is missing"),
        ] {
            let facts = [("cipher", WHOLE), ("cipher.slot", SLOT), ("cipher.digest", DIGEST)];
            assert!(Sealed::parse(facts).is_ok());
            let changed = facts
                .map(|(name, text)| (name, if name == key { text.replace(from, to) } else { text.into() }));
            let told = Sealed::parse(changed.iter().map(|(name, text)| (*name, text.as_str()))).unwrap_err();
            assert!(told.to_string().contains(message), "{told}");
        }
        assert!(Sealed::parse([]).is_err());
    }

    #[test]
    fn a_slot_that_cannot_be_tried_does_not_hide_the_others() {
        let odd = SLOT.replace("split=sha256", "split=whirlpool");
        let disk = MemoryDisk::new(vec![0; 1024]);
        let good =
            Sealed::parse([("cipher", WHOLE), ("cipher.slot", SLOT), ("cipher.digest", DIGEST)]).unwrap();
        let mut own = vec![0; 64];
        Hash::Sha256.derive(b"x", &[0, 0xff], 1, &mut own);
        let mut area = vec![0; 512];
        SectorCipher::new("aes-xts-plain64", &own, 512).unwrap().decrypt(0, &mut area);
        let mut value = vec![0; 32];
        Hash::Sha256.derive(&merge(&area[..128], 64, good.slots[0].split).0, &[0], 1, &mut value);
        let digest: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = DIGEST.replace("value=00", &format!("value={digest}"));
        let facts =
            [("cipher", WHOLE), ("cipher.slot", &odd), ("cipher.slot", SLOT), ("cipher.digest", &digest)];
        let sealed = Sealed::parse(facts).unwrap();
        assert!(sealed.unlock(&disk, b"x").unwrap().is_some());
        let told = sealed.unlock(&disk, b"y").err().unwrap();
        assert!(told.to_string().contains("whirlpool"), "{told}");
    }

    #[test]
    fn a_slot_beyond_the_disk_is_an_error_and_a_wrong_key_is_none() {
        let sealed =
            Sealed::parse([("cipher", WHOLE), ("cipher.slot", SLOT), ("cipher.digest", DIGEST)]).unwrap();
        assert!(sealed.unlock(&MemoryDisk::new(vec![0; 100]), b"x").is_err());
        assert!(sealed.unlock(&MemoryDisk::new(vec![0; 1024]), b"x").unwrap().is_none());
    }
}
