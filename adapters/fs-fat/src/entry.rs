//! A directory's slots of 32 bytes, and the entries that they make up: a short one, behind the slots of its long name
//! (fatgen103, "FAT Directory Structure", "FAT Long Directory Entries").

use crate::name::{self, Short, UNITS_PER_SLOT};
use crate::time;
use std::ops::Range;
use wherry_sdk::bytes::{little, put};
use wherry_sdk::{Kind, Meta};

/// Bytes of a slot.
pub const SLOT: usize = 32;
/// The first byte of a slot that is no longer in use.
pub const DELETED: u8 = 0xe5;

pub const READ_ONLY: u8 = 0x01;
const LABEL: u8 = 0x08;
pub const DIRECTORY: u8 = 0x10;
pub const ARCHIVE: u8 = 0x20;
/// Read-only, hidden, system and label together.
const LONG: u8 = 0x0f;

/// The slot of a short name.
#[derive(Clone, Copy, Debug)]
pub struct Slot(pub [u8; SLOT]);

impl Slot {
    /// A new file or directory without content.
    pub fn new(attributes: u8, now: i64) -> Self {
        let mut slot = Self([0; SLOT]);
        put(&mut slot.0, 11, &[attributes]);
        let (date, time) = time::from_unix(now);
        put(&mut slot.0, 14, &time.to_le_bytes());
        put(&mut slot.0, 16, &date.to_le_bytes());
        slot.set_mtime(now);
        slot
    }

    pub fn short(&self) -> Short {
        let mut short = [b' '; 11];
        short.iter_mut().zip(self.0).for_each(|(place, byte)| *place = byte);
        short
    }

    /// Gives it another short name, whose case is what it says.
    pub fn set_short(&mut self, short: &Short) {
        put(&mut self.0, 0, short);
        put(&mut self.0, 12, &[0]);
    }

    pub fn attributes(&self) -> u8 {
        little(&self.0, 11, 1) as u8
    }

    pub fn set_attributes(&mut self, attributes: u8) {
        put(&mut self.0, 11, &[attributes]);
    }

    pub fn is_directory(&self) -> bool {
        self.attributes() & DIRECTORY != 0
    }

    /// The first cluster; zero: no content. On FAT12 and FAT16 the upper half means something else.
    pub fn first(&self, bits: u32) -> u32 {
        let high = if bits == 32 { little(&self.0, 20, 2) << 16 } else { 0 };
        (high | little(&self.0, 26, 2)) as u32
    }

    pub fn set_first(&mut self, first: u32) {
        put(&mut self.0, 20, &((first >> 16) as u16).to_le_bytes());
        put(&mut self.0, 26, &(first as u16).to_le_bytes());
    }

    pub fn size(&self) -> u64 {
        little(&self.0, 28, 4)
    }

    pub fn set_size(&mut self, size: u32) {
        put(&mut self.0, 28, &size.to_le_bytes());
    }

    pub fn mtime(&self) -> i64 {
        time::to_unix(little(&self.0, 24, 2), little(&self.0, 22, 2))
    }

    /// Sets the last modification, and the day of the last access.
    pub fn set_mtime(&mut self, seconds: i64) {
        let (date, time) = time::from_unix(seconds);
        put(&mut self.0, 18, &date.to_le_bytes());
        put(&mut self.0, 22, &time.to_le_bytes());
        put(&mut self.0, 24, &date.to_le_bytes());
    }

    /// Mode bits decide over the read-only attribute of files, as Linux's vfat has it.
    pub fn set_mode(&mut self, mode: u32) {
        let read_only = if mode & 0o222 == 0 && !self.is_directory() { READ_ONLY } else { 0 };
        self.set_attributes(self.attributes() & !READ_ONLY | read_only);
    }

    /// What the contract asks of an object; `id` is the place of this slot on the device.
    pub fn meta(&self, id: u64) -> Meta {
        let directory = self.is_directory();
        let mode = match (directory, self.attributes() & READ_ONLY != 0) {
            (true, _) => 0o755,
            (false, true) => 0o444,
            (false, false) => 0o644,
        };
        Meta {
            kind: if directory { Kind::Directory } else { Kind::File },
            size: if directory { 0 } else { self.size() },
            mode,
            uid: 0,
            gid: 0,
            mtime: self.mtime(),
            id,
            links: 1,
            attributes: Vec::new(),
        }
    }
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub slot: Slot,
    /// The slots of the long name and, last, of the short one.
    pub slots: Range<usize>,
}

