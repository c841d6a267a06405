//! `archive.json`: what an archive is, written once when it is made.

use crate::store::Store;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The object's name.
pub(crate) const KEY: &str = "archive.json";
const CONFIG_MOST: usize = 64 << 10;

/// What an archive is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Version of the format.
    pub wherry_archive: u32,
    /// 32 hexadecimal digits.
    pub id: String,
    /// Seconds since 1970-01-01 UTC.
    pub created: u64,
    /// Bytes of a chunk of a disk; a power of two.
    pub chunk_size: u32,
    /// Bytes from which on a pack is full.
    pub pack_size: u32,
    /// `aes-256-gcm`, or none.
    pub encryption: Option<String>,
    /// BLAKE3 of the archive's id, keyed by its key: tells this archive's slots from those of a creation that was killed.
    pub key_check: Option<String>,
    /// What a program must know to read this archive, beyond the version; unknown words are a refusal.
    pub requires: Vec<String>,
}

/// What can be chosen when an archive is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of a chunk: a power of two from 16 KiB to 4 MiB.
    pub chunk_size: u32,
    /// Bytes from which on a pack is full: 1 MiB to 256 MiB.
    pub pack_size: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { chunk_size: 256 << 10, pack_size: 32 << 20 }
    }
}

/// A line of text and a line with its BLAKE3.
pub(crate) fn with_check(text: &str) -> Vec<u8> {
    format!("{text}\n{}\n", blake3::hash(text.as_bytes()).to_hex()).into_bytes()
}

/// The text, if it is what was written.
pub(crate) fn checked(bytes: &[u8], most: usize) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= most)?;
    let (text, check) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    (blake3::hash(text.as_bytes()).to_hex().as_str() == check).then_some(text)
}

impl Settings {
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::Unsupported, what));
        if !self.chunk_size.is_power_of_two() || !(16 << 10..=4 << 20).contains(&self.chunk_size) {
            return wrong("the chunk size must be a power of two from 16 KiB to 4 MiB");
        }
        if !(1 << 20..=256 << 20).contains(&self.pack_size) {
            return wrong("the pack size must be from 1 MiB to 256 MiB");
        }
        Ok(())
    }
}

impl Config {
    pub(crate) fn read(store: &dyn Store) -> Result<Self> {
        let bytes = store.get(KEY).map_err(|e| match e.kind {
            ErrorKind::Missing => {
                let what =
                    format!("there is no archive at {}: make one with `wherry archive init`", store.name());
                Error::new(ErrorKind::Missing, what)
            }
            _ => e,
        })?;
        let named = |what: &str| Error::corrupt(format!("{KEY} of {}: {what}", store.name()));
        let text =
            checked(&bytes, CONFIG_MOST).ok_or_else(|| named("it was changed after it was written"))?;
        let config: Self = serde_json::from_str(text).map_err(|e| named(&e.to_string()))?;
        let newer = |what: String| {
            Err(Error::new(ErrorKind::Unsupported, format!("{} {what}: use a newer wherry", store.name())))
        };
        if config.wherry_archive != 1 {
            return newer(format!("has version {} of the format", config.wherry_archive));
        }
        if !config.requires.is_empty() {
            return newer(format!("needs what this program does not know ({})", config.requires.join(", ")));
        }
        if config.encryption.as_deref().is_some_and(|name| name != "aes-256-gcm") {
            return newer("is encrypted in a way that this program does not know".into());
        }
        Settings { chunk_size: config.chunk_size, pack_size: config.pack_size }
            .check()
            .map_err(|e| named(&e.context))?;
        Ok(config)
    }

    pub(crate) fn write(&self, store: &dyn Store) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| Error::store(KEY, e))?;
        match store.put_own(KEY, &with_check(&text))? {
            true => Ok(()),
            false => {
                Err(Error::new(ErrorKind::Exists, format!("there is an archive at {} already", store.name())))
            }
        }
    }
}
