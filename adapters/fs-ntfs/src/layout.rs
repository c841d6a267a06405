//! Files into records: what fits goes into the base record; else large values get clusters, and then further records
//! and a list of all attributes.
//!
//! Source: the Linux-NTFS documentation, "$ATTRIBUTE_LIST".

use crate::attribute::{self, Attribute, Stored, Value};
use crate::bytes::{align, put, put_u16, put_u32, put_u64, unit_bytes};
use crate::file::File;
use crate::record::{IN_USE, Record, reference};
use crate::volume::{MFT, Volume};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes of a list of attributes in clusters: header and a few runs.
const LIST_OUTSIDE: usize = 0x58;
/// A list up to this many bytes may stay in the record.
const LIST_INSIDE: usize = 0x180;
/// A value that is shorter gains little by clusters of its own.
const SPILL_LEAST: usize = 0x60;

/// A record in the making.
struct Bin {
    /// kind and bytes of each piece
    pieces: Vec<(u32, Vec<u8>)>,
    used: usize,
    /// bytes
    room: usize,
}

impl Bin {
    fn new(room: usize) -> Self {
        Self { pieces: Vec::new(), used: 0, room }
    }

    fn next_id(&self) -> u16 {
        self.pieces.len() as u16
    }

    fn add(&mut self, kind: u32, bytes: Vec<u8>) {
        self.used += bytes.len();
        self.pieces.push((kind, bytes));
    }

    fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|(_, bytes)| bytes).copied().collect()
    }
}

/// A line of the list of attributes; `bin` is the record's place in the plan.
struct Line {
    kind: u32,
    name: Vec<u16>,
    first: u64,
    bin: usize,
    id: u16,
}

fn line_length(name: &[u16]) -> usize {
    align(0x1a + name.len() * 2)
}

/// Whether NTFS allows clusters for such a value.
fn may_spill(attribute: &Attribute) -> bool {
    let kinds = [attribute::SECURITY, attribute::DATA, attribute::BITMAP, attribute::REPARSE, 0xe0, 0x100];
    kinds.contains(&attribute.kind) && attribute.bytes().is_some_and(|bytes| bytes.len() > SPILL_LEAST)
}

