//! Copy-on-write: edits live in memory by pages of 4 KiB, the base is never written.

use crate::{Disk, Error, Extent, Kind, Result, extents, span, within};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, RwLock};

const PAGE: u64 = 4096;

/// A disk over another that keeps what is written to it.
pub struct Overlay {
    base: Arc<dyn Disk>,
    pages: RwLock<BTreeMap<u64, Box<[u8]>>>,
}

/// One page's share of a range: page number, offset within the page, offset within the range, length.
fn shares(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % PAGE) as usize;
        let take = (PAGE as usize - within).min(length - done);
        let share = (at / PAGE, within, done, take);
        done += take;
        Some(share)
    })
}

impl Overlay {
    /// An overlay without edits.
    pub fn new(base: Arc<dyn Disk>) -> Self {
        Self { base, pages: RwLock::default() }
    }

    /// Bytes held in memory.
    pub fn written_bytes(&self) -> u64 {
        self.pages.read().map_or(0, |pages| pages.len() as u64 * PAGE)
    }

    /// The page as the base has it; the last one is padded with zeroes.
    fn base_page(&self, number: u64) -> Result<Box<[u8]>> {
        let mut page = vec![0; PAGE as usize].into_boxed_slice();
        let length = PAGE.min(self.base.length() - number * PAGE) as usize;
        self.base.read_at(number * PAGE, &mut page[..length])?;
        Ok(page)
    }
}

fn poisoned<T>(_: T) -> Error {
    Error::new("a thread panicked while it wrote to this overlay")
}

impl Disk for Overlay {
    fn length(&self) -> u64 {
        self.base.length()
    }
    fn sector_size(&self) -> u32 {
        self.base.sector_size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(self.length(), offset, buffer.len())?;
        self.base.read_at(offset, buffer)?;
        let Some(last) = (offset + buffer.len() as u64).checked_sub(1) else { return Ok(()) };
        let pages = self.pages.read().map_err(poisoned)?;
        for (number, page) in pages.range(offset / PAGE..=last / PAGE) {
            let start = (number * PAGE).max(offset);
            let end = ((number + 1) * PAGE).min(offset + buffer.len() as u64);
            if start < end {
                let from = &page[(start - number * PAGE) as usize..(end - number * PAGE) as usize];
                buffer[(start - offset) as usize..(end - offset) as usize].copy_from_slice(from);
            }
        }
        Ok(())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        within(self.length(), offset, bytes.len())?;
        let mut pages = self.pages.write().map_err(poisoned)?;
        for (number, at, from, take) in shares(offset, bytes.len()) {
            let page = match pages.entry(number) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(none) => none.insert(self.base_page(number)?),
            };
            page[at..at + take].copy_from_slice(&bytes[from..from + take]);
        }
        Ok(())
    }
    /// The base's, with every edited page as data.
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        let end = span(self.length(), start, length)?;
        let pages = self.pages.read().map_err(poisoned)?;
        let mut list = Vec::new();
        for under in self.base.extents(start, length)? {
            let stop = under.offset + under.length;
            let mut at = under.offset;
            for number in pages.range(at / PAGE..stop.div_ceil(PAGE)).map(|(number, _)| *number) {
                let from = (number * PAGE).clamp(at, stop);
                let to = ((number + 1) * PAGE).min(stop).min(end);
                extents::push(&mut list, at, from - at, under.kind);
                extents::push(&mut list, from, to - from, Kind::Data);
                at = to;
            }
            extents::push(&mut list, at, stop - at, under.kind);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn behaves_like_a_copy_and_leaves_the_base_alone() {
        let mut model: Vec<u8> = (0..20_001u32).map(|n| n as u8).collect();
        let base = Arc::new(MemoryDisk::new(model.clone()));
        let overlay = Overlay::new(base.clone());
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        for round in 0..2_000u32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let offset = (random % 20_001) as usize;
            let length = ((random >> 32) % 9_000) as usize % (20_001 - offset + 1);
            if round % 3 == 0 {
                let bytes = vec![round as u8; length];
                overlay.write_at(offset as u64, &bytes).unwrap();
                model[offset..offset + length].copy_from_slice(&bytes);
            }
            let mut read = vec![0; length];
            overlay.read_at(offset as u64, &mut read).unwrap();
            assert_eq!(read, model[offset..offset + length], "round {round}: {offset}+{length}");
        }
        let mut whole = vec![0; 20_001];
        base.read_at(0, &mut whole).unwrap();
        assert!(whole.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    }

    #[test]
    fn refuses_ranges_beyond_the_end() {
        let overlay = Overlay::new(Arc::new(MemoryDisk::new(vec![0; 5000])));
        assert!(overlay.write_at(4999, &[1, 2]).is_err());
        assert!(overlay.write_at(u64::MAX, &[1]).is_err());
        assert!(overlay.read_at(5000, &mut [0]).is_err());
        assert!(overlay.write_at(5000, &[]).is_ok());
        assert_eq!(overlay.written_bytes(), 0);
    }

    #[test]
    fn an_edit_in_a_hole_is_data() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let overlay = Overlay::new(Arc::new(crate::FileDisk::open_read(file.path()).unwrap()));
        overlay.write_at(70_000, &[1; 10]).unwrap();
        let list = overlay.extents(100, (1 << 20) - 100).unwrap();
        assert_eq!(list.iter().map(|extent| extent.length).sum::<u64>(), (1 << 20) - 100);
        let holds = |extent: &&Extent| extent.offset <= 70_000 && extent.offset + extent.length >= 70_010;
        assert_eq!(list.iter().find(holds).unwrap().kind, Kind::Data);
        assert!(list.windows(2).all(|pair| pair[0].offset + pair[0].length == pair[1].offset));
    }
}
