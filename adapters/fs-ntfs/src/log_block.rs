//! What the log's records do to the nodes of indexes: entries added, deleted and changed.

use crate::bytes::{part, put, put_u32, u16_at, u32_at, u64_at};
use crate::index::{LAST, SUB};
use crate::log_change::Change;
use wherry_sdk::Result;

/// Bytes of an entry's header, and of what a directory says of a file beside its name.
const ENTRY: usize = 0x10;
const SUMMARY: usize = 0x38;
/// Where that begins in an entry: behind the reference to the directory.
const SUMMARY_PLACE: usize = ENTRY + 8;

/// A node that is changed: a block, or the attribute with the first node.
pub struct Node<'c, 'b> {
    pub change: &'c Change<'b>,
    /// to be done, or undone
    pub redo: bool,
    pub bytes: Vec<u8>,
    /// where the header of the entries is
    pub header: usize,
}

impl Node<'_, '_> {
    fn wrong(&self, what: &str) -> wherry_sdk::Error {
        self.change.mismatch(what)
    }

    fn data(&self) -> Result<Vec<u8>> {
        let data = self.change.bytes(self.redo);
        data.map(<[u8]>::to_vec).ok_or_else(|| self.wrong("has no content"))
    }

    /// Where the entries end.
    fn end(&self) -> usize {
        self.header.saturating_add(u32_at(&self.bytes, self.header + 4) as usize)
    }

    fn set_end(&mut self, end: usize) {
        put_u32(&mut self.bytes, self.header + 4, (end - self.header) as u32);
    }

    /// The length of the entry at the attribute's offset, and its flags.
    fn entry(&self) -> Result<(usize, u16)> {
        let (mut at, to) =
            (self.header + u32_at(&self.bytes, self.header) as usize, self.change.attribute_offset);
        let end = self.end();
        loop {
            let (length, flags) = (usize::from(u16_at(&self.bytes, at + 8)), u16_at(&self.bytes, at + 12));
            let child = if flags & SUB != 0 { 8 } else { 0 };
            if length < ENTRY + child || length % 8 != 0 || at + length > end.min(self.bytes.len()) {
                return Err(self.wrong("is for an index that is damaged"));
            }
            if at == to {
                return Ok((length, flags));
            }
            if at > to || flags & LAST != 0 {
                return Err(self.wrong("is for an entry that is not there"));
            }
            at += length;
        }
    }

    /// Puts an entry before the one that is there.
    pub fn add(&mut self) -> Result<()> {
        self.entry()?;
        let (at, entry) = (self.change.attribute_offset, self.data()?);
        if entry.len() < ENTRY || entry.len() % 8 != 0 || usize::from(u16_at(&entry, 8)) != entry.len() {
            return Err(self.wrong("does not hold the whole entry"));
        }
        let end = self.end() + entry.len();
        self.bytes.splice(at..at, entry);
        self.set_end(end);
        Ok(())
    }

    /// Takes the entry out that is there.
    pub fn delete(&mut self) -> Result<()> {
        let (at, (length, flags)) = (self.change.attribute_offset, self.entry()?);
        let other = self.change.bytes(!self.redo).unwrap_or_default();
        let same = || {
            let key = usize::from(u16_at(other, 10));
            let entry = part(&self.bytes, at, length);
            // What it says of the file may be newer.
            let head = if key < SUMMARY + 8 { key } else { 8 };
            let (rest, key) = (ENTRY + key.min(SUMMARY + 8), ENTRY + key);
            other.len() == length
                && part(other, 8, ENTRY - 8 + head) == part(entry, 8, ENTRY - 8 + head)
                && other.get(rest..key) == entry.get(rest..key)
        };
        if flags & LAST != 0 || (!other.is_empty() && !same()) {
            return Err(self.wrong("deletes another entry than is there"));
        }
        let end = self.end() - length;
        self.bytes.drain(at..at + length);
        self.set_end(end);
        Ok(())
    }

    /// Sets the block below the entry.
    pub fn set_child(&mut self) -> Result<()> {
        let (length, flags) = self.entry()?;
        let data = self.data()?;
        if flags & SUB == 0 || data.len() != 8 {
            return Err(self.wrong("is for an entry without a node below"));
        }
        put(&mut self.bytes, self.change.attribute_offset + length - 8, &data);
        Ok(())
    }

    /// Changes times and sizes of the file that the entry names.
    pub fn update_name(&mut self) -> Result<()> {
        let (length, flags) = self.entry()?;
        let data = self.data()?;
        if flags & LAST != 0 || data.len() != SUMMARY || length < SUMMARY_PLACE + SUMMARY + 2 {
            return Err(self.wrong("is for an entry without a name"));
        }
        put(&mut self.bytes, self.change.attribute_offset + SUMMARY_PLACE, &data);
        Ok(())
    }

    /// Changes the value of an entry that is no name.
    pub fn update_data(&mut self) -> Result<()> {
        let (at, (length, flags)) = (self.change.attribute_offset, self.entry()?);
        let data = self.data()?;
        let (place, size) = (usize::from(u16_at(&self.bytes, at)), usize::from(u16_at(&self.bytes, at + 2)));
        if flags & LAST != 0 || place < ENTRY || data.len() > size || place + size > length {
            return Err(self.wrong("is for an entry without a value"));
        }
        put(&mut self.bytes, at + place, &data);
        Ok(())
    }

    /// Replaces all entries from one on.
    pub fn write_end(&mut self) -> Result<()> {
        self.entry()?;
        let (at, data) = (self.change.attribute_offset, self.data()?);
        if at + data.len() > self.bytes.len() {
            return Err(self.wrong("makes the index block too long"));
        }
        put(&mut self.bytes, at, &data);
        self.set_end(at + data.len());
        Ok(())
    }
}

/// Whether these bytes begin an index block whose number is told in clusters or sectors, and hold all of its entries.
pub fn is_block(bytes: &[u8]) -> bool {
    let end = 0x18u64 + u64::from(u32_at(bytes, 0x1c));
    bytes.starts_with(b"INDX") && end <= bytes.len() as u64 && u64_at(bytes, 0x10) < 1 << 48
}
