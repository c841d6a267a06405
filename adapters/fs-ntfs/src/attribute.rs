//! Attributes: everything a file has is one, its content included.
//!
//! Source: the Linux-NTFS documentation, "Attribute Header" and the pages of the attributes.

use crate::bytes::{
    align, byte_at, part, put, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at, unit_bytes, units,
};
use crate::runs::Runs;
use wherry_sdk::{Error, ErrorKind, Result};

/// Times, flags, security id.
pub const STANDARD: u32 = 0x10;
/// In which records the other attributes are.
pub const LIST: u32 = 0x20;
/// A name in a directory.
pub const FILE_NAME: u32 = 0x30;
/// A number that follows the file wherever it goes.
pub const OBJECT_ID: u32 = 0x40;
/// Who may do what, before version 3.
pub const SECURITY: u32 = 0x50;
/// The volume's label.
pub const VOLUME_NAME: u32 = 0x60;
/// The volume's version and state.
pub const VOLUME: u32 = 0x70;
/// Content; with a name, a stream.
pub const DATA: u32 = 0x80;
/// The first node of an index.
pub const ROOT: u32 = 0x90;
/// All other nodes of an index.
pub const ALLOCATION: u32 = 0xa0;
/// Which nodes or records are in use.
pub const BITMAP: u32 = 0xb0;
/// What another file system driver is to do with the file.
pub const REPARSE: u32 = 0xc0;
/// Ends the attributes of a record.
pub const END: u32 = 0xffff_ffff;

/// Packed by LZNT1.
pub const COMPRESSED: u16 = 0x0001;
/// Encrypted by EFS.
pub const ENCRYPTED: u16 = 0x4000;
/// May have holes.
pub const SPARSE: u16 = 0x8000;

/// Content that has clusters of its own.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// where it is
    pub runs: Runs,
    /// bytes
    pub size: u64,
    /// bytes that were ever written; those behind read as zeroes
    pub initialized: u64,
    /// a compression unit has two to this power clusters; 0 for none
    pub unit: u8,
}

/// Where an attribute's content is.
#[derive(Clone, Debug)]
pub enum Value {
    /// in the record; `indexed`: it is a key of an index as well
    Resident { bytes: Vec<u8>, indexed: u8 },
    /// in clusters
    Stored(Stored),
}

/// An attribute, all its pieces joined.
#[derive(Clone, Debug)]
pub struct Attribute {
    pub kind: u32,
    pub name: Vec<u16>,
    pub flags: u16,
    pub value: Value,
}

/// One piece, as a record holds it.
pub struct Piece {
    pub attribute: Attribute,
    /// its number in the record
    pub id: u16,
    /// the attribute's cluster where it begins
    pub first: u64,
    /// mapping pairs, of content in clusters
    pub pairs: Vec<u8>,
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("an attribute {what}: run chkdsk"))
}

impl Piece {
    /// Reads the piece that `bytes` are, header included.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let kind = u32_at(bytes, 0);
        let name_length = usize::from(byte_at(bytes, 9)) * 2;
        let name = part(bytes, usize::from(u16_at(bytes, 0x0a)), name_length);
        if name.len() != name_length {
            return Err(corrupt("has a name beyond its end"));
        }
        let (flags, id) = (u16_at(bytes, 0x0c), u16_at(bytes, 0x0e));
        let attribute = |value| Attribute { kind, name: units(name), flags, value };
        if byte_at(bytes, 8) == 0 {
            let (length, at) = (u32_at(bytes, 0x10) as usize, usize::from(u16_at(bytes, 0x14)));
            let value = part(bytes, at, length);
            if value.len() != length {
                return Err(corrupt("has a value beyond its end"));
            }
            let value = Value::Resident { bytes: value.to_vec(), indexed: byte_at(bytes, 0x16) };
            return Ok(Self { attribute: attribute(value), id, first: 0, pairs: Vec::new() });
        }
        let (size, initialized) = (u64_at(bytes, 0x30), u64_at(bytes, 0x38));
        let unit = byte_at(bytes, 0x22);
        if unit > 6 || size > i64::MAX as u64 {
            return Err(corrupt("has an impossible size"));
        }
        let stored = Stored { runs: Runs::default(), size, initialized: initialized.min(size), unit };
        let pairs = bytes.get(usize::from(u16_at(bytes, 0x20))..).unwrap_or_default().to_vec();
        Ok(Self { attribute: attribute(Value::Stored(stored)), id, first: u64_at(bytes, 0x10), pairs })
    }
}

