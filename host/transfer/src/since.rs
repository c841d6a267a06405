//! A target that holds an older state of the disk, of which it is known what changed since: the rest is neither read nor
//! written.

use crate::layout::{MIB, RAW_UNIT};
use crate::sink::Sink;
use block::{Disk, Extent, Kind, Ranges, push};
use std::io;
use std::os::fd::BorrowedFd;

/// What is looked at: the ranges that changed, in whole units, and the target's first MiB, which carries the mark of an
/// incomplete copy meanwhile.
pub(crate) fn looked_at(changed: &Ranges, length: u64) -> Ranges {
    let unit = u64::from(RAW_UNIT);
    let whole = changed.as_slice().iter().map(|range| {
        let start = range.start / unit * unit;
        start..range.end.min(length).div_ceil(unit).saturating_mul(unit).min(length)
    });
    Ranges::new(std::iter::once(0..MIB.min(length)).chain(whole).collect())
}

/// A disk of which only these ranges are read; it says that the rest is zero.
pub(crate) struct Changed<'a> {
    pub disk: &'a dyn Disk,
    pub ranges: &'a Ranges,
}

impl Disk for Changed<'_> {
    fn length(&self) -> u64 {
        self.disk.length()
    }
    fn sector_size(&self) -> u32 {
        self.disk.sector_size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> block::Result<()> {
        self.disk.read_at(offset, buffer)
    }
    fn extents(&self, start: u64, length: u64) -> block::Result<Vec<Extent>> {
        let (mut list, mut at, end) = (Vec::new(), start, start + length);
        for range in self.ranges.within(start, end) {
            push(&mut list, at, range.start - at, Kind::Zero);
            for extent in self.disk.extents(range.start, range.end - range.start)? {
                push(&mut list, extent.offset, extent.length, extent.kind);
            }
            at = range.end;
        }
        push(&mut list, at, end - at, Kind::Zero);
        Ok(list)
    }
    /// A hash over a part of the disk is nobody's.
    fn is_checked(&self) -> bool {
        true
    }
}

/// A sink that keeps what is outside of these ranges.
pub(crate) struct Keeps<'a> {
    pub body: Box<dyn Sink + 'a>,
    pub ranges: &'a Ranges,
}

impl Sink for Keeps<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.body.write_at(bytes, offset)
    }
    fn lend(&self, bytes: &[u8], offset: u64) -> io::Result<Option<(BorrowedFd<'_>, u64)>> {
        self.body.lend(bytes, offset)
    }
    fn lends(&self) -> bool {
        self.body.lends()
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut changed = self.ranges.within(offset, offset + length);
        changed.try_for_each(|range| self.body.zero(range.start, range.end - range.start))
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.body.read_at(buffer, offset)
    }
    /// What is between units is not this transfer's, so a comparison passes it over.
    fn holds_old_bytes(&self) -> bool {
        false
    }
    fn written(&self) -> Option<u64> {
        self.body.written()
    }
    fn sync(&self) -> io::Result<()> {
        self.body.sync()
    }
    fn finish(&self, length: u64) -> io::Result<()> {
        self.body.finish(length)
    }
}