impl Entry {
    /// Whether `folded`, a folded name, means this entry: by its long or its short name.
    pub fn is_called(&self, folded: &str) -> bool {
        name::folded(&self.name) == folded || name::folded(&name::shown(&self.slot.short(), 0)) == folded
    }

    /// The slot of the short name.
    pub fn place(&self) -> usize {
        self.slots.end.saturating_sub(1)
    }
}

/// All entries, without labels, `.` and `..`.
pub fn entries(bytes: &[u8]) -> Vec<Entry> {
    let (mut found, mut long) = (Vec::new(), Pending::default());
    for (index, bytes) in bytes.chunks_exact(SLOT).enumerate() {
        let mut slot = Slot([0; SLOT]);
        put(&mut slot.0, 0, bytes);
        let first = little(bytes, 0, 1) as u8;
        if first == 0 {
            break;
        }
        if first == DELETED {
            long = Pending::default();
        } else if slot.attributes() & 0x3f == LONG {
            long.add(index, bytes);
        } else {
            let long = std::mem::take(&mut long);
            let short = slot.short();
            if slot.attributes() & LABEL != 0 || short == *b".          " || short == *b"..         " {
                continue;
            }
            let complete = long.complete(&short);
            let start = if complete.is_some() { long.start } else { index };
            let name = complete.unwrap_or_else(|| name::shown(&short, little(bytes, 12, 1)));
            found.push(Entry { name, slot, slots: start..index + 1 });
        }
    }
    found
}

/// The volume label among the root directory's slots.
pub fn label(bytes: &[u8]) -> Option<String> {
    let live = bytes.chunks_exact(SLOT).take_while(|slot| little(slot, 0, 1) != 0);
    let mut labels = live.filter(|slot| {
        let attributes = little(slot, 11, 1) as u8;
        little(slot, 0, 1) as u8 != DELETED
            && attributes & 0x3f != LONG
            && attributes & (LABEL | DIRECTORY) == LABEL
    });
    labels.next().and_then(|slot| name::label(slot.get(..11)?))
}

/// A long name whose slots are still coming: the last part first, counted down to 1.
#[derive(Default)]
struct Pending {
    start: usize,
    /// The number of the slot that came last; zero where there is no name.
    number: u64,
    sum: u64,
    /// The parts in the order of their slots.
    parts: Vec<Vec<u16>>,
}

impl Pending {
    fn add(&mut self, index: usize, bytes: &[u8]) {
        let (order, sum) = (little(bytes, 0, 1), little(bytes, 13, 1));
        if order & 0x40 != 0 && (0x41..=0x54).contains(&order) {
            *self = Self { start: index, number: order & 0x3f, sum, parts: Vec::new() };
        } else if self.number > 1 && order == self.number - 1 && sum == self.sum {
            self.number = order;
        } else {
            *self = Self::default();
            return;
        }
        let units = UNIT_PLACES.iter().map(|at| little(bytes, *at, 2) as u16);
        self.parts.push(units.collect());
    }

    /// The name, if all of it came and it belongs to this short one.
    fn complete(&self, short: &Short) -> Option<String> {
        let whole = self.number == 1 && self.sum == u64::from(name::checksum(short));
        let units: Vec<u16> = self.parts.iter().rev().flatten().copied().collect();
        Some(units).filter(|_| whole).and_then(|units| name::long(&units))
    }
}

/// Where a slot keeps its part of a long name.
const UNIT_PLACES: [usize; UNITS_PER_SLOT] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// The slots for a name: the long one's, last part first, if it is needed, and the short one's.
pub fn slots(name: &str, long: bool, slot: &Slot) -> Vec<u8> {
    let mut bytes = Vec::new();
    if long {
        let mut units: Vec<u16> = name.encode_utf16().collect();
        if !units.len().is_multiple_of(UNITS_PER_SLOT) {
            units.push(0);
        }
        let parts: Vec<&[u16]> = units.chunks(UNITS_PER_SLOT).collect();
        for (index, part) in parts.iter().enumerate().rev() {
            let last = if index + 1 == parts.len() { 0x40 } else { 0 };
            let mut piece = [0; SLOT];
            put(&mut piece, 0, &[(index as u8 + 1) | last]);
            put(&mut piece, 11, &[LONG]);
            put(&mut piece, 13, &[name::checksum(&slot.short())]);
            let units = part.iter().copied().chain(std::iter::repeat(0xffff));
            for (at, unit) in UNIT_PLACES.iter().zip(units) {
                put(&mut piece, *at, &unit.to_le_bytes());
            }
            bytes.extend(piece);
        }
    }
    bytes.extend(slot.0);
    bytes
}
