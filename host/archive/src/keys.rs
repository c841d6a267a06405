//! The archive's key, what is derived from it, and the slots that hold it under a password or a key file.

use crate::config::{checked, with_check};
use crate::seal::{Cipher, random};
use crate::store::Store;
use crate::{Error, ErrorKind, Result};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

/// Where slots are.
const FOLDER: &str = "keys/";
/// argon2id: RFC 9106's second recommendation.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a slot may ask of this machine.
const MEMORY_KIB_MOST: u32 = 2 << 20;
const PASSES_MOST: u32 = 64;
/// A slot's file and a key file are no longer than this.
const SLOT_MOST: usize = 64 << 10;

/// What opens a slot.
#[derive(Clone)]
pub enum Secret {
    /// Stretched by argon2id.
    Password(String),
    /// Bytes with at least 32 random ones among them.
    KeyFile(Vec<u8>),
}

/// The archive's key and what is derived from it; nothing in an archive that is not encrypted.
#[derive(Clone)]
pub(crate) struct Keys {
    master: Option<[u8; 32]>,
    id: Option<[u8; 32]>,
}

impl Keys {
    pub fn new(master: Option<[u8; 32]>) -> Self {
        let id = master.map(|key| blake3::derive_key("wherry archive 1: chunk ids", &key));
        Self { master, id }
    }
    pub fn encrypted(&self) -> bool {
        self.master.is_some()
    }
    /// The key of one object or session.
    pub fn object(&self, salt: &[u8; 32]) -> Option<[u8; 32]> {
        let key = blake3::derive_key("wherry archive 1: objects", self.master.as_ref()?);
        Some(*blake3::keyed_hash(&key, salt).as_bytes())
    }
    /// What names a chunk: BLAKE3 of its bytes, keyed where the archive is encrypted.
    pub fn id(&self, bytes: &[u8]) -> [u8; 32] {
        match &self.id {
            Some(key) => *blake3::keyed_hash(key, bytes).as_bytes(),
            None => *blake3::hash(bytes).as_bytes(),
        }
    }
}

/// A slot as it is told about.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Slot {
    /// Its name, 16 hexadecimal digits.
    pub id: String,
    /// The operator's words.
    pub label: String,
    /// Seconds since 1970-01-01 UTC.
    pub created: u64,
    /// `argon2id` or `key-file`.
    pub kind: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    sealed: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    let even = digits.remainder().is_empty() && text.is_ascii();
    even.then(|| digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect())?
}

impl Slot {
    /// The key that wraps the archive's.
    fn wrapping(&self, secret: &Secret) -> Result<Option<Keys>> {
        let damaged = || Error::corrupt(format!("key slot {}: it was changed after it was written", self.id));
        let salt = unhex(&self.salt).filter(|salt| salt.len() == 32).ok_or_else(damaged)?;
        let key = match (secret, self.kind.as_str()) {
            (Secret::Password(password), "argon2id") => {
                if self.memory_kib > MEMORY_KIB_MOST || self.passes > PASSES_MOST || self.lanes > 64 {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        format!("key slot {} asks for too much memory or time", self.id),
                    ));
                }
                let params =
                    Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|_| damaged())?;
                let mut key = [0; 32];
                let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon.hash_password_into(password.as_bytes(), &salt, &mut key).map_err(|_| damaged())?;
                key
            }
            (Secret::KeyFile(bytes), "key-file") => {
                let mut hasher = blake3::Hasher::new_derive_key("wherry archive 1: key file");
                *hasher.update(&salt).update(bytes).finalize().as_bytes()
            }
            _ => return Ok(None),
        };
        Ok(Some(Keys::new(Some(key))))
    }

    /// The archive's key, if the secret is this slot's.
    fn open(&self, secret: &Secret) -> Result<Option<[u8; 32]>> {
        let Some(keys) = self.wrapping(secret)? else { return Ok(None) };
        let Some(mut sealed) = unhex(&self.sealed).filter(|sealed| sealed.len() == 48) else {
            return Err(Error::corrupt(format!("key slot {}: it was changed after it was written", self.id)));
        };
        let (key, tag) = sealed.split_at_mut(32);
        let opened = Cipher::new(&keys, &[0; 32]).open(0, self.id.as_bytes(), key, tag);
        Ok(opened.then(|| key.try_into().ok()).flatten())
    }
}

