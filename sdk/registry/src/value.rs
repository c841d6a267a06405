//! Values (the specification, "Key value", "Big data").

use crate::base::BASE;
use crate::bytes::{half, word};
use crate::hive::Hive;
use crate::key::Key;
use crate::name::Name;
use crate::pages::Storage;
use wherry_sdk::{Error, Result};

/// Bytes before the name.
pub(crate) const FIXED: usize = 20;
/// "Key value", "Flags".
pub(crate) const COMPRESSED: u16 = 1;
/// "Data size": the data lies where its offset would.
pub(crate) const RESIDENT: u32 = 1 << 31;
/// Bytes of a piece of big data; longer data is in pieces from version 1.4 on.
pub(crate) const PIECE: u32 = 16_344;
/// Values are read whole: Windows keeps them below 1 MiB, and nothing here needs more than a few.
pub(crate) const DATA_MOST: u32 = 64 << 20;

/// What a value's data means; other numbers occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u32);

impl Kind {
    /// No meaning is said.
    pub const NONE: Self = Self(0);
    /// UTF-16LE text that ends with a NUL.
    pub const SZ: Self = Self(1);
    /// The same, with variables such as `%SystemRoot%`.
    pub const EXPAND_SZ: Self = Self(2);
    /// Bytes.
    pub const BINARY: Self = Self(3);
    /// A number of 4 bytes.
    pub const DWORD: Self = Self(4);
    /// Texts, one after the other, and an empty one.
    pub const MULTI_SZ: Self = Self(7);
    /// A number of 8 bytes.
    pub const QWORD: Self = Self(11);
}

/// A value of a key, without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub(crate) at: u32,
    /// Empty of a key's default value.
    pub name: Name,
    /// What its data means.
    pub kind: Kind,
    pub(crate) size: u32,
    pub(crate) data: u32,
}

impl Value {
    /// Bytes of its data.
    pub fn size(&self) -> u32 {
        self.size & !RESIDENT
    }
}

impl<S: Storage> Hive<S> {
    /// The values of a key, in their order.
    pub fn values(&mut self, key: &Key) -> Result<Vec<Value>> {
        self.value_places(key)?.into_iter().map(|at| self.read_value(at)).collect()
    }

    /// Where they are.
    pub(crate) fn value_places(&mut self, key: &Key) -> Result<Vec<u32>> {
        if key.values == 0 {
            return Ok(Vec::new());
        }
        let list = self.cell(key.value_list)?;
        if (list.len() as u64) < 4 * u64::from(key.values) {
            let message = format!("`{}` has {} values, and its list ends before", key.name, key.values);
            return Err(Error::corrupt(BASE + u64::from(key.at), message));
        }
        Ok((0..key.values as usize).map(|number| word(&list, 4 * number)).collect())
    }

    /// The value of that name; the empty name is the default value's.
    pub fn value(&mut self, key: &Key, name: &str) -> Result<Option<Value>> {
        self.value_named(key, &Name::from(name))
    }

    pub(crate) fn value_named(&mut self, key: &Key, name: &Name) -> Result<Option<Value>> {
        for at in self.value_places(key)? {
            let value = self.read_value(at)?;
            if value.name == *name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn read_value(&mut self, at: u32) -> Result<Value> {
        let bytes = self.record(at, b"vk")?;
        let length = usize::from(half(&bytes, 2));
        let Some(name) = bytes.get(FIXED..FIXED + length) else {
            let message = format!("a value whose name of {length} bytes leaves its cell");
            return Err(Error::corrupt(BASE + u64::from(at), message));
        };
        // Version 1.1 has another field in place of the flags.
        let name = Name::stored(name, half(&bytes, 16) & COMPRESSED != 0 && self.base.minor > 1);
        Ok(Value { at, name, kind: Kind(word(&bytes, 12)), size: word(&bytes, 4), data: word(&bytes, 8) })
    }

    /// The bytes of a value.
    pub fn data(&mut self, value: &Value) -> Result<Vec<u8>> {
        let size = value.size();
        let refuse = |what: String| {
            let message = format!("value `{}`: {what}", value.name);
            Err(Error::corrupt(BASE + u64::from(value.at), message))
        };
        if value.size & RESIDENT != 0 {
            return match value.data.to_le_bytes().get(..size as usize) {
                Some(bytes) => Ok(bytes.to_vec()),
                None => refuse(format!("{size} bytes where 4 can be")),
            };
        }
        if size == 0 {
            return Ok(Vec::new());
        }
        if size > DATA_MOST {
            return refuse(format!("{size} bytes of data"));
        }
        let head = self.cell_head(value.data, size as usize)?;
        if size > PIECE && self.base.minor >= 4 && head.starts_with(b"db") {
            return self.big_data(value, &head);
        }
        if head.len() < size as usize {
            return refuse(format!("{size} bytes of data in a cell of {}", head.len()));
        }
        Ok(head)
    }

    fn big_data(&mut self, value: &Value, record: &[u8]) -> Result<Vec<u8>> {
        let (count, size) = (u32::from(half(record, 2)), value.size());
        let refuse = |what: String| Err(Error::corrupt(BASE + u64::from(value.at), what));
        if count != size.div_ceil(PIECE) {
            return refuse(format!("value `{}`: {size} bytes in {count} pieces of 16,344", value.name));
        }
        let list = self.cell(word(record, 4))?;
        if list.len() < 4 * count as usize {
            return refuse(format!("value `{}`: the list of its {count} pieces ends before", value.name));
        }
        let mut data = Vec::new();
        for number in 0..count {
            let take = PIECE.min(size - data.len() as u32) as usize;
            let piece = self.cell_head(word(&list, 4 * number as usize), take)?;
            if piece.len() < take {
                return refuse(format!("value `{}`: piece {number} has {} bytes", value.name, piece.len()));
            }
            data.extend(piece);
        }
        Ok(data)
    }
}
