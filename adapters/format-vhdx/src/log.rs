//! The log (2.3): what was about to be written to the file's structures when it was last in use.

use crate::header::{CHECKSUM_AT, Header, MIB};
use crate::replay::Replay;
use wherry_sdk::bytes::{field, little};
use wherry_sdk::checksum::crc32c;
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};

/// Bytes of a log's sectors.
pub(crate) const SECTOR: u64 = 4096;
const HEAD: usize = 64;
const DESCRIPTOR: usize = 32;
/// Logs have 1 MiB as QEMU and Hyper-V make them.
const LENGTH_MOST: u64 = 64 << 20;
/// Sound entries do not overlap: how many times the log's length may be summed.
const SUMMED_MOST: u64 = 8;

/// What the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    /// In use, but nothing was ever written to it: nothing was about to be written elsewhere.
    Unwritten,
    /// Entries, but no valid and complete sequence that ends with the newest.
    Damaged,
    /// This many entries were replayed.
    Replayed(u64),
}

/// A sound entry.
#[derive(Clone, Copy)]
struct Entry {
    sectors: usize,
    /// Sector of the first entry that is not known to be written yet.
    tail: usize,
    sequence: u64,
    descriptors: usize,
    /// Sectors of header and descriptors: 126 fit beside the header, 128 into each that follows.
    heads: usize,
    /// Bytes that the file had, and must have.
    flushed: u64,
    last: u64,
}

/// The log in memory.
struct Log {
    bytes: Vec<u8>,
    /// Its place in the file.
    offset: u64,
    guid: Uuid,
}

/// Replays the log of `image` in memory, "the active sequence" and nothing else (2.3.3).
pub(crate) fn replay(image: &dyn Blob, header: &Header) -> Result<(State, Replay)> {
    let mut replay = Replay::default();
    if header.log_guid == Uuid::NIL {
        return Ok((State::Empty, replay));
    }
    let log = Log::read(image, header)?;
    let entries = log.entries()?;
    let Some(active) = log.active(&entries) else {
        let state = if log.has_entries() { State::Damaged } else { State::Unwritten };
        return Ok((state, replay));
    };
    for (at, entry) in &active {
        log.apply(*at, entry, &mut replay)?;
    }
    if let Some((_, head)) = active.last() {
        if head.flushed > image.size() {
            let message = format!(
                "the log knows a file of {} bytes, this one was cut to {}",
                head.flushed,
                image.size()
            );
            return Err(Error::corrupt(log.offset, message));
        }
        replay.grow(head.last);
    }
    Ok((State::Replayed(active.len() as u64), replay))
}

impl Log {
    fn read(image: &dyn Blob, header: &Header) -> Result<Self> {
        let region = header.log;
        if region.length > LENGTH_MOST {
            let message = format!("a log of {} bytes, at most 64 MiB are replayed", region.length);
            return Err(Error::unsupported(message));
        }
        if !region.is_sound(image.size()) || region.length < MIB {
            let (at, length) = (region.offset, region.length);
            let message = format!("the log of {length} bytes at {at} is not whole MiB of the file");
            return Err(Error::corrupt(at, message));
        }
        let mut bytes = Vec::with_capacity(region.length as usize);
        while (bytes.len() as u64) < region.length {
            bytes.extend(image.read(region.offset + bytes.len() as u64, READ_MOST)?);
        }
        Ok(Self { bytes, offset: region.offset, guid: header.log_guid })
    }

    fn sectors(&self) -> usize {
        self.bytes.len() / SECTOR as usize
    }

    /// Sector `number` of the ring.
    fn sector(&self, number: usize) -> &[u8] {
        field(&self.bytes, number % self.sectors() * SECTOR as usize, SECTOR as usize)
    }

    fn is_entry(&self, at: usize) -> bool {
        let head = self.sector(at);
        head.starts_with(b"loge") && Uuid::from_guid(field(head, 32, 16)) == self.guid
    }

    fn has_entries(&self) -> bool {
        (0..self.sectors()).any(|at| self.is_entry(at))
    }

    /// The sound entries, by the sectors where they begin.
    fn entries(&self) -> Result<Vec<Option<Entry>>> {
        let mut budget = self.sectors() as u64 * SUMMED_MOST;
        (0..self.sectors())
            .map(|at| {
                let Some(entry) = self.entry(at) else { return Ok(None) };
                let cost = entry.sectors as u64;
                budget = budget.checked_sub(cost).ok_or_else(|| {
                    Error::new(ErrorKind::Limit, "the log's entries overlap too often to be looked at")
                })?;
                Ok(Some(entry).filter(|entry| self.is_sealed(at, entry)))
            })
            .collect()
    }

