//! From pieces and their tables to extents.

use crate::disk::{Disk, Piece, Stored};
use crate::pages::Pages;
use crate::sparse::{Entries, Grain, Sparse};
use wherry_sdk::bytes::little;
use wherry_sdk::format::{Codec, Extent, Place};
use wherry_sdk::image::Extents;
use wherry_sdk::{Blob, Error, Range, Result};

/// Table entries that one call looks at: with tables of 2 KiB, each in a page of its own, 32 MiB are
/// read, or 256 MiB if they are blank.
const ENTRIES_MOST: u32 = 1 << 20;
/// What a table counts in which nothing is allocated: it is read, but not looked at entry by entry.
const BLANK: u32 = 64;
/// A grain marker: the grain's first sector in the disk (8 bytes), and its stored size (4).
const MARKER: u64 = 12;

/// A disk that can be read.
pub(crate) struct Grains {
    files: Vec<Box<dyn Blob>>,
    disk: Disk,
    parent: Option<(u32, u64)>,
    pages: Pages,
}

impl Grains {
    /// `parent`: its part and its bytes.
    pub(crate) fn new(files: Vec<Box<dyn Blob>>, disk: Disk, parent: Option<(u32, u64)>) -> Self {
        Self { files, disk, parent, pages: Pages::default() }
    }

    /// At most `most` extents from `start` on, at least one before the end of the disk.
    pub(crate) fn extents(&mut self, start: u64, most: usize) -> Result<Vec<Extent>> {
        let Self { files, disk, parent, pages } = self;
        let mut found = Extents::new(start, disk.size, u64::MAX, *parent);
        let mut budget = ENTRIES_MOST;
        let first = disk.pieces.partition_point(|piece| piece.start + piece.length <= start);
        for piece in disk.pieces.iter().skip(first) {
            if found.count() > most || budget == 0 {
                break;
            }
            match &piece.stored {
                Stored::Zero => found.zero(piece.start, piece.length),
                Stored::Flat { part, offset } => found.stored_in(piece.start, piece.length, *part, *offset),
                Stored::Sparse { part, sparse } => {
                    let Some(file) = files.get(*part as usize) else { continue };
                    let mut walk = Walk { file: file.as_ref(), part: *part, sparse, piece, pages };
                    walk.run(start, most, &mut budget, &mut found)?;
                }
            }
        }
        let mut list = found.take(most);
        self.read_markers(&mut list)?;
        Ok(list)
    }

    /// Replaces the length 0 of compressed grains by what their markers say.
    fn read_markers(&self, list: &mut [Extent]) -> Result<()> {
        let Some(file) = self.files.first() else { return Ok(()) };
        let most = 2 * self.disk.unit();
        let mut marked: Vec<(u64, &mut u64, u64)> = list
            .iter_mut()
            .filter_map(|extent| match &mut extent.at {
                Place::Compressed((_, offset, length)) if *length == 0 => {
                    Some((extent.logical, length, *offset))
                }
                _ => None,
            })
            .collect();
        let ranges: Vec<Range> =
            marked.iter().map(|(_, _, at)| Range { offset: at - MARKER, length: MARKER }).collect();
        let markers = if ranges.is_empty() { Vec::new() } else { file.read_many(&ranges)? };
        for ((logical, length, offset), marker) in
            marked.iter_mut().zip(markers.chunks_exact(MARKER as usize))
        {
            let (sector, stored) = (little(marker, 0, 8), little(marker, 8, 4));
            if stored == 0 || stored > most || offset.saturating_add(stored) > file.size() {
                let message =
                    format!("the grain of byte {logical} has {stored} bytes: 1 to {most} in the file");
                return Err(Error::corrupt(*offset - MARKER, message));
            }
            if sector.checked_mul(512) != Some(*logical) {
                let message =
                    format!("the grain of byte {logical} is marked as the grain of sector {sector}");
                return Err(Error::corrupt(*offset - MARKER, message));
            }
            **length = stored;
        }
        Ok(())
    }
}

/// One sparse extent being walked.
struct Walk<'a> {
    file: &'a dyn Blob,
    part: u32,
    sparse: &'a Sparse,
    piece: &'a Piece,
    pages: &'a mut Pages,
}

impl Walk<'_> {
    fn run(&mut self, start: u64, most: usize, budget: &mut u32, found: &mut Extents) -> Result<()> {
        let (grain, coverage) = (self.sparse.grain, self.sparse.coverage());
        let within = start.saturating_sub(self.piece.start);
        let mut at = within - within % grain;
        while at < self.piece.length && found.count() <= most && *budget > 0 {
            *budget -= 1;
            let index = at / coverage;
            let end = (index + 1).saturating_mul(coverage).min(self.piece.length);
            let tables = self.sparse.table(self.file, self.part, self.pages, index)?;
            if self.sparse.is_blank(self.file, self.part, self.pages, tables)? {
                *budget = budget.saturating_sub(if tables.are_absent() { 0 } else { BLANK });
                found.inherited(self.piece.start + at, end - at);
                at = end;
                continue;
            }
            while at < end && found.count() <= most && *budget > 0 {
                *budget -= 1;
                let place = self.sparse.grain(self.file, self.part, self.pages, tables, at)?;
                self.add(at, grain.min(self.piece.length - at), place, found)?;
                at = (at + grain).min(self.piece.length);
            }
        }
        Ok(())
    }

    /// Adds the grain at byte `at` of the extent; `length` bytes of it belong to the disk.
    fn add(&self, at: u64, length: u64, place: Grain, found: &mut Extents) -> Result<()> {
        let logical = self.piece.start + at;
        let offset = match place {
            Grain::Absent => {
                found.inherited(logical, length);
                return Ok(());
            }
            Grain::Zero => {
                found.zero(logical, length);
                return Ok(());
            }
            Grain::At(offset) => offset,
        };
        let size = self.file.size();
        let needed = match self.sparse.entries {
            Entries::Hosted { compressed: true, markers, .. } => {
                if !markers {
                    // What is behind the stream is slack.
                    let stored = (2 * self.sparse.grain).min(size - offset);
                    found.packed(logical, length, Place::Compressed((Codec::Zlib, offset, stored)));
                    return Ok(());
                }
                MARKER + 1
            }
            _ => length,
        };
        if offset.saturating_add(needed) > size {
            let message =
                format!("the grain of byte {logical}, stored at {offset}, is cut off at the file's end");
            return Err(Error::corrupt(offset, message));
        }
        match self.sparse.entries {
            Entries::Hosted { compressed: true, .. } => {
                found.packed(logical, length, Place::Compressed((Codec::Zlib, offset + MARKER, 0)));
            }
            _ => found.stored_in(logical, length, self.part, offset),
        }
        Ok(())
    }
}
