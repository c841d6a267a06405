//! Keys and values as cells: made, changed, removed (the specification, "Key node", "Key value", "Key security", "Big data").

use crate::base::BASE;
use crate::bytes::word;
use crate::hive::{Hive, LENGTH, NONE};
use crate::key::{COMPRESSED, FIXED, Key};
use crate::name::Name;
use crate::pages::Storage;
use crate::value::{self, Kind, PIECE, RESIDENT, Value};
use wherry_sdk::bytes::put;
use wherry_sdk::{Error, Result};

/// Offsets in a key node.
const WRITTEN: u32 = 4;
const SUBKEYS: u32 = 20;
const LIST: u32 = 28;
const VALUES: u32 = 36;
const VALUE_LIST: u32 = 40;
const CLASS: u32 = 48;
const SUBKEY_NAME_MOST: u32 = 52;
const SUBKEY_CLASS_MOST: u32 = 56;
const VALUE_NAME_MOST: u32 = 60;
const DATA_MOST: u32 = 64;
const CLASS_LENGTH: u32 = 74;
/// Offsets in a key security item.
const FORWARD: u32 = 4;
const BACK: u32 = 8;
const COUNT: u32 = 12;

impl<S: Storage> Hive<S> {
    /// A field of a record; the record is known to be sound.
    fn field(&mut self, at: u32, field: u32) -> Result<u32> {
        self.pages.word(at + LENGTH + field)
    }

    fn put_field(&mut self, at: u32, field: u32, value: u32) -> Result<()> {
        self.pages.put(at + LENGTH + field, &value.to_le_bytes())
    }

    /// "Largest ..." fields grow, as Windows has it, and never shrink but with the last of what they are about.
    fn raise(&mut self, at: u32, field: u32, value: u32) -> Result<()> {
        if self.field(at, field)? < value {
            self.put_field(at, field, value)?;
        }
        Ok(())
    }

    fn touch(&mut self, at: u32) -> Result<()> {
        match self.now {
            Some(now) => self.pages.put(at + LENGTH + WRITTEN, &now.to_le_bytes()),
            None => Ok(()),
        }
    }

    /// Makes a key in another.
    pub(crate) fn make_key(&mut self, parent: &Key, name: &Name) -> Result<Key> {
        let (stored, compressed) = name.store();
        let mut node = vec![0; FIXED];
        put(&mut node, 0, b"nk");
        put(&mut node, 2, &(if compressed { COMPRESSED } else { 0 }).to_le_bytes());
        put(&mut node, WRITTEN as usize, &self.now.unwrap_or(self.base.written).to_le_bytes());
        put(&mut node, 16, &parent.at.to_le_bytes());
        for none in [LIST, 32, VALUE_LIST, CLASS] {
            put(&mut node, none as usize, &NONE.to_le_bytes());
        }
        put(&mut node, 44, &parent.security.to_le_bytes());
        put(&mut node, 72, &(stored.len() as u16).to_le_bytes());
        node.extend(stored);
        self.share_security(parent.security)?;
        let at = self.store(&node, parent.at)?;
        let list = self.list_insert(parent, name, at)?;
        self.put_field(parent.at, LIST, list)?;
        self.put_field(parent.at, SUBKEYS, parent.subkeys + 1)?;
        // Since Vista the field's upper half has flags.
        let largest = self.field(parent.at, SUBKEY_NAME_MOST)?;
        let length = 2 * name.units().len() as u32;
        if largest & 0xffff < length {
            self.put_field(parent.at, SUBKEY_NAME_MOST, largest & 0xffff_0000 | length)?;
        }
        self.touch(parent.at)?;
        self.key(at)
    }

    /// One more key has this security.
    fn share_security(&mut self, at: u32) -> Result<()> {
        self.record(at, b"sk")?;
        match self.field(at, COUNT)?.checked_add(1) {
            Some(count) => self.put_field(at, COUNT, count),
            None => Err(Error::corrupt(
                BASE + u64::from(at),
                "a security item with all the references there can be",
            )),
        }
    }