    /// An entry whose numbers all agree (2.3.1); its checksum is not looked at.
    fn entry(&self, at: usize) -> Option<Entry> {
        let head = self.sector(at);
        let (length, tail, descriptors) = (little(head, 8, 4), little(head, 12, 4), little(head, 24, 4));
        let entry = Entry {
            sectors: (length / SECTOR) as usize,
            tail: (tail / SECTOR) as usize,
            sequence: little(head, 16, 8),
            descriptors: descriptors as usize,
            heads: (HEAD as u64 + descriptors * DESCRIPTOR as u64).div_ceil(SECTOR) as usize,
            flushed: little(head, 48, 8),
            last: little(head, 56, 8),
        };
        let sound = self.is_entry(at)
            && entry.sequence > 0
            && length.is_multiple_of(SECTOR)
            && tail.is_multiple_of(SECTOR)
            && (1..=self.sectors()).contains(&entry.sectors)
            && entry.tail < self.sectors()
            && entry.heads <= entry.sectors;
        let mut data = at + entry.heads;
        (sound
            && (0..entry.descriptors).all(|number| self.agrees(at, number, &entry, &mut data))
            && data <= at + entry.sectors)
            .then_some(entry)
    }

    /// Whether a descriptor, and its data sector at `data`, are of this entry.
    fn agrees(&self, at: usize, number: usize, entry: &Entry, data: &mut usize) -> bool {
        let (descriptor, _) = self.descriptor(at, number);
        let (length, offset) = (little(descriptor, 8, 8), little(descriptor, 16, 8));
        let length = if descriptor.starts_with(b"zero") { length } else { SECTOR };
        let sound = little(descriptor, 24, 8) == entry.sequence
            && offset.is_multiple_of(SECTOR)
            && length.is_multiple_of(SECTOR)
            && offset.checked_add(length).is_some();
        match field(descriptor, 0, 4) {
            b"zero" => sound,
            b"desc" => {
                let sector = self.sector(*data);
                *data += 1;
                let sequence = little(sector, 4, 4) << 32 | little(sector, SECTOR as usize - 4, 4);
                sound
                    && *data <= at + entry.sectors
                    && sector.starts_with(b"data")
                    && sequence == entry.sequence
            }
            _ => false,
        }
    }

    /// A descriptor and its place in the file.
    fn descriptor(&self, at: usize, number: usize) -> (&[u8], u64) {
        let position = HEAD + number * DESCRIPTOR;
        let (sector, within) = (at + position / SECTOR as usize, position % SECTOR as usize);
        (field(self.sector(sector), within, DESCRIPTOR), self.place(sector) + within as u64)
    }

    /// Where sector `number` of the ring is in the file.
    fn place(&self, number: usize) -> u64 {
        self.offset + (number % self.sectors()) as u64 * SECTOR
    }

    fn is_sealed(&self, at: usize, entry: &Entry) -> bool {
        let head = self.sector(at);
        let first = crc32c(crc32c(!0, field(head, 0, CHECKSUM_AT)), &[0; 4]);
        let first = crc32c(first, head.get(CHECKSUM_AT + 4..).unwrap_or_default());
        let sum = (at + 1..at + entry.sectors).fold(first, |sum, number| crc32c(sum, self.sector(number)));
        little(head, CHECKSUM_AT, 4) == u64::from(!sum)
    }

    /// The newest sound entry and what it says is not written yet, oldest first: a crash leaves nothing newer that is
    /// sound. None if there is no entry, or one of them is missing.
    fn active(&self, entries: &[Option<Entry>]) -> Option<Vec<(usize, Entry)>> {
        let sound = entries.iter().enumerate().filter_map(|(at, entry)| Some((at, (*entry)?)));
        let (newest, head) = sound.max_by_key(|(_, entry)| entry.sequence)?;
        let mut sequence: Vec<(usize, Entry)> = Vec::new();
        let mut at = head.tail;
        while sequence.len() < entries.len() {
            let entry = (*entries.get(at)?)?;
            if sequence.last().is_some_and(|(_, last)| last.sequence.checked_add(1) != Some(entry.sequence)) {
                return None;
            }
            sequence.push((at, entry));
            if at == newest {
                return Some(sequence);
            }
            at = (at + entry.sectors) % entries.len();
        }
        None
    }

    fn apply(&self, at: usize, entry: &Entry, replay: &mut Replay) -> Result<()> {
        let mut data = at + entry.heads;
        for number in 0..entry.descriptors {
            let (descriptor, place) = self.descriptor(at, number);
            let offset = little(descriptor, 16, 8);
            if descriptor.starts_with(b"zero") {
                replay.zero(offset, little(descriptor, 8, 8))?;
            } else {
                replay.data(offset, place, self.place(data))?;
                data += 1;
            }
        }
        Ok(())
    }
}
