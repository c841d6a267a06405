//! The headers of a PE file, as far as its sections need them (Microsoft PE format, "COFF File Header", "Optional Header",
//! "Section Table", "Attribute Certificate Table"; all numbers little-endian).
//!
//! ```text
//! +60  u32 where "PE\0\0" is
//! PE:  +6 u16 sections  +12 u32 place, +16 u32 number of symbols, for debuggers only  +20 u16 length of the optional header  +24 optional header
//! opt: +0 u16 0x20b  +32 u32 alignment in memory  +36 u32 alignment in the file  +56 u32 bytes in memory
//!      +108 u32 directories  +112 directories of { u32 place, u32 length }; number 4 is the signatures
//! section, 40 bytes: name[8], u32 bytes, u32 address, u32 bytes in the file, u32 place in the file, ..., u32 flags
//! ```

use wherry_sdk::{Patch, Result, Tree};

/// More sections than any image has.
const SECTIONS: u16 = 96;
const HEADER: usize = 40;
/// Bytes of an optional header of 64 bits up to its directories' count, and more than any has.
const OPTIONAL: std::ops::RangeInclusive<u16> = 112..=1024;
/// The largest sensible alignment in the file.
const ALIGNMENT_MOST: u32 = 1 << 16;

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_le_bytes(*two))
}

/// A section, by its header.
#[derive(Clone, Debug)]
pub struct Section {
    header: [u8; HEADER],
}

impl Section {
    fn field(&self, at: usize) -> u32 {
        number(&self.header, at).unwrap_or_default()
    }

    fn set(&mut self, at: usize, value: u32) {
        if let Some(bytes) = self.header.get_mut(at..at + 4) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// `.initrd`, without what fills it up.
    pub fn name(&self) -> &[u8] {
        let (name, _) = self.header.split_at(8);
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Where its bytes are in the file.
    pub fn place(&self) -> u64 {
        u64::from(self.field(20))
    }

    /// Its bytes, without what pads them in the file.
    pub fn length(&self) -> u64 {
        u64::from(self.field(8).min(self.field(16)))
    }

    fn raw_end(&self) -> u64 {
        self.place() + u64::from(self.field(16))
    }

    fn address(&self) -> u64 {
        u64::from(self.field(12))
    }
}

/// A PE file's headers.
#[derive(Debug, Default)]
pub struct Executable {
    /// where the number and place of symbols are
    symbols: u64,
    symbol_table: u64,
    optional: u64,
    table: u64,
    /// in the order of the file
    pub sections: Vec<Section>,
    file_alignment: u32,
    memory_alignment: u32,
    size: u32,
    /// It carries signatures.
    pub signed: bool,
}

/// What has to be done to a file so that a section has more bytes.
pub struct Growth {
    /// The section's bytes are copied from and to here first; zeros fill the file up to the new place.
    pub copied: Option<(u64, u64)>,
    /// Where the new bytes go.
    pub place: u64,
    /// Length of the file at the end, which zeros fill up.
    pub end: u64,
    /// Changes of the headers.
    pub headers: Vec<Patch>,
}

impl Executable {
    /// The headers at the start of a file; none if it is no PE file of 64 bits.
    pub fn read(guest: &dyn Tree, path: &str) -> Result<Option<Self>> {
        let head = guest.read(path, 0, 64)?;
        let Some(at) = number(&head, 60).map(u64::from) else { return Ok(None) };
        let header = guest.read(path, at, 24)?;
        let (Some(count), Some(length)) = (short(&header, 6), short(&header, 20)) else { return Ok(None) };
        if !header.starts_with(b"PE\0\0") {
            return Ok(None);
        }
        let optional = guest.read(path, at + 24, u32::from(length.min(*OPTIONAL.end())))?;
        let table = at + 24 + u64::from(length);
        let headers = guest.read(path, table, u32::from(count.min(SECTIONS)) * HEADER as u32)?;
        let sections = headers
            .chunks_exact(HEADER)
            .filter_map(|header| Some(Section { header: *header.first_chunk()? }));
        let field = |place| number(&optional, place).unwrap_or_default();
        let wide = short(&optional, 0) == Some(0x20b) && OPTIONAL.contains(&length);
        Ok(Some(Self {
            symbols: at + 12,
            symbol_table: number(&header, 12).map_or(0, u64::from),
            optional: at + 24,
            table,
            sections: sections.collect(),
            memory_alignment: field(32),
            file_alignment: field(36),
            size: if wide { field(56) } else { 0 },
            signed: field(108) > 4 && field(148) != 0,
        }))
    }

    /// The first section of this name.
    pub fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|section| section.name() == name)
    }