impl Volume<'_> {
    /// Bytes for attributes in a record.
    pub fn record_room(&self) -> usize {
        Record::empty(0, self.boot.record, true).room()
    }

    /// Writes a file's records.
    pub fn store(&mut self, file: &mut File) -> Result<()> {
        let upcase = &self.upcase;
        file.attributes
            .sort_by(|one, two| one.kind.cmp(&two.kind).then_with(|| upcase.collate(&one.name, &two.name)));
        let mut record = self.record(file.number)?;
        let room = record.room();
        while file.attributes.iter().map(Attribute::length).sum::<usize>() > room {
            let large = file.attributes.iter_mut().filter(|one| may_spill(one));
            let Some(largest) = large.max_by_key(|one| one.size()) else { break };
            self.spill(largest)?;
        }
        if file.number == MFT
            && let Some(data) = file.get(attribute::DATA, &[]).and_then(Attribute::clusters)
        {
            self.mft = data.clone();
        }
        let names = file.attributes.iter().filter(|one| one.kind == attribute::FILE_NAME).count();
        record.set_state(file.sequence, names as u16, file.flags, 0);
        if file.attributes.iter().map(Attribute::length).sum::<usize>() <= room {
            self.store_alone(file, &mut record)?;
        } else {
            self.store_many(file, &mut record)?;
        }
        self.keep_file(&Rc::new(file.clone()));
        Ok(())
    }

    /// Moves a value from the record into clusters.
    pub fn spill(&mut self, attribute: &mut Attribute) -> Result<()> {
        let Some(bytes) = attribute.bytes() else { return Ok(()) };
        let mut padded = bytes.to_vec();
        let size = padded.len() as u64;
        let clusters = size.div_ceil(self.boot.cluster);
        padded.resize((clusters * self.boot.cluster) as usize, 0);
        let mut stored = Stored { size, initialized: size, ..Stored::default() };
        self.extend(&mut stored, clusters)?;
        self.write_stored(&stored, 0, &padded)?;
        attribute.value = Value::Stored(stored);
        // A compressed file is packed only when Windows writes it again.
        attribute.flags = 0;
        Ok(())
    }

    fn store_alone(&mut self, file: &mut File, record: &mut Record) -> Result<()> {
        let mut bin = Bin::new(record.room());
        for attribute in &file.attributes {
            let (bytes, _) = self.piece(attribute, 0, &bin).ok_or_else(too_long)?;
            bin.add(attribute.kind, bytes);
        }
        record.set_attributes(&bin.bytes(), bin.next_id());
        self.write_record(record)?;
        for number in std::mem::take(&mut file.extensions) {
            self.release_record(number)?;
        }
        let gone = file.list.runs.cut(0);
        file.list = Stored::default();
        self.release(&gone)
    }

    fn piece(&self, attribute: &Attribute, first: u64, bin: &Bin) -> Option<(Vec<u8>, u64)> {
        attribute.piece(first, bin.next_id(), bin.room.checked_sub(bin.used)?, self.boot.cluster)
    }

    /// Divides the attributes among records: the base record first, in which `reserve` bytes stay free.
    fn plan(&self, file: &File, room: usize, reserve: usize) -> Result<(Vec<Bin>, Vec<Line>)> {
        let (mut bins, mut lines) = (vec![Bin::new(room.saturating_sub(reserve))], Vec::new());
        for attribute in &file.attributes {
            let end = attribute.clusters().map_or(0, |stored| stored.runs.end());
            let mut first = 0;
            loop {
                let number = bins.len() - 1;
                let bin = bins.last_mut().ok_or_else(too_long)?;
                match self.piece(attribute, first, bin) {
                    Some((bytes, next)) => {
                        let (kind, name, id) = (attribute.kind, attribute.name.clone(), bin.next_id());
                        bin.add(kind, bytes);
                        lines.push(Line { kind, name, first, bin: number, id });
                        first = next;
                        if next >= end {
                            break;
                        }
                    }
                    None if bin.pieces.is_empty() || attribute.kind == attribute::STANDARD => {
                        return Err(too_long());
                    }
                    None => bins.push(Bin::new(self.record_room())),
                }
            }
        }
        Ok((bins, lines))
    }

    fn store_many(&mut self, file: &mut File, record: &mut Record) -> Result<()> {
        let lines: usize = file.attributes.iter().map(|one| line_length(&one.name)).sum();
        let inside = 0x18 + lines;
        let reserve = if inside <= LIST_INSIDE { inside.max(LIST_OUTSIDE) } else { LIST_OUTSIDE };
        let (mut bins, lines) = self.plan(file, record.room(), reserve)?;
        let mut references = vec![file.reference()];
        let mut old = std::mem::take(&mut file.extensions).into_iter();
        for bin in bins.iter().skip(1) {
            let (number, sequence) = match old.next() {
                Some(number) => (number, self.record(number)?.sequence()),
                None => self.allocate_record(file.number == MFT)?,
            };
            file.extensions.push(number);
            references.push(reference(number, sequence));
            let mut more = self.record(number)?;
            more.set_state(sequence, 0, IN_USE, file.reference());
            if bin.used > more.room() {
                return Err(too_long());
            }
            more.set_attributes(&bin.bytes(), bin.next_id());
            self.write_record(&mut more)?;
        }
        if let Some(base) = bins.first_mut() {
            base.room = record.room();
            let list = self.list_attribute(file, &lines, &references, base.room - base.used)?;
            let (bytes, _) = self.piece(&list, 0, base).ok_or_else(too_long)?;
            let id = base.next_id();
            base.add(attribute::LIST, bytes);
            base.pieces.sort_by_key(|(kind, _)| *kind);
            record.set_attributes(&base.bytes(), id + 1);
        }
        self.write_record(record)?;
        for number in old {
            self.release_record(number)?;
        }
        Ok(())
    }

    /// The list of attributes, in the record if it fits into `most` bytes there.
    fn list_attribute(
        &mut self,
        file: &mut File,
        lines: &[Line],
        references: &[u64],
        most: usize,
    ) -> Result<Attribute> {
        let mut bytes = Vec::new();
        for line in lines {
            let mut entry = vec![0; line_length(&line.name)];
            put_u32(&mut entry, 0, line.kind);
            let length = entry.len() as u16;
            put_u16(&mut entry, 4, length);
            put(&mut entry, 6, &[line.name.len() as u8, 0x1a]);
            put_u64(&mut entry, 8, line.first);
            put_u64(&mut entry, 0x10, references.get(line.bin).copied().ok_or_else(too_long)?);
            put_u16(&mut entry, 0x18, line.id);
            put(&mut entry, 0x1a, &unit_bytes(&line.name));
            bytes.extend(entry);
        }
        if bytes.len() > 256 << 10 {
            return Err(too_long());
        }
        let mut list = std::mem::take(&mut file.list);
        let inside = Attribute::resident(attribute::LIST, &[], bytes);
        if inside.length() <= most {
            self.release(&list.runs.cut(0))?;
            return Ok(inside);
        }
        let clusters = inside.size().div_ceil(self.boot.cluster);
        let mut padded = inside.bytes().unwrap_or_default().to_vec();
        padded.resize((clusters * self.boot.cluster) as usize, 0);
        if list.runs.end() < clusters {
            self.release(&list.runs.cut(0))?;
            self.extend(&mut list, clusters)?;
        }
        let gone = list.runs.cut(clusters);
        self.release(&gone)?;
        (list.size, list.initialized) = (inside.size(), inside.size());
        self.write_stored(&list, 0, &padded)?;
        file.list = list.clone();
        Ok(Attribute::stored(attribute::LIST, &[], list))
    }
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::NoSpace,
        "a file has more attributes than its records can hold: defragment it in the guest",
    )
}
