//! A disk whose unused ranges read as zeroes, so that they are not copied: free blocks of a file system.

use crate::{Disk, Extent, Kind, Ranges, Result, extents, span, within};
use std::ops::Range;
use std::sync::Arc;

/// A read-only view of a disk with ranges blanked out.
pub struct Masked {
    base: Arc<dyn Disk>,
    blank: Ranges,
}

impl Masked {
    /// `blank`: ranges in bytes, in any order; they may overlap, and what lies beyond the disk's end does not matter.
    pub fn new(base: Arc<dyn Disk>, blank: Vec<Range<u64>>) -> Self {
        Self { base, blank: Ranges::new(blank) }
    }

    /// Calls `each` with the parts of a range in order: from, to, and whether it is blanked out.
    fn each(&self, start: u64, end: u64, mut each: impl FnMut(u64, u64, bool) -> Result<()>) -> Result<()> {
        let mut at = start;
        for range in self.blank.within(start, end) {
            if at < range.start {
                each(at, range.start, false)?;
            }
            each(range.start, range.end, true)?;
            at = range.end;
        }
        if at < end { each(at, end, false) } else { Ok(()) }
    }
}

impl Disk for Masked {
    fn length(&self) -> u64 {
        self.base.length()
    }
    fn sector_size(&self) -> u32 {
        self.base.sector_size()
    }
    fn is_checked(&self) -> bool {
        self.base.is_checked()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(self.length(), offset, buffer.len())?;
        self.each(offset, offset + buffer.len() as u64, |from, to, blank| {
            let into = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            if blank {
                into.fill(0);
                return Ok(());
            }
            self.base.read_at(from, into)
        })
    }
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        let end = span(self.length(), start, length)?;
        let mut list = Vec::new();
        self.each(start, end, |from, to, blank| {
            if blank {
                extents::push(&mut list, from, to - from, Kind::Zero);
                return Ok(());
            }
            for extent in self.base.extents(from, to - from)? {
                extents::push(&mut list, extent.offset, extent.length, extent.kind);
            }
            Ok(())
        })?;
        Ok(list)
    }
}