    /// How a section can hold `more` bytes behind its own: where it is, if nothing is behind it in file and memory, or else
    /// behind everything. None where the headers do not allow it.
    pub fn grow(&self, name: &[u8], more: u64, file: u64) -> Option<Growth> {
        let index = self.sections.iter().position(|section| section.name() == name)?;
        let mut section = self.sections.get(index)?.clone();
        let file_alignment = self.file_alignment;
        let good =
            |alignment: u32, most: u32| alignment.is_power_of_two() && (512..=most).contains(&alignment);
        if self.size == 0 || !good(file_alignment, ALIGNMENT_MOST) || !good(self.memory_alignment, 1 << 21) {
            return None;
        }
        let aligned = |value: u64, to: u32| value.checked_next_multiple_of(u64::from(to));
        let (old, new) = (section.length(), section.length().checked_add(more)?);
        // symbols, which only debuggers read, may be overwritten
        let raw_end = aligned(section.raw_end(), file_alignment)?;
        let symbols = self.symbol_table == raw_end;
        let before =
            |other: &Section| other.address() <= section.address() && other.raw_end() <= section.raw_end();
        let last = self.sections.iter().all(before) && (file <= raw_end || symbols);
        let mut sections = self.sections.clone();
        let copied = if last {
            None
        } else {
            // with several profiles the order of sections has a meaning
            if self.section(b".profile").is_some() {
                return None;
            }
            let (from, place) = (section.place(), aligned(file, file_alignment)?);
            section.set(20, u32::try_from(place).ok()?);
            section.set(12, u32::try_from(aligned(u64::from(self.size), self.memory_alignment)?).ok()?);
            sections.remove(index);
            Some((from, place))
        };
        let raw = aligned(new, file_alignment)?;
        section.set(8, u32::try_from(new).ok()?);
        section.set(16, u32::try_from(raw).ok()?);
        let size = aligned(section.address().checked_add(new)?, self.memory_alignment)?;
        let (place, end) = (section.place().checked_add(old)?, section.place().checked_add(raw)?);
        // what the headers promise has to be in the file
        let source = copied.map_or(section.place(), |(from, _)| from);
        if source.checked_add(old)? > file {
            return None;
        }
        u32::try_from(end).ok()?;
        if last {
            *sections.get_mut(index)? = section;
        } else {
            sections.push(section);
        }
        let table = sections.iter().flat_map(|section| section.header).collect();
        let size =
            Patch { offset: self.optional + 56, bytes: u32::try_from(size).ok()?.to_le_bytes().to_vec() };
        let mut headers = vec![size, Patch { offset: self.table, bytes: table }];
        if last && symbols {
            headers.push(Patch { offset: self.symbols, bytes: vec![0; 8] });
        }
        Some(Growth { copied, place, end, headers })
    }

    /// What makes a section hold these bytes in the room that it has; none if they do not fit.
    pub fn replace(&self, name: &[u8], bytes: &[u8]) -> Option<Vec<Patch>> {
        let index = self.sections.iter().position(|section| section.name() == name)?;
        let mut section = self.sections.get(index)?.clone();
        let room = u64::from(section.field(16));
        let above =
            self.sections.iter().map(Section::address).filter(|other| *other > section.address()).min();
        let room = above.map_or(room, |above| room.min(above - section.address()));
        if bytes.len() as u64 > room || self.size == 0 {
            return None;
        }
        let mut content = bytes.to_vec();
        content.resize(content.len().max(usize::try_from(section.length()).ok()?), 0);
        section.set(8, u32::try_from(bytes.len()).ok()?);
        let header = Patch { offset: self.table + (index * HEADER) as u64, bytes: section.header.to_vec() };
        Some(vec![Patch { offset: section.place(), bytes: content }, header])
    }
}
