//! Keys (the specification, "Key node").

use crate::base::BASE;
use crate::bytes::{half, number, word};
use crate::hive::{Hive, NONE};
use crate::name::Name;
use crate::pages::Storage;
use wherry_sdk::{Error, Result};

/// Bytes before the name.
pub(crate) const FIXED: usize = 76;
/// Units of a key's name at most (Microsoft, "Registry element size limits").
pub(crate) const NAME_MOST: usize = 2 * 256;
/// "Key node", "Flags": the name is a byte a letter.
pub(crate) const COMPRESSED: u16 = 0x20;
/// Windows allows 512 levels.
pub(crate) const DEPTH_MOST: usize = 512;

/// A key of an opened hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub(crate) at: u32,
    /// Its own name; the root's is of no use.
    pub name: Name,
    /// FILETIME: 100 ns since 1601-01-01.
    pub written: u64,
    pub(crate) subkeys: u32,
    pub(crate) list: u32,
    pub(crate) values: u32,
    pub(crate) value_list: u32,
    pub(crate) security: u32,
    pub(crate) class: (u32, u16),
}

impl<S: Storage> Hive<S> {
    pub(crate) fn key(&mut self, at: u32) -> Result<Key> {
        let bytes = self.record(at, b"nk")?;
        let length = usize::from(half(&bytes, 72));
        let name = bytes.get(FIXED..FIXED + length).filter(|_| length <= NAME_MOST);
        let Some(name) = name else {
            let message = format!("a key whose name of {length} bytes leaves its cell");
            return Err(Error::corrupt(BASE + u64::from(at), message));
        };
        // Without a list there is nothing, whatever the count.
        let counted =
            |count: usize, list: usize| if word(&bytes, list) == NONE { 0 } else { word(&bytes, count) };
        Ok(Key {
            at,
            name: Name::stored(name, half(&bytes, 2) & COMPRESSED != 0 && self.base.minor > 1),
            written: number(&bytes, 4, 8),
            subkeys: counted(20, 28),
            list: word(&bytes, 28),
            values: counted(36, 40),
            value_list: word(&bytes, 40),
            security: word(&bytes, 44),
            class: (word(&bytes, 48), half(&bytes, 74)),
        })
    }

    /// A key's class: UTF-16LE as a rule, empty where it has none.
    pub fn class(&mut self, key: &Key) -> Result<Vec<u8>> {
        let (at, length) = key.class;
        if at == NONE || length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = self.cell_head(at, length.into())?;
        bytes.truncate(length.into());
        Ok(bytes)
    }

    /// A key below another, by names that `\` divides; none if there is none.
    pub fn find(&mut self, from: &Key, path: &str) -> Result<Option<Key>> {
        let mut key = from.clone();
        for part in path.split('\\').filter(|part| !part.is_empty()).take(DEPTH_MOST) {
            match self.subkey(&key, &Name::from(part))? {
                Some(next) => key = next,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }
}