impl Attribute {
    /// An attribute in the record.
    pub fn resident(kind: u32, name: &[u16], bytes: Vec<u8>) -> Self {
        let value = Value::Resident { bytes, indexed: u8::from(kind == FILE_NAME) };
        Self { kind, name: name.to_vec(), flags: 0, value }
    }

    /// An attribute in clusters.
    pub fn stored(kind: u32, name: &[u16], stored: Stored) -> Self {
        Self { kind, name: name.to_vec(), flags: 0, value: Value::Stored(stored) }
    }

    /// Bytes of content.
    pub fn size(&self) -> u64 {
        match &self.value {
            Value::Resident { bytes, .. } => bytes.len() as u64,
            Value::Stored(stored) => stored.size,
        }
    }

    /// Its bytes, if they are in the record.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Value::Resident { bytes, .. } => Some(bytes),
            Value::Stored(_) => None,
        }
    }

    /// The clusters, if it has some.
    pub fn clusters(&self) -> Option<&Stored> {
        match &self.value {
            Value::Resident { .. } => None,
            Value::Stored(stored) => Some(stored),
        }
    }

    fn may_have_holes(&self) -> bool {
        self.flags & (COMPRESSED | SPARSE) != 0
    }

    /// Bytes of the header in front of the name.
    fn header(&self, first: u64) -> usize {
        match &self.value {
            Value::Resident { .. } => 0x18,
            Value::Stored(_) if first == 0 && self.may_have_holes() => 0x48,
            Value::Stored(_) => 0x40,
        }
    }

    /// Bytes in front of the value or the mapping pairs.
    pub fn overhead(&self, first: u64) -> usize {
        align(self.header(first) + self.name.len() * 2)
    }

    /// Bytes of the attribute in a record, if it is kept whole.
    pub fn length(&self) -> usize {
        match &self.value {
            Value::Resident { bytes, .. } => align(self.overhead(0) + bytes.len()),
            Value::Stored(stored) => align(self.overhead(0) + stored.runs.pack(0, usize::MAX).0.len()),
        }
    }

    fn start(&self, first: u64, id: u16) -> Vec<u8> {
        let mut bytes = vec![0; self.overhead(first)];
        let header = self.header(first);
        put_u32(&mut bytes, 0, self.kind);
        put(&mut bytes, 9, &[self.name.len() as u8]);
        put_u16(&mut bytes, 0x0a, header as u16);
        put_u16(&mut bytes, 0x0c, self.flags);
        put_u16(&mut bytes, 0x0e, id);
        put(&mut bytes, header, &unit_bytes(&self.name));
        bytes
    }

    /// The piece from cluster `first` on in at most `most` bytes, as number `id` of its record, for clusters of
    /// `cluster` bytes; returns it with the cluster where the next piece begins. None if nothing fits.
    pub fn piece(&self, first: u64, id: u16, most: usize, cluster: u64) -> Option<(Vec<u8>, u64)> {
        let mut bytes = self.start(first, id);
        let overhead = bytes.len();
        let next = match &self.value {
            Value::Resident { bytes: value, indexed } => {
                put_u32(&mut bytes, 0x10, value.len() as u32);
                put_u16(&mut bytes, 0x14, overhead as u16);
                put(&mut bytes, 0x16, &[*indexed]);
                bytes.extend_from_slice(value);
                0
            }
            Value::Stored(stored) => {
                let (pairs, next) = stored.runs.pack(first, most.checked_sub(overhead)?);
                if next == first && stored.runs.end() > first {
                    return None;
                }
                self.put_sizes(&mut bytes, stored, first, next, cluster);
                bytes.extend_from_slice(&pairs);
                next
            }
        };
        bytes.resize(align(bytes.len()), 0);
        let length = bytes.len();
        put_u32(&mut bytes, 4, length as u32);
        (length <= most).then_some((bytes, next))
    }

    fn put_sizes(&self, bytes: &mut [u8], stored: &Stored, first: u64, next: u64, cluster: u64) {
        put(bytes, 8, &[1]);
        put_u64(bytes, 0x10, first);
        put_u64(bytes, 0x18, next.wrapping_sub(1));
        put_u16(bytes, 0x20, bytes.len() as u16);
        if first > 0 {
            return;
        }
        put(bytes, 0x22, &[stored.unit]);
        put_u64(bytes, 0x28, stored.runs.end() * cluster);
        put_u64(bytes, 0x30, stored.size);
        put_u64(bytes, 0x38, stored.initialized);
        if self.may_have_holes() {
            put_u64(bytes, 0x40, stored.runs.allocated() * cluster);
        }
    }
}
