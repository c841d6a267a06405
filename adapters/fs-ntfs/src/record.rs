//! File records: the entries of the master file table.
//!
//! Source: the Linux-NTFS documentation, "File Record".

use crate::attribute::{END, Piece};
use crate::bytes::{align, put, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use crate::fixup;
use wherry_sdk::{Error, ErrorKind, Result};

/// The record is in use.
pub const IN_USE: u16 = 0x0001;
/// It has an index of names.
pub const DIRECTORY: u16 = 0x0002;
/// The part of a reference that is the record's number; the rest is how often the record was used.
pub const NUMBER: u64 = 0xffff_ffff_ffff;

/// A record number and its sequence number in one.
pub fn reference(number: u64, sequence: u16) -> u64 {
    number & NUMBER | u64::from(sequence) << 48
}

/// One record.
pub struct Record {
    pub number: u64,
    bytes: Vec<u8>,
}

impl Record {
    /// A record as it is on the volume.
    pub fn parse(number: u64, mut bytes: Vec<u8>) -> Result<Self> {
        let corrupt = |what: &str| {
            Err(Error::new(ErrorKind::Corrupt, format!("file record {number} {what}: run chkdsk")))
        };
        if !bytes.starts_with(b"FILE") {
            return corrupt("is none");
        }
        if !fixup::apply(&mut bytes) {
            return corrupt("was not written completely");
        }
        let first = usize::from(u16_at(&bytes, 0x14));
        if first < 0x28 || first % 8 != 0 || first > bytes.len() {
            return corrupt("has no place for attributes");
        }
        Ok(Self { number, bytes })
    }

    /// An empty record of `size` bytes; `version` 3.1 and later know their own number.
    pub fn empty(number: u64, size: usize, numbered: bool) -> Self {
        let mut record = Self { number, bytes: vec![0; size] };
        record.format(numbered);
        record.set_attributes(&[], 0);
        record
    }

    fn format(&mut self, numbered: bool) {
        let (array, size) = (if numbered { 0x30 } else { 0x2a }, self.bytes.len());
        put(&mut self.bytes, 0, b"FILE");
        put_u16(&mut self.bytes, 4, array as u16);
        put_u16(&mut self.bytes, 6, fixup::count(size) as u16);
        put_u16(&mut self.bytes, 0x14, align(array + fixup::count(size) * 2) as u16);
        put_u32(&mut self.bytes, 0x1c, size as u32);
        if numbered {
            put_u32(&mut self.bytes, 0x2c, self.number as u32);
        }
        put_u16(&mut self.bytes, 0x10, 1);
    }

    /// How often the record was used.
    pub fn sequence(&self) -> u16 {
        u16_at(&self.bytes, 0x10)
    }

    /// Names of the file.
    pub fn links(&self) -> u16 {
        u16_at(&self.bytes, 0x12)
    }

    /// `IN_USE`, `DIRECTORY` and others.
    pub fn flags(&self) -> u16 {
        u16_at(&self.bytes, 0x16)
    }

    /// The record that this one only continues; 0 if it stands for itself.
    pub fn base(&self) -> u64 {
        u64_at(&self.bytes, 0x20)
    }

    /// The number that its next attribute gets.
    pub fn next_id(&self) -> u16 {
        u16_at(&self.bytes, 0x28)
    }

    /// Changes what says how the record is used.
    pub fn set_state(&mut self, sequence: u16, links: u16, flags: u16, base: u64) {
        put_u16(&mut self.bytes, 0x10, sequence);
        put_u16(&mut self.bytes, 0x12, links);
        put_u16(&mut self.bytes, 0x16, flags);
        put_u64(&mut self.bytes, 0x20, base);
    }

    /// The pieces of attributes in it.
    pub fn pieces(&self) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut at = usize::from(u16_at(&self.bytes, 0x14));
        while at + 4 <= self.bytes.len() && u32_at(&self.bytes, at) != END {
            let length = u32_at(&self.bytes, at + 4) as usize;
            let bytes = at.checked_add(length).and_then(|end| self.bytes.get(at..end));
            let Some(bytes) = bytes.filter(|_| length >= 0x18 && length.is_multiple_of(8)) else {
                let message = format!("file record {} has an attribute of {length} bytes", self.number);
                return Err(Error::new(ErrorKind::Corrupt, format!("{message}: run chkdsk")));
            };
            pieces.push(Piece::parse(bytes).map_err(|e| e.within(&format!("file record {}", self.number)))?);
            at += length;
        }
        Ok(pieces)
    }

    /// Bytes for attributes.
    pub fn room(&self) -> usize {
        // Behind them stands the end mark, which takes 8 bytes.
        self.bytes.len().saturating_sub(usize::from(u16_at(&self.bytes, 0x14)) + 8)
    }

    /// Replaces all attributes by these bytes, in which ids are below `next`.
    pub fn set_attributes(&mut self, attributes: &[u8], next: u16) {
        let first = usize::from(u16_at(&self.bytes, 0x14));
        if let Some(rest) = self.bytes.get_mut(first..) {
            rest.fill(0);
        }
        put(&mut self.bytes, first, attributes);
        put_u32(&mut self.bytes, first + attributes.len(), END);
        put_u32(&mut self.bytes, 0x18, (first + attributes.len() + 8) as u32);
        put_u16(&mut self.bytes, 0x28, next);
    }

    /// The record as it goes to the volume, protected against being written in part.
    pub fn sealed(&mut self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        // The number is kept, so that the next time another one is taken.
        fixup::protect(&mut bytes);
        let array = usize::from(u16_at(&bytes, 4));
        put_u16(&mut self.bytes, array, u16_at(&bytes, array));
        bytes
    }
}