/// Every slot.
pub(crate) fn slots(store: &dyn Store) -> Result<Vec<Slot>> {
    let mut keys = Vec::new();
    store.list(FOLDER, &mut |object| keys.push(object))?;
    keys.sort_by(|a, b| a.key.cmp(&b.key));
    let mut slots = Vec::new();
    for object in keys {
        let bytes = store.get(&object.key)?;
        let text = checked(&bytes, SLOT_MOST)
            .ok_or_else(|| Error::corrupt(format!("{}: it was changed after it was written", object.key)))?;
        slots.push(serde_json::from_str(text).map_err(|e| Error::corrupt(format!("{}: {e}", object.key)))?);
    }
    Ok(slots)
}

/// What says that a key is the archive's.
pub(crate) fn key_check(master: &[u8; 32], archive: &str) -> String {
    blake3::keyed_hash(master, archive.as_bytes()).to_hex().to_string()
}

/// The archive's key from whichever slot the secret opens; `is_it` knows it.
pub(crate) fn unlock(
    store: &dyn Store,
    secret: &Secret,
    is_it: impl Fn(&[u8; 32]) -> bool,
) -> Result<[u8; 32]> {
    let mut damaged = None;
    for slot in slots(store)? {
        match slot.open(secret) {
            Ok(Some(key)) if is_it(&key) => return Ok(key),
            Ok(_) => {}
            Err(e) => damaged = Some(e),
        }
    }
    let what = format!("the archive {} has no key slot that this password or key file opens", store.name());
    Err(damaged.unwrap_or_else(|| Error::new(ErrorKind::Key, what)))
}

/// Adds a slot for a secret.
pub(crate) fn add(
    store: &dyn Store,
    master: &[u8; 32],
    secret: &Secret,
    label: &str,
    now: u64,
) -> Result<Slot> {
    match secret {
        Secret::Password(password) if password.is_empty() => {
            return Err(Error::new(ErrorKind::Key, "an empty password protects nothing"));
        }
        Secret::KeyFile(bytes) if bytes.len() < 32 || bytes.len() > SLOT_MOST => {
            let what = "a key file has 32 bytes to 64 KiB, such as `head -c 64 /dev/urandom` makes";
            return Err(Error::new(ErrorKind::Key, what));
        }
        _ => {}
    }
    let kind = if matches!(secret, Secret::Password(_)) { "argon2id" } else { "key-file" };
    let mut slot = Slot {
        id: hex(&random::<8>()?),
        label: label.into(),
        created: now,
        kind: kind.into(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: hex(&random::<32>()?),
        sealed: String::new(),
    };
    if let Some(keys) = slot.wrapping(secret)? {
        let mut sealed = *master;
        let tag = Cipher::new(&keys, &[0; 32]).seal(0, slot.id.as_bytes(), &mut sealed)?;
        slot.sealed = hex(&sealed) + &hex(&tag);
    }
    let text = serde_json::to_string(&slot).map_err(|e| Error::store("a key slot", e))?;
    if !store.put_own(&format!("{FOLDER}{}", slot.id), &with_check(&text))? {
        return Err(Error::new(ErrorKind::Exists, format!("there is a key slot {} already", slot.id)));
    }
    Ok(slot)
}

/// Removes a slot, unless it is the last one.
pub(crate) fn remove(store: &dyn Store, id: &str) -> Result<()> {
    let slots = slots(store)?;
    if !slots.iter().any(|slot| slot.id == id) {
        let known: Vec<&str> = slots.iter().map(|slot| slot.id.as_str()).collect();
        return Err(Error::new(
            ErrorKind::Missing,
            format!("there is no key slot `{id}`; there are: {}", known.join(", ")),
        ));
    }
    if slots.len() == 1 {
        return Err(Error::new(
            ErrorKind::Key,
            "the last key slot stays: without it nobody could read the archive",
        ));
    }
    store.delete(&format!("{FOLDER}{id}"))
}
