//! Files as a whole: all attributes of the base record and of those that continue it, with their pieces joined.
//!
//! Source: the Linux-NTFS documentation, "$ATTRIBUTE_LIST".

use crate::attribute::{self, Attribute, Piece, Stored, Value};
use crate::bytes::{put_u32, put_u64, u16_at, u32_at, u64_at};
use crate::name::{self, FileName, Summary};
use crate::record::{DIRECTORY, IN_USE, NUMBER, Record, reference};
use crate::volume::Volume;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

/// Files that are kept in memory.
const FILES_MOST: usize = 8192;
/// NTFS' own limit for the list of a file's attributes, in bytes.
const LIST_MOST: u64 = 256 << 10;
/// Seconds between the beginnings of FILETIME (1601) and Unix.
const EPOCH: i64 = 11_644_473_600;

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    pub number: u64,
    pub sequence: u16,
    /// flags of the record
    pub flags: u16,
    /// all attributes but the list of them
    pub attributes: Vec<Attribute>,
    /// records that continue the first
    pub extensions: Vec<u64>,
    /// clusters of the list, if it has some
    pub list: Stored,
}

/// Seconds since 1970 of a FILETIME.
pub fn unix_time(filetime: u64) -> i64 {
    i64::try_from(filetime / 10_000_000).unwrap_or(i64::MAX) - EPOCH
}

/// The FILETIME of seconds since 1970.
pub fn filetime(unix: i64) -> u64 {
    u64::try_from(unix.saturating_add(EPOCH)).unwrap_or(0).saturating_mul(10_000_000)
}

fn corrupt(number: u64, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("file record {number} {what}: run chkdsk"))
}

impl File {
    /// Its reference.
    pub fn reference(&self) -> u64 {
        reference(self.number, self.sequence)
    }

    /// Whether it has an index of names.
    pub fn is_directory(&self) -> bool {
        self.flags & DIRECTORY != 0
    }

    fn index(&self, kind: u32, name: &[u16]) -> Option<usize> {
        self.attributes.iter().position(|one| one.kind == kind && one.name == name)
    }

    /// The attribute of that kind and name.
    pub fn get(&self, kind: u32, name: &[u16]) -> Option<&Attribute> {
        self.attributes.get(self.index(kind, name)?)
    }

    /// The same, for changing.
    pub fn get_mut(&mut self, kind: u32, name: &[u16]) -> Option<&mut Attribute> {
        let index = self.index(kind, name)?;
        self.attributes.get_mut(index)
    }

    /// The value of an attribute that must be in the record.
    pub fn value(&self, kind: u32, name: &[u16]) -> Result<&[u8]> {
        let bytes = self.get(kind, name).and_then(Attribute::bytes);
        bytes.ok_or_else(|| corrupt(self.number, &format!("has no attribute {kind:#x}")))
    }

    /// Adds an attribute at its place.
    pub fn add(&mut self, attribute: Attribute) {
        self.attributes.push(attribute);
    }

    /// Takes an attribute out.
    pub fn take(&mut self, kind: u32, name: &[u16]) -> Option<Attribute> {
        Some(self.attributes.remove(self.index(kind, name)?))
    }

    /// All names of the file.
    pub fn names(&self) -> Result<Vec<FileName>> {
        let values = self.attributes.iter().filter(|one| one.kind == attribute::FILE_NAME);
        values.map(|one| FileName::parse(one.bytes().unwrap_or_default())).collect()
    }

    /// Creation, content changed, anything changed, access.
    pub fn times(&self) -> [u64; 4] {
        let standard = self.value(attribute::STANDARD, &[]).unwrap_or_default();
        [0, 8, 16, 24].map(|at| u64_at(standard, at))
    }

    /// Sets all four times.
    pub fn set_times(&mut self, times: [u64; 4]) {
        if let Some(standard) = self.standard() {
            for (index, time) in times.iter().enumerate() {
                put_u64(standard, index * 8, *time);
            }
        }
    }

    /// FILE_ATTRIBUTE_* as they are stored.
    pub fn file_flags(&self) -> u32 {
        u32_at(self.value(attribute::STANDARD, &[]).unwrap_or_default(), 0x20)
    }

    /// Changes them.
    pub fn set_file_flags(&mut self, flags: u32) {
        if let Some(standard) = self.standard() {
            put_u32(standard, 0x20, flags);
        }
    }

    /// The number of its access rights in `$Secure`; 0 before version 3.
    pub fn security(&self) -> u32 {
        u32_at(self.value(attribute::STANDARD, &[]).unwrap_or_default(), 0x34)
    }

    /// `$STANDARD_INFORMATION` for changing.
    pub fn standard(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.get_mut(attribute::STANDARD, &[])?.value {
            Value::Resident { bytes, .. } => Some(bytes),
            Value::Stored(_) => None,
        }
    }

    /// What directories say of the file, for clusters of `cluster` bytes.
    pub fn summary(&self, cluster: u64) -> Summary {
        let data = self.get(attribute::DATA, &[]).filter(|_| !self.is_directory());
        let allocated = data.map_or(0, |data| match &data.value {
            Value::Resident { bytes, .. } => crate::bytes::align(bytes.len()) as u64,
            Value::Stored(stored) => stored.runs.allocated() * cluster,
        });
        let reparse = self.get(attribute::REPARSE, &[]).and_then(Attribute::bytes);
        let index = if self.is_directory() { name::INDEXED } else { 0 };
        Summary {
            times: self.times(),
            allocated,
            size: data.map_or(0, Attribute::size),
            flags: self.file_flags() | index,
            tag: reparse.map_or(0, |bytes| u32_at(bytes, 0)),
        }
    }
}

