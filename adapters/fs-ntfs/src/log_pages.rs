//! The pages of `$LogFile`, and the records in them. A record's number (LSN) tells its place and in which round of the log
//! it was written, so that the numbers of all records are in order.
//!
//! Source: the structures in Linux' `fs/ntfs3/fslog.c`, compared with the logs of Windows Server 2003 to Windows 10.

use crate::bytes::{part, u16_at, u32_at, u64_at};
use crate::fixup;
use std::collections::BTreeMap;
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result};

/// Bytes of a log that are looked at; 64 MiB is usual.
const LOG_MOST: u64 = 512 << 20;
/// Bytes of pages that are kept.
const KEPT_MOST: usize = 64 << 20;
/// Records that are followed: as many as fit into what is kept.
const RECORDS_MOST: usize = KEPT_MOST / RECORD;
/// Bytes of a record's own header, and where a page's records start at least.
pub const RECORD: usize = 0x30;
const DATA_LEAST: usize = 0x40;
/// Bytes of a record behind its header: 64 KiB of redo, as much of undo, and the header of the operation.
const LENGTH_MOST: usize = 0x2_0000 + 0x1000;
/// What a record is: of the file system, or a checkpoint.
const CHANGE: u32 = 1;
const CHECKPOINT: u32 = 2;
/// A record ends in this page.
const RECORD_END: u32 = 1;

/// Why a log is not replayed; the message is a part of a sentence.
pub fn refusal(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Dirty, what)
}

/// What the restart area says.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// bytes of a page
    pub page: u64,
    /// bytes of the log
    pub size: u64,
    /// where records start in a page
    pub data: usize,
    /// bits of a record's number that do not tell its place
    pub bits: u32,
    /// the newest record when it was written
    pub newest: u64,
    /// the last checkpoint
    pub checkpoint: u64,
    /// the oldest record that may still be needed
    pub oldest: u64,
    /// major and minor
    pub version: (u16, u16),
    /// the number of the one that writes the log, and how often that number was given away
    client: u32,
}

impl Area {
    /// From a restart page and where its area starts; its numbers are checked in so far as [`Area::sensible`] does.
    pub fn parse(page: &[u8], start: usize) -> Self {
        let area = part(page, start, page.len());
        let client = usize::from(u16_at(area, 0x16));
        Self {
            page: u64::from(u32_at(page, 0x14)),
            size: u64_at(area, 0x18),
            data: usize::from(u16_at(area, 0x26)),
            bits: u32_at(area, 0x10),
            newest: u64_at(area, 0),
            checkpoint: u64_at(area, client + 8),
            oldest: u64_at(area, client),
            version: (u16_at(page, 0x1c), u16_at(page, 0x1a)),
            client: u32::from(u16_at(area, client + 0x14)) | u32::from(u16_at(area, 12)) << 16,
        }
    }

    /// Whether records can be looked for in a log of `size` bytes.
    pub fn sensible(&self, size: u64) -> bool {
        self.page.is_power_of_two()
            && (512..=64 << 10).contains(&self.page)
            && (5 * self.page..=size.min(LOG_MOST)).contains(&self.size)
            && self.data >= DATA_LEAST
            && self.data.is_multiple_of(8)
            && (self.data + RECORD) as u64 <= self.page
            && (4..64).contains(&self.bits)
            && self.checkpoint != 0
    }

    /// Where a record is in the log.
    fn place(&self, record: u64) -> u64 {
        (record << self.bits) >> (self.bits - 3)
    }

    /// The number of a record at `place`, in the round of the record `like`.
    fn number(&self, place: u64, like: u64) -> u64 {
        let shift = 64 - self.bits;
        like >> shift << shift | place >> 3
    }

    fn page_of(&self, place: u64) -> u64 {
        place / self.page * self.page
    }

    /// Records begin behind two restart pages and two copies of the page that was not full yet.
    fn first(&self) -> u64 {
        4 * self.page
    }

    fn end(&self) -> u64 {
        self.page_of(self.size)
    }

    fn page_behind(&self, home: u64) -> u64 {
        let next = home + self.page;
        if next >= self.end() { self.first() } else { next }
    }
}

/// A page, its update sequence resolved.
struct Page {
    bytes: Vec<u8>,
    /// the newest record that ends in it, and the newest of which it has anything
    ended: u64,
    last: u64,
}

/// A record.
pub struct Record {
    pub number: u64,
    /// the one to be undone after this one, 0 for none
    pub undo_next: u64,
    /// it is a checkpoint, not a change
    pub checkpoint: bool,
    /// which transaction it is of
    pub transaction: u32,
    /// what it says
    pub data: Vec<u8>,
    /// where it ends, and the page of that
    end: u64,
    home: u64,
}

/// The log.
pub struct Pages {
    area: Area,
    pages: BTreeMap<u64, Page>,
    /// the newest record that is there as a whole
    pub newest: u64,
}