    /// One key less has this security; the last one takes it away.
    pub(crate) fn drop_security(&mut self, at: u32) -> Result<()> {
        let refuse = |what: &str| {
            Err(Error::corrupt(BASE + u64::from(at), format!("the security item at {at} {what}")))
        };
        self.record(at, b"sk")?;
        match self.field(at, COUNT)? {
            0 => return refuse("has no reference, and a key refers to it"),
            1 => {}
            count => return self.put_field(at, COUNT, count - 1),
        }
        let (next, last) = (self.field(at, FORWARD)?, self.field(at, BACK)?);
        self.record(next, b"sk")?;
        self.record(last, b"sk")?;
        if self.field(next, BACK)? != at || self.field(last, FORWARD)? != at {
            return refuse("is not where its neighbours say");
        }
        self.put_field(next, BACK, last)?;
        self.put_field(last, FORWARD, next)?;
        self.free(at)
    }

    pub(crate) fn put_class(&mut self, key: &Key, class: &[u8], length: u16) -> Result<()> {
        let (old, new) = (key.class.0, if class.is_empty() { NONE } else { self.store(class, key.at)? });
        self.put_field(key.at, CLASS, new)?;
        self.pages.put(key.at + LENGTH + CLASS_LENGTH, &length.to_le_bytes())?;
        if old != NONE {
            self.free(old)?;
        }
        self.touch(key.at)?;
        let parent = self.field(key.at, 16)?;
        // The root's parent has no meaning.
        if key.at == self.base.root || self.record(parent, b"nk").is_err() {
            return Ok(());
        }
        self.raise(parent, SUBKEY_CLASS_MOST, length.into())
    }

    /// Writes a value of a key: in place of the one that is there, or a new one.
    pub(crate) fn put_value(
        &mut self,
        key: &Key,
        name: &Name,
        there: Option<Value>,
        kind: Kind,
        data: &[u8],
    ) -> Result<()> {
        let size = data.len() as u32;
        let (old, reused) = match &there {
            Some(value) => (self.data_cells(value)?, self.fits(value, size)?),
            None => (Vec::new(), None),
        };
        let (size_field, at) = match reused {
            Some(at) => {
                self.pages.put(at + LENGTH, data)?;
                (size, at)
            }
            None => self.store_data(key.at, data)?,
        };
        match &there {
            Some(value) => {
                self.put_field(value.at, 4, size_field)?;
                self.put_field(value.at, 8, at)?;
                self.put_field(value.at, 12, kind.0)?;
                // Other flags, such as that of a tombstone, are of what was there.
                let flags = self.field(value.at, 16)? & 0xffff_0000
                    | u32::from(value::COMPRESSED) & self.field(value.at, 16)?;
                self.put_field(value.at, 16, flags)?;
                if reused.is_none() {
                    old.into_iter().try_for_each(|cell| self.free(cell))?;
                }
            }
            None => self.add_value(key, name, (size_field, at), kind)?,
        }
        self.raise(key.at, VALUE_NAME_MOST, 2 * name.units().len() as u32)?;
        self.raise(key.at, DATA_MOST, size)?;
        self.touch(key.at)
    }

    fn add_value(&mut self, key: &Key, name: &Name, (size, data): (u32, u32), kind: Kind) -> Result<()> {
        let (stored, compressed) = name.store();
        let mut record = vec![0; value::FIXED];
        put(&mut record, 0, b"vk");
        put(&mut record, 2, &(stored.len() as u16).to_le_bytes());
        put(&mut record, 4, &size.to_le_bytes());
        put(&mut record, 8, &data.to_le_bytes());
        put(&mut record, 12, &kind.0.to_le_bytes());
        put(&mut record, 16, &(if compressed { value::COMPRESSED } else { 0 }).to_le_bytes());
        record.extend(stored);
        let at = self.store(&record, key.at)?;
        let mut list = self.value_places(key)?;
        list.push(at);
        let mut bytes: Vec<u8> = list.iter().flat_map(|at| at.to_le_bytes()).collect();
        let place = if key.values == 0 {
            self.store(&bytes, key.at)?
        } else {
            if (self.cell_length(key.value_list)? as usize) < bytes.len() {
                bytes.resize(bytes.len() + bytes.len() / 2, 0);
            }
            self.store_again(key.value_list, &bytes)?
        };
        self.put_field(key.at, VALUE_LIST, place)?;
        self.put_field(key.at, VALUES, list.len() as u32)
    }