/// An entry of the list of attributes.
struct Entry {
    record: u64,
    id: u16,
}

fn list_entries(bytes: &[u8]) -> Vec<Entry> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while u32_at(bytes, at) != 0 && at + 0x1a <= bytes.len() {
        entries.push(Entry { record: u64_at(bytes, at + 0x10) & NUMBER, id: u16_at(bytes, at + 0x18) });
        let length = usize::from(u16_at(bytes, at + 4));
        if length < 0x1a {
            break;
        }
        at += length;
    }
    entries
}

/// Joins the pieces of each attribute.
fn join(pieces: Vec<Piece>, number: u64, clusters: u64) -> Result<Vec<Attribute>> {
    let mut whole: Vec<Attribute> = Vec::new();
    let mut parts: BTreeMap<(u32, Vec<u16>), Vec<Piece>> = BTreeMap::new();
    for piece in pieces {
        match &piece.attribute.value {
            Value::Resident { .. } => whole.push(piece.attribute),
            Value::Stored(_) => {
                let key = (piece.attribute.kind, piece.attribute.name.clone());
                parts.entry(key).or_default().push(piece);
            }
        }
    }
    for (_, mut pieces) in parts {
        pieces.sort_by_key(|piece| piece.first);
        let mut runs = crate::runs::Runs::default();
        for piece in &pieces {
            if piece.first != runs.end() {
                return Err(corrupt(number, "has an attribute with a piece missing"));
            }
            runs.unpack(&piece.pairs, clusters)?;
        }
        let Some(first) = pieces.into_iter().next() else { continue };
        let mut attribute = first.attribute;
        if let Value::Stored(stored) = &mut attribute.value {
            stored.runs = runs;
        }
        whole.push(attribute);
    }
    Ok(whole)
}

impl Volume<'_> {
    /// The file whose base record has that number.
    pub fn file(&mut self, number: u64) -> Result<Rc<File>> {
        if let Some(file) = self.files.get(&number) {
            return Ok(Rc::clone(file));
        }
        let record = self.record(number)?;
        if record.flags() & IN_USE == 0 {
            return Err(corrupt(number, "is named and not in use"));
        }
        let file = Rc::new(self.assemble(&record)?);
        self.keep_file(&file);
        Ok(file)
    }

    /// The file that a reference means, of which the record must not have been given to another one since.
    pub fn referred(&mut self, reference: u64) -> Result<Rc<File>> {
        let file = self.file(reference & NUMBER)?;
        let sequence = (reference >> 48) as u16;
        if sequence != 0 && sequence != file.sequence {
            return Err(corrupt(file.number, "belongs to another file than the directory says"));
        }
        Ok(file)
    }

    /// Remembers a file.
    pub fn keep_file(&mut self, file: &Rc<File>) {
        if self.files.len() >= FILES_MOST {
            self.files.clear();
        }
        self.files.insert(file.number, Rc::clone(file));
    }

    /// Puts a file together from its base record.
    pub fn assemble(&mut self, record: &Record) -> Result<File> {
        let number = record.number;
        if record.base() != 0 {
            return Err(corrupt(number, "continues another one"));
        }
        let mut pieces = record.pieces()?;
        let (mut extensions, mut list) = (BTreeSet::new(), Stored::default());
        if let Some(at) = pieces.iter().position(|piece| piece.attribute.kind == attribute::LIST) {
            let piece = pieces.remove(at);
            let bytes = self.list_bytes(piece, &mut list)?;
            let entries = list_entries(&bytes);
            let listed: BTreeSet<(u64, u16)> = entries.iter().map(|entry| (entry.record, entry.id)).collect();
            extensions.extend(entries.iter().map(|entry| entry.record).filter(|other| *other != number));
            for other in &extensions {
                let more = self.record(*other)?;
                if more.base() != reference(number, record.sequence()) || more.flags() & IN_USE == 0 {
                    return Err(corrupt(
                        number,
                        &format!("is continued by record {other}, which is another's"),
                    ));
                }
                pieces
                    .extend(more.pieces()?.into_iter().filter(|piece| listed.contains(&(*other, piece.id))));
            }
        }
        Ok(File {
            number,
            sequence: record.sequence(),
            flags: record.flags(),
            attributes: join(pieces, number, self.boot.clusters)?,
            extensions: extensions.into_iter().collect(),
            list,
        })
    }

    fn list_bytes(&mut self, piece: Piece, list: &mut Stored) -> Result<Vec<u8>> {
        let clusters = self.boot.clusters;
        match piece.attribute.value {
            Value::Resident { bytes, .. } => Ok(bytes),
            Value::Stored(mut stored) => {
                stored.runs.unpack(&piece.pairs, clusters)?;
                if stored.size > LIST_MOST {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        "a list of attributes is too long: run chkdsk",
                    ));
                }
                *list = stored;
                self.stored_bytes(list, 0, list.size as usize)
            }
        }
    }
}
