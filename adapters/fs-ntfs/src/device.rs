//! The volume's bytes. Metadata is kept in pages and written back by [`Device::flush`] or when the cache is full; the
//! host's overlay makes the order unimportant. File content goes past the cache, and is always seen as it is newest.

use crate::bytes::{part, put};
use std::collections::{BTreeSet, HashMap};
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Range, Result};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Bytes of pages that are kept.
const CACHE_MOST: usize = 48 << 20;
/// Neighbours are read together, since file records and index blocks lie in rows.
const WINDOW: u64 = 64 << 10;

/// A device that is only borrowed, for a look at it.
pub struct Borrowed<'a>(pub &'a dyn Blob);

impl Blob for Borrowed<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn sector_size(&self) -> u32 {
        self.0.sector_size()
    }
    fn writable(&self) -> bool {
        self.0.writable()
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.0.read(offset, length)
    }
    fn read_many(&self, ranges: &[Range]) -> Result<Vec<u8>> {
        self.0.read_many(ranges)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(offset, bytes)
    }
}

/// The device with its cache.
pub struct Device<'a> {
    blob: Box<dyn Blob + 'a>,
    /// bytes of the volume, which no access may leave
    size: u64,
    pages: HashMap<u64, Vec<u8>>,
    dirty: BTreeSet<u64>,
    changes: u64,
}

impl<'a> Device<'a> {
    /// The first `size` bytes are the volume.
    pub fn new(blob: Box<dyn Blob + 'a>, size: u64) -> Self {
        Self { blob, size, pages: HashMap::new(), dirty: BTreeSet::new(), changes: 0 }
    }

    /// The device below the cache.
    pub fn blob(&self) -> &dyn Blob {
        self.blob.as_ref()
    }

    /// The device alone; what was not written back is lost.
    pub fn into_blob(self) -> Box<dyn Blob + 'a> {
        self.blob
    }

    /// Bytes of the whole device.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    /// Grows with every change, so that a caller can tell whether an operation that failed had begun to change things.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn inside(&self, offset: u64, length: u64) -> Result<()> {
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            let message = format!("{length} bytes lie beyond the volume's {} bytes: run chkdsk", self.size);
            return Err(Error::corrupt(offset, message));
        }
        Ok(())
    }

    /// Pages `first..end` into the cache, those that are missing.
    fn load(&mut self, first: u64, end: u64) -> Result<()> {
        if (first..end).all(|page| self.pages.contains_key(&page)) {
            return Ok(());
        }
        let row = WINDOW / PAGE;
        let (first, end) = (first / row * row, end.div_ceil(row) * row);
        if (self.pages.len() + (end - first) as usize) * PAGE as usize > CACHE_MOST {
            self.flush()?;
            self.pages.clear();
        }
        let mut at = first * PAGE;
        let end = (end * PAGE).min(self.size);
        while at < end {
            let length = (end - at).min(u64::from(READ_MOST));
            let bytes = self.blob.read(at, length as u32)?;
            self.keep(at / PAGE, &bytes);
            at += length;
        }
        Ok(())
    }

    fn keep(&mut self, first: u64, bytes: &[u8]) {
        for (number, content) in (first..).zip(bytes.chunks(PAGE as usize)) {
            self.pages.entry(number).or_insert_with(|| content.to_vec());
        }
    }

    /// Brings pages that are going to be read into the cache, many places in one crossing.
    pub fn prefetch(&mut self, places: &[u64]) -> Result<()> {
        let inside = places.iter().filter(|place| **place < self.size);
        let pages: BTreeSet<u64> = inside.map(|place| place / PAGE).collect();
        let missing: Vec<u64> = pages.into_iter().filter(|page| !self.pages.contains_key(page)).collect();
        if (self.pages.len() + missing.len()) * PAGE as usize > CACHE_MOST {
            return Ok(());
        }
        for batch in missing.chunks((u64::from(READ_MOST) / PAGE) as usize) {
            let length = |page: &u64| PAGE.min(self.size - page * PAGE);
            let ranges: Vec<Range> =
                batch.iter().map(|page| Range { offset: page * PAGE, length: length(page) }).collect();
            let bytes = self.blob.read_many(&ranges)?;
            let mut at = 0;
            for (page, range) in batch.iter().zip(&ranges) {
                self.pages.insert(*page, part(&bytes, at, range.length as usize).to_vec());
                at += range.length as usize;
            }
        }
        Ok(())
    }

    /// Metadata.
    pub fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inside(offset, length as u64)?;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            if !self.pages.contains_key(&(at / PAGE)) {
                self.load(at / PAGE, at / PAGE + 1)?;
            }
            let page = self.pages.get(&(at / PAGE)).ok_or_else(lost)?;
            let piece = part(page, (at % PAGE) as usize, length - bytes.len());
            if piece.is_empty() {
                return Err(lost());
            }
            bytes.extend_from_slice(piece);
        }
        Ok(bytes)
    }

    /// Changes metadata.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inside(offset, bytes.len() as u64)?;
        self.changes += 1;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let piece = part(bytes, done, (PAGE - at % PAGE) as usize);
            self.load(at / PAGE, at / PAGE + 1)?;
            put(self.pages.get_mut(&(at / PAGE)).ok_or_else(lost)?, (at % PAGE) as usize, piece);
            self.dirty.insert(at / PAGE);
            done += piece.len();
        }
        Ok(())
    }

    /// File content, at most 1 MiB.
    pub fn read_content(&mut self, offset: u64, length: u64) -> Result<Vec<u8>> {
        self.inside(offset, length)?;
        let mut bytes = self.blob.read(offset, u32::try_from(length).unwrap_or(u32::MAX))?;
        let end = offset + length;
        for number in self.dirty.range(offset / PAGE..end.div_ceil(PAGE)) {
            let Some(page) = self.pages.get(number) else { continue };
            let (from, to) = ((number * PAGE).max(offset), (number * PAGE + PAGE).min(end));
            put(
                &mut bytes,
                (from - offset) as usize,
                part(page, (from % PAGE) as usize, (to - from) as usize),
            );
        }
        Ok(bytes)
    }

    /// Writes file content.
    pub fn write_content(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inside(offset, bytes.len() as u64)?;
        self.changes += 1;
        let end = offset + bytes.len() as u64;
        for number in offset / PAGE..end.div_ceil(PAGE) {
            let Some(page) = self.pages.get_mut(&number) else { continue };
            let (from, to) = ((number * PAGE).max(offset), (number * PAGE + PAGE).min(end));
            put(page, (from % PAGE) as usize, part(bytes, (from - offset) as usize, (to - from) as usize));
        }
        self.blob.write(offset, bytes)
    }

    /// Changes the backup of the boot sector, which lies behind the volume, where the device has room for one.
    pub fn write_backup(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let place = self.size + offset;
        if place + bytes.len() as u64 > self.blob.size() {
            return Ok(());
        }
        self.changes += 1;
        self.blob.write(place, bytes)
    }

    /// Writes changed pages back, neighbours together.
    pub fn flush(&mut self) -> Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        let piece = |page: &u64| Ok((page * PAGE, self.pages.get(page).ok_or_else(lost)?.as_slice()));
        self.blob.write_many(&dirty.iter().map(piece).collect::<Result<Vec<_>>>()?)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Failed, "a metadata page got lost in the cache: report this defect")
}
