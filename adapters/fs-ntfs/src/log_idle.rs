//! A log that was left open although all of it is on the volume: nothing was logged behind the last checkpoint, and that
//! says that no page was dirty and no transaction under way. A volume that was idle when its disk was copied is like that.
//!
//! Whatever is not as expected means no: torn pages, newer records anywhere, any change behind the checkpoint's start.
//! Source: the structures in Linux' `fs/ntfs3/fslog.c`; compared with logs that Windows Server 2003 R2 and 2008 R2 wrote.

use crate::bytes::{byte_at, part, u16_at, u32_at, u64_at};
use crate::fixup;
use std::collections::BTreeMap;
use wherry_sdk::{READ_MOST, Result};

/// Bytes of a log that are looked at; 64 MiB is usual.
const LOG_MOST: u64 = 512 << 20;
/// Pages and records from the checkpoint's start to its end.
const PAGES_MOST: u64 = 256;
const RECORDS_MOST: usize = 4096;
/// Bytes of a record's own header, and where a page's records start at least.
const RECORD: usize = 0x30;
const DATA_LEAST: usize = 0x40;
/// What a checkpoint is written as, and the bytes of it that are looked at.
const CHECKPOINT: u32 = 2;
const CHECKPOINT_LENGTH: usize = 0x40;
/// Operations that change nothing: none, an attribute that was opened, and the tables of a checkpoint.
const HARMLESS: [u16; 6] = [0x00, 0x1c, 0x1d, 0x1e, 0x1f, 0x20];
/// A record ends in this page.
const RECORD_END: u32 = 1;

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
        }
    }

    fn sensible(&self, size: u64) -> bool {
        self.page.is_power_of_two()
            && (512..=64 << 10).contains(&self.page)
            && (4 * self.page..=size.min(LOG_MOST)).contains(&self.size)
            && self.data >= DATA_LEAST
            && self.data.is_multiple_of(8)
            && (self.data + RECORD) as u64 <= self.page
            && (4..64).contains(&self.bits)
            && self.checkpoint != 0
            && self.checkpoint == self.newest
    }

    /// Where a record is in the log.
    fn place(&self, record: u64) -> u64 {
        (record << self.bits) >> (self.bits - 3)
    }

    fn page_of(&self, place: u64) -> u64 {
        place / self.page * self.page
    }
}

/// Whether nothing is to be done for a log of `size` bytes, which `read` gives by offset and length.
pub fn is_idle(area: &Area, size: u64, mut read: impl FnMut(u64, u64) -> Result<Vec<u8>>) -> Result<bool> {
    if !area.sensible(size) {
        return Ok(false);
    }
    let home = area.page_of(area.place(area.checkpoint));
    let Some(pages) = scan(area, home, home, &mut read)? else { return Ok(false) };
    let Some(start) = pages.get(&home).and_then(|page| empty_checkpoint(area, page)) else {
        return Ok(false);
    };
    let first = area.page_of(area.place(start));
    if start >= area.checkpoint || first > home || (home - first) / area.page >= PAGES_MOST {
        return Ok(false);
    }
    let Some(pages) = scan(area, first, home, &mut read)? else { return Ok(false) };
    Ok(Walk { area, pages }.is_harmless(start))
}

/// The pages whose places are `first` to `last`, each as it was written last; none where a page is torn, is none, or holds
/// a record behind the checkpoint.
fn scan(
    area: &Area,
    first: u64,
    last: u64,
    read: &mut impl FnMut(u64, u64) -> Result<Vec<u8>>,
) -> Result<Option<BTreeMap<u64, Vec<u8>>>> {
    let mut pages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let (mut at, end) = (2 * area.page, area.page_of(area.size));
    while at < end {
        let mut bytes = read(at, (end - at).min(u64::from(READ_MOST)))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        for page in bytes.chunks_mut(area.page as usize) {
            if part(page, 0, 4) == [0xff; 4] {
                at += area.page;
                continue;
            }
            if !page.starts_with(b"RCRD") || page.len() as u64 != area.page || !fixup::apply(page) {
                return Ok(None);
            }
            // The first two are copies of the page that was not full yet, and tell where that belongs.
            let copy = at < 4 * area.page;
            let ended = if u32_at(page, 0x10) & RECORD_END != 0 { u64_at(page, 0x20) } else { 0 };
            let started = if copy { 0 } else { u64_at(page, 8) };
            if ended.max(started) > area.checkpoint {
                return Ok(None);
            }
            let home = if copy { u64_at(page, 8) } else { at };
            let newer = pages.get(&home).is_none_or(|known| u64_at(known, 0x20) < ended);
            if (first..=last).contains(&home) && newer {
                pages.insert(home, page.to_vec());
            }
            at += area.page;
        }
    }
    Ok(Some(pages))
}

/// Where the checkpoint began, if it has neither dirty pages nor transactions.
fn empty_checkpoint(area: &Area, page: &[u8]) -> Option<u64> {
    let at = (area.place(area.checkpoint) % area.page) as usize;
    let record = page.get(at..at.checked_add(RECORD + CHECKPOINT_LENGTH)?)?;
    let right = u64_at(record, 0) == area.checkpoint
        && u32_at(record, 0x18) as usize >= CHECKPOINT_LENGTH
        && u32_at(record, 0x20) == CHECKPOINT;
    let content = part(record, RECORD, CHECKPOINT_LENGTH);
    let empty = u32_at(content, 0x38) == 0 && u32_at(content, 0x3c) == 0;
    (right && empty).then(|| u64_at(content, 8))
}

/// Records one after the other.
struct Walk<'a> {
    area: &'a Area,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Walk<'_> {
    /// Whether all records behind `start` and before the checkpoint change nothing.
    fn is_harmless(&self, start: u64) -> bool {
        let mut place = self.area.place(start);
        for count in 0..RECORDS_MOST {
            let Some(record) = self.record(place) else { return false };
            let number = u64_at(record, 0);
            if self.area.place(number) != place
                || (count == 0 && number != start)
                || number > self.area.checkpoint
            {
                return false;
            }
            if number == self.area.checkpoint {
                return count > 0;
            }
            let harmless = u32_at(record, 0x20) == CHECKPOINT || HARMLESS.contains(&u16_at(record, RECORD));
            if count > 0 && !harmless {
                return false;
            }
            match self.next(place, u32_at(record, 0x18)) {
                Some(next) => place = next,
                None => return false,
            }
        }
        false
    }

    /// A record's header, and the first two bytes of what it holds.
    fn record(&self, place: u64) -> Option<&[u8]> {
        let page = self.pages.get(&self.area.page_of(place))?;
        let at = (place % self.area.page) as usize;
        let record = page.get(at..at.checked_add(RECORD)?)?;
        let whole = page.get(at..at + RECORD + 2).unwrap_or(record);
        (at >= self.area.data && byte_at(record, 0x18) | byte_at(record, 0x19) != 0).then_some(whole)
    }

    /// Where the record behind one of `length` bytes is. What does not fit goes on in the next page.
    fn next(&self, place: u64, length: u32) -> Option<u64> {
        let (page, data) = (self.area.page, self.area.data as u64);
        let mut at = place.checked_add(RECORD as u64)?;
        let mut left = u64::from(length);
        if at % page == 0 {
            at += data;
        }
        for _ in 0..PAGES_MOST {
            let room = page - at % page;
            if left <= room {
                let end = (at + left).next_multiple_of(8);
                let rest = end.next_multiple_of(page) - end;
                let full = rest < RECORD as u64;
                return Some(if full { end.next_multiple_of(page) + data } else { end });
            }
            left -= room;
            at += room + data;
        }
        None
    }
}
