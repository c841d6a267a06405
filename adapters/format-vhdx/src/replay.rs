//! The image as its log leaves it. Nothing is copied: what is in the log is known by its place in the file.

use crate::log::SECTOR;
use std::collections::BTreeMap;
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// Ranges that are kept: some 4 MiB.
const RANGES_MOST: usize = 1 << 16;
/// Bytes of a logged sector that its descriptor holds, at its beginning and its end, and where (2.3.1.3).
const LEADING: u64 = 8;
const TRAILING: u64 = 4;
const LEADING_AT: u64 = 8;
const TRAILING_AT: u64 = 4;

/// What a range of the file is replaced by.
#[derive(Clone, Copy)]
enum New {
    Zero,
    /// One sector; places of its descriptor and of its data sector.
    Logged(u64, u64),
}

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Zero,
    /// From this offset of the file on.
    File(u64),
}

/// What the log writes, in whole sectors.
#[derive(Default)]
pub(crate) struct Replay {
    /// By their first byte: where they end, and with what.
    ranges: BTreeMap<u64, (u64, New)>,
    /// Bytes that the file has at least.
    length: u64,
}

impl Replay {
    /// Zeroes at `offset`.
    pub(crate) fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        self.put(offset, offset.saturating_add(length), New::Zero)
    }

    /// A sector at `offset`, whose descriptor and data sector are at these places.
    pub(crate) fn data(&mut self, offset: u64, descriptor: u64, sector: u64) -> Result<()> {
        self.put(offset, offset.saturating_add(SECTOR), New::Logged(descriptor, sector))
    }

    /// The file has at least `length` bytes.
    pub(crate) fn grow(&mut self, length: u64) {
        self.length = self.length.max(length);
    }

    fn put(&mut self, start: u64, end: u64, new: New) -> Result<()> {
        if start >= end {
            return Ok(());
        }
        if self.ranges.len() + 2 > RANGES_MOST {
            return Err(Error::new(ErrorKind::Limit, "the log writes to more than 65,536 ranges"));
        }
        self.grow(end);
        // All ranges are whole sectors, so that only zeroes are ever cut.
        if let Some((_, before)) = self.ranges.range_mut(..start).next_back()
            && before.0 > start
        {
            let rest = (before.0, before.1);
            before.0 = start;
            self.keep(end, rest);
        }
        while let Some((first, range)) =
            self.ranges.range(start..end).next().map(|(first, range)| (*first, *range))
        {
            self.ranges.remove(&first);
            self.keep(end, range);
        }
        self.ranges.insert(start, (end, new));
        Ok(())
    }

    /// What of an older range is left behind `end`.
    fn keep(&mut self, end: u64, (old, new): (u64, New)) {
        if old > end {
            self.ranges.insert(end, (old, new));
        }
    }

    /// Where `length` bytes from `start` on are: lengths and sources, in order.
    pub(crate) fn pieces(&self, start: u64, length: u64) -> Vec<(u64, Source)> {
        let end = start.saturating_add(length);
        let before = self.ranges.range(..start).next_back().filter(|(_, (end, _))| *end > start);
        let mut pieces = Vec::new();
        let mut at = start;
        for (first, (last, new)) in before.into_iter().chain(self.ranges.range(start..end)) {
            if *first > at {
                pieces.push((first - at, Source::File(at)));
                at = *first;
            }
            let to = end.min(*last);
            for (from, until, source) in parts(*first, *last, *new) {
                let (from, until, by) = (from.max(at), until.min(to), at.saturating_sub(from));
                if from < until {
                    let source = match source {
                        Source::File(place) => Source::File(place + by),
                        Source::Zero => Source::Zero,
                    };
                    pieces.push((until - from, source));
                }
            }
            at = to;
        }
        if at < end {
            pieces.push((end - at, Source::File(at)));
        }
        pieces
    }
}

/// A range by the places that it comes from.
fn parts(start: u64, end: u64, new: New) -> Vec<(u64, u64, Source)> {
    match new {
        New::Zero => vec![(start, end, Source::Zero)],
        New::Logged(descriptor, sector) => vec![
            (start, start + LEADING, Source::File(descriptor + LEADING_AT)),
            (start + LEADING, end - TRAILING, Source::File(sector + LEADING)),
            (end - TRAILING, end, Source::File(descriptor + TRAILING_AT)),
        ],
    }
}

/// The image with its log replayed, read-only.
pub(crate) struct Replayed {
    pub(crate) image: Box<dyn Blob>,
    pub(crate) replay: Replay,
}

impl Blob for Replayed {
    fn size(&self) -> u64 {
        self.image.size().max(self.replay.length)
    }
    fn sector_size(&self) -> u32 {
        self.image.sector_size()
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length as usize);
        for (length, source) in self.replay.pieces(offset, length.into()) {
            let whole = bytes.len() + length as usize;
            let there = |at| self.image.size().saturating_sub(at).min(length);
            if let Source::File(at) = source
                && there(at) > 0
            {
                bytes.extend(self.image.read(at, there(at) as u32)?);
            }
            bytes.resize(whole, 0);
        }
        Ok(bytes)
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "an image is only read"))
    }
}
