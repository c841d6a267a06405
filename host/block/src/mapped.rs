//! A disk whose bytes lie in other files, where a format's map says.

use crate::{Codec, Disk, Error, Extent, Kind, Result, extents, span, within};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Extents asked for at once.
const PAGE: u32 = 1024;
/// Pages kept: some 3 MiB.
const PAGES_MOST: usize = 64;
/// Bytes of unpacked units kept.
const UNITS_BYTES: usize = 16 << 20;
/// Formats compress units of 2 MiB at most; this bounds what a hostile map can make the host allocate.
const UNIT_MOST: u32 = 16 << 20;

/// Where the bytes of an extent are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: they are zero.
    Zero,
    /// As they are in part number `part`, from `offset` on.
    Stored {
        /// Position in the list of parts.
        part: u32,
        /// Bytes from the part's beginning.
        offset: u64,
    },
    /// One whole unit, packed, in part 0.
    Compressed {
        /// How to unpack it.
        codec: Codec,
        /// Bytes from the part's beginning.
        offset: u64,
        /// Bytes there at most; what follows the stream is slack.
        length: u64,
    },
}

/// A range of the disk and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapExtent {
    /// Where the range starts in the disk.
    pub logical: u64,
    /// Its bytes.
    pub length: u64,
    /// Where they are.
    pub at: Place,
}

impl MapExtent {
    fn end(&self) -> u64 {
        self.logical + self.length
    }
}

/// What an image format's reader knows: untrusted, every answer is checked.
pub trait ExtentMap: Send + Sync {
    /// Bytes of the disk.
    fn length(&self) -> u64;
    /// The extents from the one that holds byte `start` on, in order and without gaps, `most` at most.
    /// The first may begin before `start` or be cut to begin there.
    fn extents(&self, start: u64, most: u32) -> Result<Vec<MapExtent>>;
}

/// Checked extents: ordered, gapless, not empty.
type Page = Arc<[MapExtent]>;

/// An unpacked unit; locked while the first reader unpacks it.
type Slot = Arc<Mutex<Option<Box<[u8]>>>>;