    /// The cell of a value's data, if other data fits in and that is not a waste.
    fn fits(&mut self, value: &Value, size: u32) -> Result<Option<u32>> {
        if value.size & RESIDENT != 0 || value.size == 0 || size <= 4 || size > PIECE || value.size > PIECE {
            return Ok(None);
        }
        let room = self.cell_length(value.data)?;
        Ok((room >= size && room <= 2 * size + 64).then_some(value.data))
    }

    /// Stores data: the fields "Data size" and "Data offset" of its value.
    fn store_data(&mut self, near: u32, data: &[u8]) -> Result<(u32, u32)> {
        let size = data.len() as u32;
        if size <= 4 {
            let mut resident = [0; 4];
            put(&mut resident, 0, data);
            return Ok((RESIDENT | size, word(&resident, 0)));
        }
        if size <= PIECE || self.base.minor < 4 {
            return Ok((size, self.store(data, near)?));
        }
        let mut list = Vec::new();
        for piece in data.chunks(PIECE as usize) {
            // Windows gives the last piece as much room as the others, and hivex misses one of 4 bytes without it.
            let mut piece = piece.to_vec();
            piece.resize(PIECE as usize, 0);
            list.extend(self.store(&piece, near)?.to_le_bytes());
        }
        let count = (list.len() / 4) as u16;
        let mut record = b"db".to_vec();
        record.extend(count.to_le_bytes());
        record.extend(self.store(&list, near)?.to_le_bytes());
        Ok((size, self.store(&record, near)?))
    }

    /// Every cell of a value's data.
    pub(crate) fn data_cells(&mut self, value: &Value) -> Result<Vec<u32>> {
        if value.size & RESIDENT != 0 || value.size == 0 {
            return Ok(Vec::new());
        }
        let mut cells = vec![value.data];
        if value.size > PIECE && self.base.minor >= 4 {
            let record = self.cell_head(value.data, 8)?;
            if record.starts_with(b"db") {
                let list = word(&record, 4);
                let pieces = self.cell(list)?;
                let count = value.size.div_ceil(PIECE) as usize;
                cells.push(list);
                cells.extend((0..count.min(pieces.len() / 4)).map(|number| word(&pieces, 4 * number)));
            }
        }
        Ok(cells)
    }

    /// Takes a value out of a key.
    pub(crate) fn drop_value(&mut self, key: &Key, value: &Value) -> Result<()> {
        let cells = self.data_cells(value)?;
        let mut list = self.value_places(key)?;
        list.retain(|at| *at != value.at);
        self.put_field(key.at, VALUES, list.len() as u32)?;
        if list.is_empty() {
            self.free(key.value_list)?;
            self.put_field(key.at, VALUE_LIST, NONE)?;
            self.put_field(key.at, VALUE_NAME_MOST, 0)?;
            self.put_field(key.at, DATA_MOST, 0)?;
        } else {
            let bytes: Vec<u8> = list.iter().flat_map(|at| at.to_le_bytes()).collect();
            self.pages.put(key.value_list + LENGTH, &bytes)?;
        }
        self.free(value.at)?;
        cells.into_iter().try_for_each(|cell| self.free(cell))?;
        self.touch(key.at)
    }

    /// Takes a key that is no longer needed out of its parent.
    pub(crate) fn unlist(&mut self, parent: &Key, key: &Key) -> Result<()> {
        let list = self.list_remove(parent, key.at)?;
        self.put_field(parent.at, LIST, list)?;
        self.put_field(parent.at, SUBKEYS, parent.subkeys - 1)?;
        if parent.subkeys == 1 {
            let flags = self.field(parent.at, SUBKEY_NAME_MOST)? & 0xffff_0000;
            self.put_field(parent.at, SUBKEY_NAME_MOST, flags)?;
            self.put_field(parent.at, SUBKEY_CLASS_MOST, 0)?;
        }
        self.touch(parent.at)
    }
}