impl Pages {
    /// Reads a log of `size` bytes, which `read` gives by offset and length. A page that is torn, and of which there is no
    /// copy, is refused, as is one that is none.
    pub fn read(area: Area, size: u64, read: &mut impl FnMut(u64, u64) -> Result<Vec<u8>>) -> Result<Self> {
        if !area.sensible(size) {
            return Err(refusal("the log's limits make no sense"));
        }
        let mut log = Self { area, pages: BTreeMap::new(), newest: 0 };
        let (mut torn, mut kept) = (Vec::new(), 0);
        let mut at = 2 * area.page;
        while at < area.end() {
            let bytes = read(at, (area.end() - at).min(u64::from(READ_MOST)))?;
            if bytes.len() < area.page as usize {
                return Err(refusal("the log ends too early"));
            }
            for page in bytes.chunks_exact(area.page as usize) {
                let mut page = page.to_vec();
                if part(&page, 0, 4) != [0xff; 4] {
                    if !page.starts_with(b"RCRD") {
                        return Err(refusal("the log has a page that is none"));
                    }
                    match fixup::apply(&mut page) {
                        true => kept += log.keep(at, page),
                        false => torn.push(at),
                    }
                }
                if kept > KEPT_MOST {
                    return Err(refusal("the log has more than 64 MiB to be replayed"));
                }
                at += area.page;
            }
        }
        // A torn copy, or one that the other copy or the page itself replaces, was being written when all stopped.
        let lost = |home: &&u64| **home >= area.first() && !log.pages.contains_key(*home);
        match torn.iter().find(lost) {
            Some(home) => Err(refusal(format!("the log's page at {home:#x} was not written completely"))),
            None => Ok(log),
        }
    }

    /// Keeps the page found at `at`, if it is needed; returns its bytes in memory.
    fn keep(&mut self, at: u64, bytes: Vec<u8>) -> usize {
        let copy = at < self.area.first();
        let ended = if u32_at(&bytes, 0x10) & RECORD_END != 0 { u64_at(&bytes, 0x20) } else { 0 };
        let (home, last) = if copy { (u64_at(&bytes, 8), ended) } else { (at, u64_at(&bytes, 8)) };
        self.newest = self.newest.max(ended);
        let length = bytes.len();
        let newer = self.pages.get(&home).is_none_or(|known| known.ended < ended);
        if !newer || ended.max(last) < self.area.oldest {
            return 0;
        }
        self.pages.insert(home, Page { bytes, ended, last });
        length
    }

    /// The record of that number.
    pub fn record(&self, number: u64) -> Result<Record> {
        self.find(number)?.ok_or_else(|| refusal(format!("the log's record {number:#x} is missing")))
    }

    /// The record of that number, if one is there.
    fn find(&self, number: u64) -> Result<Option<Record>> {
        let place = self.area.place(number);
        let (mut home, at) = (self.area.page_of(place), (place % self.area.page) as usize);
        let Some(page) = self.pages.get(&home) else { return Ok(None) };
        let header = part(&page.bytes, at, RECORD);
        if at < self.area.data || header.len() < RECORD || u64_at(header, 0) != number {
            return Ok(None);
        }
        let wrong = |what: &str| refusal(format!("the log's record {number:#x} {what}"));
        let (length, kind) = (u32_at(header, 0x18) as usize, u32_at(header, 0x20));
        let client = u32::from(u16_at(header, 0x1c)) | u32::from(u16_at(header, 0x1e)) << 16;
        if length > LENGTH_MOST || !matches!(kind, CHANGE | CHECKPOINT) || client != self.area.client {
            return Err(wrong("is damaged"));
        }
        let (mut data, mut at) = (Vec::with_capacity(length), at + RECORD);
        let mut page = page;
        loop {
            if page.last.max(page.ended) < number {
                return Err(wrong("goes on in an older page"));
            }
            let piece = part(&page.bytes, at, length - data.len());
            data.extend_from_slice(piece);
            at += piece.len();
            if data.len() >= length {
                break;
            }
            home = self.area.page_behind(home);
            page = self.pages.get(&home).ok_or_else(|| wrong("goes on in a page that is missing"))?;
            at = self.area.data;
        }
        if page.ended < number {
            return Err(wrong("does not end where it should"));
        }
        Ok(Some(Record {
            number,
            undo_next: u64_at(header, 0x10),
            checkpoint: kind == CHECKPOINT,
            transaction: u32_at(header, 0x24),
            data,
            end: home + at as u64,
            home,
        }))
    }

    /// The number that the record behind this one has, if there is one.
    fn behind(&self, record: &Record) -> u64 {
        let area = &self.area;
        let end = record.end.next_multiple_of(8);
        let full = self.pages.get(&record.home).is_none_or(|page| page.last.max(page.ended) <= record.number);
        let place = if full || end + RECORD as u64 > record.home + area.page {
            area.page_behind(record.home) + area.data as u64
        } else {
            end
        };
        let number = area.number(place, record.number);
        if number > record.number { number } else { number.saturating_add(1 << (64 - area.bits)) }
    }

    /// The numbers of all records from `start` on. The last one must be the newest that any page knows of.
    pub fn follow(&self, start: u64) -> Result<Vec<u64>> {
        let mut record = self.record(start)?;
        let mut numbers = vec![start];
        while record.number < self.newest {
            if numbers.len() >= RECORDS_MOST {
                return Err(refusal("the log has too many records"));
            }
            record = self.record(self.behind(&record))?;
            numbers.push(record.number);
        }
        if record.number != self.newest {
            return Err(refusal("the log does not end at its newest record"));
        }
        Ok(numbers)
    }
}
