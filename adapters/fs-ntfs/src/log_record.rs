//! What the log's records do to file records.
//!
//! Source: Linux' `fs/ntfs3/fslog.c`; compared with the records that Windows Server 2003 to Windows 10 wrote.

use crate::attribute::{COMPRESSED, END, FILE_NAME, ROOT, SPARSE};
use crate::bytes::{align, byte_at, part, put, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use crate::index::ROOT_HEADER;
use crate::log_block::Node;
use crate::log_change::{Change, operation};
use crate::record::IN_USE;
use crate::runs::Runs;
use wherry_sdk::Result;

/// Bytes of the header of an attribute in the record, and of one in clusters.
const RESIDENT: usize = 0x18;
const STORED: usize = 0x40;
/// Where the header of an attribute in clusters has its total size, if it may have holes.
const TOTAL: usize = 0x48;

/// A file record that is changed, its update sequence resolved.
pub struct RecordTarget<'c, 'b> {
    pub change: &'c Change<'b>,
    /// to be done, or undone
    pub redo: bool,
    /// clusters of the volume
    pub clusters: u64,
    pub bytes: Vec<u8>,
}

impl RecordTarget<'_, '_> {
    fn wrong(&self, what: &str) -> wherry_sdk::Error {
        self.change.mismatch(what)
    }

    /// What is to be written.
    fn data(&self) -> Result<&[u8]> {
        self.change.bytes(self.redo).ok_or_else(|| self.wrong("has no content"))
    }

    fn used(&self) -> usize {
        u32_at(&self.bytes, 0x18) as usize
    }

    /// The length of the attribute at the record's offset; 0 where the end mark is there.
    fn attribute(&self) -> Result<usize> {
        let (mut at, to) = (usize::from(u16_at(&self.bytes, 0x14)), self.change.record_offset);
        loop {
            if at < 0x28 || at + 8 > self.used().min(self.bytes.len()) {
                return Err(self.wrong("is for an attribute beyond the others"));
            }
            let end = u32_at(&self.bytes, at) == END;
            let length = if end { 0 } else { u32_at(&self.bytes, at + 4) as usize };
            // Else places would wrap around where numbers have 32 bits, and the walk never end.
            if length > self.bytes.len() - at {
                return Err(self.wrong("is for an attribute that is not there"));
            }
            if at == to {
                return Ok(length);
            }
            if end || at > to || length < RESIDENT || length % 8 != 0 {
                return Err(self.wrong("is for an attribute that is not there"));
            }
            at += length;
        }
    }

    /// The same, of one that is no end mark and has all its bytes.
    fn whole_attribute(&self) -> Result<usize> {
        let length = self.attribute()?;
        let header = if byte_at(&self.bytes, self.change.record_offset + 8) == 0 { RESIDENT } else { STORED };
        match length < header || self.change.record_offset + length > self.used() {
            true => Err(self.wrong("is for an attribute that is none")),
            false => Ok(length),
        }
    }

    /// Makes `new` bytes of `old` ones at `at`; those that are new are zero.
    fn resize(&mut self, at: usize, old: usize, new: usize) -> Result<()> {
        let used = self.used();
        let rest = self.bytes.get(at + old..used).map(<[u8]>::to_vec);
        let rest = rest.ok_or_else(|| self.wrong("goes beyond what is used"))?;
        if at + new + rest.len() > self.bytes.len() {
            return Err(self.wrong("makes the file record too long"));
        }
        if let Some(place) = self.bytes.get_mut((at + old.min(new))..used.max(at + new)) {
            place.fill(0);
        }
        put(&mut self.bytes, at + new, &rest);
        put_u32(&mut self.bytes, 0x18, (at + new + rest.len()) as u32);
        Ok(())
    }

    fn links(&mut self, by: i32) {
        let links = i32::from(u16_at(&self.bytes, 0x12)) + by;
        put_u16(&mut self.bytes, 0x12, links.clamp(0, 0xffff) as u16);
    }

    /// Does what `code` means.
    pub fn apply(&mut self, code: u16) -> Result<()> {
        match code {
            operation::INITIALIZE_RECORD => self.initialize(),
            operation::FREE_RECORD => self.free(),
            operation::CREATE_ATTRIBUTE => self.create(),
            operation::DELETE_ATTRIBUTE => self.delete(),
            operation::UPDATE_RESIDENT => self.update(),
            operation::UPDATE_PAIRS => self.update_pairs(),
            operation::SET_SIZES => self.set_sizes(),
            operation::ZERO_RECORD_END => self.zero_end(),
            _ => self.index(code),
        }
    }

    fn initialize(&mut self) -> Result<()> {
        let (at, data) = (self.change.record_offset, self.data()?.to_vec());
        if at != 0 || data.len() < 0x18 || data.len() > self.bytes.len() || !data.starts_with(b"FILE") {
            return Err(self.wrong("does not begin a file record"));
        }
        put(&mut self.bytes, 0, &data);
        Ok(())
    }

    fn free(&mut self) -> Result<()> {
        let flags = u16_at(&self.bytes, 0x16) & !IN_USE;
        put_u16(&mut self.bytes, 0x16, flags);
        // 0 stands for no number.
        let sequence = u16_at(&self.bytes, 0x10).checked_add(1).unwrap_or(1);
        put_u16(&mut self.bytes, 0x10, sequence);
        Ok(())
    }

    fn create(&mut self) -> Result<()> {
        self.attribute()?;
        let (at, data) = (self.change.record_offset, self.data()?.to_vec());
        if data.len() < RESIDENT || data.len() % 8 != 0 || u32_at(&data, 4) as usize != data.len() {
            return Err(self.wrong("does not hold the whole attribute"));
        }
        self.resize(at, 0, data.len())?;
        put(&mut self.bytes, at, &data);
        let id = u16_at(&data, 0x0e);
        if u16_at(&self.bytes, 0x28) <= id {
            let next = id.checked_add(1).ok_or_else(|| self.wrong("has the last id"))?;
            put_u16(&mut self.bytes, 0x28, next);
        }
        if u32_at(&data, 0) == FILE_NAME {
            self.links(1);
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<()> {
        let (at, length) = (self.change.record_offset, self.whole_attribute()?);
        let attribute = part(&self.bytes, at, length);
        // What the other direction creates is what must be there.
        let other = self.change.bytes(!self.redo).unwrap_or_default();
        let head = |bytes: &[u8]| (part(bytes, 0, 10).to_vec(), u16_at(bytes, 0x0e));
        if !other.is_empty() && head(other) != head(attribute) {
            return Err(self.wrong("deletes another attribute than is there"));
        }
        let named = u32_at(attribute, 0) == FILE_NAME;
        self.resize(at, length, 0)?;
        if named {
            self.links(-1);
        }
        Ok(())
    }

    /// Changes a value in the record: in its place, or (the lengths differ) from there to its end.
    fn update(&mut self) -> Result<()> {
        let (at, length) = (self.change.record_offset, self.whole_attribute()?);
        let (from, count) = (self.change.attribute_offset, self.change.length(self.redo));
        let value = usize::from(u16_at(&self.bytes, at + 0x14));
        if byte_at(&self.bytes, at + 8) != 0 || from < value || value < RESIDENT {
            return Err(self.wrong("is for a value that is not in the record"));
        }
        if count == self.change.length(!self.redo) {
            if from + count > length {
                return Err(self.wrong("goes beyond its attribute"));
            }
            let data = self.data()?.to_vec();
            put(&mut self.bytes, at + from, &data);
            return Ok(());
        }
        let end = value + u32_at(&self.bytes, at + 0x10) as usize;
        if from + self.change.length(!self.redo) != end {
            return Err(self.wrong("is for a value of another length"));
        }
        // Windows writes no zeroes into its log: the length alone says that they are there.
        let data = self.change.bytes(self.redo).map_or_else(|| vec![0; count], <[u8]>::to_vec);
        self.resize(at, length, align(from + count))?;
        put_u32(&mut self.bytes, at + 4, align(from + count) as u32);
        put_u32(&mut self.bytes, at + 0x10, (from + count - value) as u32);
        put(&mut self.bytes, at + from, &data);
        if let Some(rest) = self.bytes.get_mut(at + from + count..at + align(from + count)) {
            rest.fill(0);
        }
        Ok(())
    }

    fn update_pairs(&mut self) -> Result<()> {
        let (at, length) = (self.change.record_offset, self.whole_attribute()?);
        let (from, data) = (self.change.attribute_offset, self.data()?.to_vec());
        let pairs = usize::from(u16_at(&self.bytes, at + 0x20));
        let new = align(from + data.len());
        if byte_at(&self.bytes, at + 8) == 0 || pairs < STORED || from < pairs || from > length {
            return Err(self.wrong("is for an attribute that has no clusters"));
        }
        self.resize(at, length, new)?;
        put_u32(&mut self.bytes, at + 4, new as u32);
        put(&mut self.bytes, at + from, &data);
        if let Some(rest) = self.bytes.get_mut(at + from + data.len()..at + new) {
            rest.fill(0);
        }
        let mut runs = Runs::default();
        runs.unpack(part(&self.bytes, at + pairs, new - pairs), self.clusters)
            .map_err(|_| self.wrong("leads to impossible clusters"))?;
        let first = u64_at(&self.bytes, at + 0x10);
        put_u64(&mut self.bytes, at + 0x18, first.wrapping_add(runs.end()).wrapping_sub(1));
        Ok(())
    }

    fn set_sizes(&mut self) -> Result<()> {
        let (at, _) = (self.change.record_offset, self.whole_attribute()?);
        let data = self.data()?.to_vec();
        if byte_at(&self.bytes, at + 8) == 0 || !matches!(data.len(), 0x18 | 0x20) {
            return Err(self.wrong("is for an attribute that has no clusters"));
        }
        // In the log the initialized size comes before the size.
        for (place, from) in [(0x28, 0), (0x38, 8), (0x30, 0x10)] {
            put_u64(&mut self.bytes, at + place, u64_at(&data, from));
        }
        let holes = u16_at(&self.bytes, at + 0x0c) & (COMPRESSED | SPARSE) != 0;
        if data.len() == 0x20 && holes && usize::from(u16_at(&self.bytes, at + 0x20)) >= TOTAL {
            put_u64(&mut self.bytes, at + 0x40, u64_at(&data, 0x18));
        }
        Ok(())
    }

    fn zero_end(&mut self) -> Result<()> {
        let (at, length) = (self.change.record_offset, self.change.length(self.redo));
        if at < self.used() || at + length != self.bytes.len() {
            return Err(self.wrong("clears what is in use"));
        }
        if let Some(rest) = self.bytes.get_mut(at..) {
            rest.fill(0);
        }
        Ok(())
    }

    /// Changes of the first node of an index.
    fn index(&mut self, code: u16) -> Result<()> {
        let (at, length) = (self.change.record_offset, self.whole_attribute()?);
        let value = usize::from(u16_at(&self.bytes, at + 0x14));
        let root = u32_at(&self.bytes, at) == ROOT && byte_at(&self.bytes, at + 8) == 0;
        if !root || value < RESIDENT || value + u32_at(&self.bytes, at + 0x10) as usize > length {
            return Err(self.wrong("is for an index that is none"));
        }
        let (change, redo) = (self.change, self.redo);
        let attribute = part(&self.bytes, at, length).to_vec();
        let mut node = Node { change, redo, bytes: attribute, header: value + ROOT_HEADER };
        match code {
            operation::ADD_ROOT_ENTRY => node.add()?,
            operation::DELETE_ROOT_ENTRY => node.delete()?,
            operation::SET_ROOT_CHILD => node.set_child()?,
            operation::UPDATE_ROOT_NAME => node.update_name()?,
            operation::UPDATE_ROOT_DATA => node.update_data()?,
            _ => return Err(self.wrong("is of an unknown operation")),
        }
        let new = node.bytes;
        let by = new.len() as i64 - length as i64;
        self.resize(at, length, new.len())?;
        put(&mut self.bytes, at, &new);
        if by != 0 {
            put_u32(&mut self.bytes, at + 4, new.len() as u32);
            let size = i64::from(u32_at(&self.bytes, at + 0x10)) + by;
            put_u32(&mut self.bytes, at + 0x10, size as u32);
            let room = i64::from(u32_at(&self.bytes, at + value + ROOT_HEADER + 8)) + by;
            put_u32(&mut self.bytes, at + value + ROOT_HEADER + 8, room as u32);
        }
        Ok(())
    }
}
