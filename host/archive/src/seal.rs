//! Ciphers and checks. In an encrypted archive AES-256-GCM under a key of the object's own, derived from the archive's key and
//! the object's random salt, so that a counter is a safe nonce; in a plain one a BLAKE3 tag in the same place.

use crate::keys::Keys;
use crate::{Error, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of a tag.
pub(crate) const TAG: usize = 16;
/// Random, one for each object or session.
pub(crate) type Salt = [u8; 32];

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|e| Error::store("the system has no random bytes", e))?;
    Ok(bytes)
}

/// Seals and opens what belongs to one salt.
pub(crate) enum Cipher {
    Plain,
    Encrypted(Box<LessSafeKey>),
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn check(clear: &[u8], bytes: &[u8], number: u64) -> [u8; TAG] {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&number.to_le_bytes())
        .update(&(clear.len() as u64).to_le_bytes())
        .update(clear)
        .update(bytes);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..TAG]);
    tag
}

impl Cipher {
    /// For one salt.
    pub fn new(keys: &Keys, salt: &Salt) -> Self {
        let Some(key) = keys.object(salt) else { return Self::Plain };
        match UnboundKey::new(&AES_256_GCM, &key) {
            Ok(key) => Self::Encrypted(Box::new(LessSafeKey::new(key))),
            Err(_) => unreachable!("AES-256 has keys of 32 bytes"),
        }
    }

    /// Encrypts in place; the tag also covers `clear` and `number`, which must be used once only.
    pub fn seal(&self, number: u64, clear: &[u8], bytes: &mut [u8]) -> Result<[u8; TAG]> {
        let Self::Encrypted(key) = self else { return Ok(check(clear, bytes, number)) };
        let sealed = key.seal_in_place_separate_tag(nonce(number), Aad::from(clear), bytes);
        let tag = sealed.map_err(|_| Error::corrupt("too many bytes to encrypt at once"))?;
        let mut bytes = [0; TAG];
        bytes.copy_from_slice(tag.as_ref());
        Ok(bytes)
    }

    /// Decrypts in place what `seal` made of it; false if anything was changed.
    pub fn open(&self, number: u64, clear: &[u8], bytes: &mut [u8], tag: &[u8]) -> bool {
        let Ok(tag) = <[u8; TAG]>::try_from(tag) else { return false };
        match self {
            Self::Plain => check(clear, bytes, number) == tag,
            Self::Encrypted(key) => {
                let (nonce, clear) = (nonce(number), Aad::from(clear));
                key.open_in_place_separate_tag(nonce, clear, Tag::from(tag), bytes, 0..).is_ok()
            }
        }
    }
}

/// The beginning of every object: magic, version, whether it is encrypted, salt.
pub(crate) const HEAD: usize = 48;
/// Of every object's beginning.
pub(crate) const VERSION: u16 = 1;

/// The beginning of an object.
pub(crate) fn head(magic: &[u8; 8], salt: &Salt, encrypted: bool) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(magic);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[10] = encrypted.into();
    head[16..].copy_from_slice(salt);
    head
}

/// The salt of an object that begins as it should.
pub(crate) fn salt_of(bytes: &[u8], magic: &[u8; 8], encrypted: bool) -> Result<Salt> {
    let wrong = |what: &str| Err(Error::corrupt(format!("its beginning {what}")));
    let Some((head, _)) = bytes.split_first_chunk::<HEAD>() else { return wrong("is cut off") };
    if head[..8] != *magic {
        return wrong("is that of another kind of file");
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version != VERSION {
        let what = format!("written in version {version} of the format, and this program reads version 1");
        return Err(Error::new(crate::ErrorKind::Unsupported, what));
    }
    if head[10] != u8::from(encrypted) || head[11..16] != [0; 5] {
        return wrong("does not belong to this archive");
    }
    let mut salt = [0; 32];
    salt.copy_from_slice(&head[16..]);
    Ok(salt)
}

/// The largest text that is sealed.
const TEXT_MOST: usize = 64 << 20;

/// A text as an object: head, length, zstd in a seal, tag.
pub(crate) fn seal_text(keys: &Keys, magic: &[u8; 8], text: &[u8]) -> Result<Vec<u8>> {
    let salt = random()?;
    let mut clear = head(magic, &salt, keys.encrypted()).to_vec();
    clear.extend((text.len() as u64).to_le_bytes());
    let mut packed = zstd::bulk::compress(text, 3).map_err(|e| Error::store("compressing", e))?;
    let tag = Cipher::new(keys, &salt).seal(0, &clear, &mut packed)?;
    clear.extend(packed);
    clear.extend(tag);
    Ok(clear)
}

/// The text of such an object.
pub(crate) fn open_text(keys: &Keys, magic: &[u8; 8], bytes: &[u8]) -> Result<Vec<u8>> {
    let salt = salt_of(bytes, magic, keys.encrypted())?;
    let changed = || Error::corrupt("it was changed after it was written");
    let (clear, rest) = bytes.split_at_checked(HEAD + 8).ok_or_else(changed)?;
    let (packed, tag) = rest.split_at_checked(rest.len().wrapping_sub(TAG)).ok_or_else(changed)?;
    let mut packed = packed.to_vec();
    if !Cipher::new(keys, &salt).open(0, clear, &mut packed, tag) {
        return Err(changed());
    }
    let length = u64::from_le_bytes(clear[HEAD..].try_into().map_err(|_| changed())?);
    let length = usize::try_from(length).ok().filter(|length| *length <= TEXT_MOST).ok_or_else(changed)?;
    zstd::bulk::decompress(&packed, length).map_err(|_| changed())
}