/// A disk composed by an [`ExtentMap`].
pub struct MappedDisk {
    map: Box<dyn ExtentMap>,
    parts: Vec<Arc<dyn Disk>>,
    unit: u32,
    length: u64,
    pages: Mutex<BTreeMap<u64, Page>>,
    /// Oldest first, by where they start in the disk.
    units: Mutex<VecDeque<(u64, Slot)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MappedDisk {
    /// `unit` is the format's allocation unit in bytes: what a compressed extent unpacks to. The last unit in a
    /// part's file may be cut off by the file's end, the rest of it reads as zeroes; any extent that lies further
    /// beyond the end is an error.
    pub fn new(map: Box<dyn ExtentMap>, parts: Vec<Arc<dyn Disk>>, unit: u32) -> Result<Self> {
        if unit == 0 {
            return Err(Error::new("the image's allocation unit is said to be 0 bytes"));
        }
        let length = map.length();
        Ok(Self { map, parts, unit, length, pages: Mutex::default(), units: Mutex::default() })
    }

    /// The extents that hold `at`, and all that are known with them.
    fn page(&self, at: u64) -> Result<Page> {
        let mut pages = lock(&self.pages);
        let known = pages.range(..=at).next_back().map(|(_, page)| page);
        if let Some(page) = known.filter(|page| page.last().is_some_and(|last| at < last.end())) {
            return Ok(page.clone());
        }
        // A unit's beginning, so that no compressed unit is asked for by its middle.
        let mut start = at - at % u64::from(self.unit);
        let list = loop {
            let list = self.map.extents(start, PAGE)?;
            let end = self.check(start, &list)?;
            if end > at {
                break list;
            }
            start = end;
        };
        if pages.len() >= PAGES_MOST {
            // Readers move forward: what lies furthest behind is needed least, or else what lies furthest ahead.
            let behind = pages.range(..start).next().map(|(first, _)| *first);
            let out = behind.or_else(|| pages.keys().next_back().copied());
            out.map(|first| pages.remove(&first));
        }
        let page: Page = list.into();
        pages.insert(start, page.clone());
        Ok(page)
    }

    /// Where the extents of an answer end, which is behind `start`.
    fn check(&self, start: u64, list: &[MapExtent]) -> Result<u64> {
        let bad = |at: u64, what: &str| Error::new(format!("the image's map is wrong at byte {at}: {what}"));
        let first = list.first().ok_or_else(|| bad(start, "it ends before the disk does"))?;
        if list.len() > PAGE as usize {
            return Err(bad(start, "more extents than asked for"));
        }
        if first.logical > start {
            return Err(bad(start, "a gap"));
        }
        let mut at = first.logical;
        for extent in list {
            if extent.logical != at {
                return Err(bad(extent.logical, "extents out of order"));
            }
            if extent.length == 0 {
                return Err(bad(at, "an empty extent"));
            }
            at = at.checked_add(extent.length).filter(|end| *end <= self.length).ok_or_else(|| {
                bad(extent.logical, &format!("an extent beyond the disk's end at {}", self.length))
            })?;
            self.check_place(extent).map_err(|what| bad(extent.logical, &what))?;
        }
        if at <= start {
            return Err(bad(start, "only extents before what was asked for"));
        }
        Ok(at)
    }

    fn check_place(&self, extent: &MapExtent) -> std::result::Result<(), String> {
        let unit = u64::from(self.unit);
        match extent.at {
            Place::Zero => Ok(()),
            Place::Stored { part, offset } => {
                let disk = self.parts.get(part as usize).ok_or(format!("there is no part {part}"))?;
                let end = offset.checked_add(extent.length).ok_or("an offset near 2^64")?;
                if end.saturating_sub(disk.length()) >= unit {
                    let is = disk.length();
                    return Err(format!("bytes {offset}..{end} of part {part}, which ends at {is}"));
                }
                Ok(())
            }
            Place::Compressed { offset, length, .. } => {
                let disk = self.parts.first().ok_or("there is no part 0")?;
                let whole = unit.min(self.length - extent.logical.min(self.length));
                if !extent.logical.is_multiple_of(unit) || extent.length != whole || self.unit > UNIT_MOST {
                    return Err(format!("a compressed extent of {} bytes, not a unit", extent.length));
                }
                if length == 0 || length > 2 * unit || offset >= disk.length() {
                    return Err(format!("a compressed unit of {length} bytes stored at {offset}"));
                }
                Ok(())
            }
        }
    }

    /// Calls `each` with an extent and the part of the range (from, to) that lies in it.
    fn each(
        &self,
        start: u64,
        end: u64,
        mut each: impl FnMut(&MapExtent, u64, u64) -> Result<()>,
    ) -> Result<()> {
        let mut at = start;
        while at < end {
            let page = self.page(at)?;
            let first = page.partition_point(|extent| extent.end() <= at);
            for extent in page[first..].iter().take_while(|extent| extent.logical < end) {
                let to = extent.end().min(end);
                each(extent, at, to)?;
                at = to;
            }
        }
        Ok(())
    }

    fn read_extent(&self, extent: &MapExtent, from: u64, into: &mut [u8]) -> Result<()> {
        match extent.at {
            Place::Zero => into.fill(0),
            Place::Stored { part, offset } => {
                let part = &self.parts[part as usize];
                let offset = offset + (from - extent.logical);
                let there = part.length().saturating_sub(offset).min(into.len() as u64) as usize;
                let (stored, beyond) = into.split_at_mut(there);
                if !stored.is_empty() {
                    part.read_at(offset, stored)?;
                }
                beyond.fill(0);
            }
            Place::Compressed { .. } if into.len() == self.unit as usize => self.unpack(extent, into)?,
            Place::Compressed { .. } => {
                let slot = self.slot(extent.logical);
                let mut unit = lock(&slot);
                if unit.is_none() {
                    let mut bytes = vec![0; self.unit as usize].into_boxed_slice();
                    self.unpack(extent, &mut bytes)?;
                    *unit = Some(bytes);
                }
                if let Some(bytes) = &*unit {
                    let at = (from - extent.logical) as usize;
                    into.copy_from_slice(&bytes[at..at + into.len()]);
                }
            }
        }
        Ok(())
    }

    /// The place for the unit that starts at `logical`; another reader may be filling it.
    fn slot(&self, logical: u64) -> Slot {
        let mut units = lock(&self.units);
        if let Some((_, slot)) = units.iter().find(|(start, _)| *start == logical) {
            return slot.clone();
        }
        if units.len() >= (UNITS_BYTES / self.unit as usize).clamp(4, 64) {
            units.pop_front();
        }
        let slot = Slot::default();
        units.push_back((logical, slot.clone()));
        slot
    }

    /// Reads a compressed unit and unpacks it; only the disk's last may be shorter.
    fn unpack(&self, extent: &MapExtent, into: &mut [u8]) -> Result<()> {
        let Place::Compressed { codec, offset, length } = extent.at else {
            return Err(Error::new("an extent that is not compressed"));
        };
        let part = &self.parts[0];
        let mut stored = vec![0; length.min(part.length() - offset) as usize];
        part.read_at(offset, &mut stored)?;
        let context = |what: &str| {
            Error::new(format!("byte {} of the disk, stored at {offset}: {what}", extent.logical))
        };
        let unpacked = codec.decode(&stored, into).map_err(|e| context(&e.context))?;
        if (unpacked as u64) < extent.length {
            return Err(context(&format!(
                "a compressed unit of {unpacked} bytes, {} missing",
                extent.length
            )));
        }
        Ok(())
    }
}

impl Disk for MappedDisk {
    fn length(&self) -> u64 {
        self.length
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(self.length, offset, buffer.len())?;
        self.each(offset, offset + buffer.len() as u64, |extent, from, to| {
            let into = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            self.read_extent(extent, from, into)
        })
    }
    /// The map's, and where bytes are stored as they are, what the part knows of its holes.
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        let end = span(self.length, start, length)?;
        let mut list = Vec::new();
        self.each(start, end, |extent, from, to| {
            let Place::Stored { part, offset } = extent.at else {
                let kind = if extent.at == Place::Zero { Kind::Zero } else { Kind::Data };
                extents::push(&mut list, from, to - from, kind);
                return Ok(());
            };
            let part = &self.parts[part as usize];
            let offset = offset + (from - extent.logical);
            let there = part.length().saturating_sub(offset).min(to - from);
            for under in part.extents(offset.min(part.length()), there)? {
                extents::push(&mut list, from + (under.offset - offset), under.length, under.kind);
            }
            extents::push(&mut list, from + there, to - from - there, Kind::Zero);
            Ok(())
        })?;
        Ok(list)
    }
}
