//! What to do next: a walk over the source's extents, cut into chunks. Holes are passed over without a look.

use crate::{Disk, Extent, Kind, Result};
use std::collections::VecDeque;
use std::ops::Range;

/// Extents are asked for by this many bytes of the disk.
const SPAN: u64 = 1 << 30;

/// The next thing to do, in the disk's order.
pub enum Step {
    /// Chunks without data: the first, and how many.
    Hole(u64, u64),
    /// A chunk, and where its data lies (in bytes of the disk).
    Chunk(u64, Vec<Range<u64>>),
}

/// A walk over a disk, chunk by chunk.
pub struct Walk<'a> {
    source: &'a dyn Disk,
    chunk: u64,
    /// The first byte not planned yet, at a chunk's beginning, and where the known extents end.
    at: u64,
    known: u64,
    extents: VecDeque<Extent>,
}

impl<'a> Walk<'a> {
    /// In chunks of `chunk` bytes, from chunk number `first` on.
    pub fn new(source: &'a dyn Disk, chunk: u64, first: u64) -> Self {
        let at = (first * chunk).min(source.length());
        Self { source, chunk, at, known: at, extents: VecDeque::new() }
    }

    /// None at the end of the disk.
    pub fn step(&mut self) -> Result<Option<Step>> {
        let length = self.source.length();
        if self.at >= length {
            return Ok(None);
        }
        if self.at >= self.known {
            let span = SPAN.min(length - self.at);
            self.extents = self.source.extents(self.at, span)?.into();
            self.known = self.at + span;
        }
        let number = self.at / self.chunk;
        let data =
            self.extents.iter().find(|extent| extent.kind == Kind::Data).map_or(self.known, |e| e.offset);
        let hole_end = if data >= self.known { self.known } else { data - data % self.chunk };
        if hole_end > self.at {
            let count = (hole_end - self.at).div_ceil(self.chunk);
            self.advance(hole_end);
            return Ok(Some(Step::Hole(number, count)));
        }
        let end = (self.at + self.chunk).min(length);
        let ranges = self.data_until(end);
        self.advance(end);
        Ok(Some(Step::Chunk(number, ranges)))
    }

    fn data_until(&self, end: u64) -> Vec<Range<u64>> {
        let data = self.extents.iter().filter(|extent| extent.kind == Kind::Data);
        data.take_while(|extent| extent.offset < end)
            .map(|extent| extent.offset.max(self.at)..(extent.offset + extent.length).min(end))
            .collect()
    }

    fn advance(&mut self, to: u64) {
        self.at = to;
        while self.extents.front().is_some_and(|extent| extent.offset + extent.length <= to) {
            self.extents.pop_front();
        }
        if let Some(first) = self.extents.front_mut().filter(|extent| extent.offset < to) {
            first.length -= to - first.offset;
            first.offset = to;
        }
    }
}

/// Fills `into` from byte `start` of the disk; whether there was any data. `data` are the ranges that hold some, in order.
pub fn fill(disk: &dyn Disk, start: u64, into: &mut [u8], data: &[Range<u64>]) -> Result<bool> {
    let end = start + into.len() as u64;
    let first = data.partition_point(|range| range.end <= start);
    let mut at = start;
    for range in data[first..].iter().take_while(|range| range.start < end) {
        let (from, to) = (range.start.max(at), range.end.min(end));
        into[(at - start) as usize..(from - start) as usize].fill(0);
        disk.read_at(from, &mut into[(from - start) as usize..(to - start) as usize])?;
        at = to;
    }
    into[(at - start) as usize..].fill(0);
    Ok(at > start)
}
