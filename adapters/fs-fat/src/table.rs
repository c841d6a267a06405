//! The file allocation table: for each cluster the next one of its chain. All copies are written, one is read.

use crate::boot::Geometry;
use std::collections::BTreeMap;
use wherry_sdk::bytes::{little, put};
use wherry_sdk::{Blob, Error, Result};

/// A multiple of 3, so that no 12-bit entry lies on two pages; a FAT12 table is smaller than this anyway.
const PAGE: u64 = 48 << 10;
/// Pages kept in memory: 12 MiB.
const PAGES_MOST: usize = 256;

/// What a table says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    Free,
    Next(u32),
    End,
    /// Not to be used.
    Bad,
}

/// Pages of the table as far as they were needed.
pub struct Table {
    bits: u32,
    entries: u32,
    copies: Vec<u64>,
    length: u64,
    pages: BTreeMap<u64, Page>,
}

struct Page {
    bytes: Vec<u8>,
    changed: bool,
}

impl Table {
    pub fn new(geometry: &Geometry) -> Self {
        Self {
            bits: geometry.bits,
            entries: geometry.clusters.saturating_add(2),
            copies: geometry.tables.clone(),
            length: geometry.table_length,
            pages: BTreeMap::new(),
        }
    }

    /// What is said of `cluster`; a successor that does not exist is an error.
    pub fn get(&mut self, device: &dyn Blob, cluster: u32) -> Result<Link> {
        let raw = self.raw(device, cluster)?;
        let top = self.mask();
        match raw {
            0 => Ok(Link::Free),
            _ if raw >= top - 7 => Ok(Link::End),
            _ if raw == top - 8 => Ok(Link::Bad),
            next if next >= 2 && next < self.entries => Ok(Link::Next(next)),
            next => {
                let message = format!("cluster {cluster} is followed by {next}, which does not exist");
                Err(Error::corrupt(self.first().saturating_add(self.at(cluster)), message))
            }
        }
    }

    /// The entry's bits, without the four that FAT32 reserves.
    pub fn raw(&mut self, device: &dyn Blob, cluster: u32) -> Result<u32> {
        let (shift, mask, width) = (self.shift(cluster), self.mask(), self.width());
        let (page, within) = self.page(device, self.at(cluster))?;
        Ok((little(&page.bytes, within, width) >> shift) as u32 & mask)
    }

    /// Notes what is said of `cluster` from now on.
    pub fn set(&mut self, device: &dyn Blob, cluster: u32, link: Link) -> Result<()> {
        let value = match link {
            Link::Free => 0,
            Link::Next(next) => next,
            Link::End => self.mask(),
            Link::Bad => self.mask() - 8,
        };
        self.set_raw(device, cluster, value)
    }

    /// Notes an entry's bits; its neighbours and the reserved ones stay.
    pub fn set_raw(&mut self, device: &dyn Blob, cluster: u32, value: u32) -> Result<()> {
        let (shift, mask, width) = (self.shift(cluster), self.mask(), self.width());
        let (page, within) = self.page(device, self.at(cluster))?;
        let kept = little(&page.bytes, within, width) & !(u64::from(mask) << shift);
        let new = kept | u64::from(value & mask) << shift;
        put(&mut page.bytes, within, new.to_le_bytes().get(..width).unwrap_or_default());
        page.changed = true;
        Ok(())
    }

    /// Writes changed pages into every copy.
    pub fn flush(&mut self, device: &dyn Blob) -> Result<()> {
        for (index, page) in self.pages.iter_mut().filter(|(_, page)| page.changed) {
            for copy in &self.copies {
                device.write(copy + index * PAGE, &page.bytes)?;
            }
            page.changed = false;
        }
        Ok(())
    }

    fn first(&self) -> u64 {
        self.copies.first().copied().unwrap_or_default()
    }

    fn mask(&self) -> u32 {
        match self.bits {
            12 => 0xfff,
            16 => 0xffff,
            _ => 0x0fff_ffff,
        }
    }

    /// Bytes that hold an entry.
    fn width(&self) -> usize {
        if self.bits == 32 { 4 } else { 2 }
    }

    /// Where an entry starts: odd ones of FAT12 in the middle of a byte.
    fn at(&self, cluster: u32) -> u64 {
        u64::from(cluster) * u64::from(self.bits) / 8
    }

    fn shift(&self, cluster: u32) -> u32 {
        if self.bits == 12 { cluster % 2 * 4 } else { 0 }
    }

    /// The page with byte `at` of the table, and where in the page that is.
    fn page(&mut self, device: &dyn Blob, at: u64) -> Result<(&mut Page, usize)> {
        let index = at / PAGE;
        if !self.pages.contains_key(&index) {
            if self.pages.len() >= PAGES_MOST {
                self.flush(device)?;
                self.pages.clear();
            }
            let start = index * PAGE;
            let length = self.length.saturating_sub(start).min(PAGE);
            let bytes = device.read(self.first().saturating_add(start), length as u32)?;
            self.pages.insert(index, Page { bytes, changed: false });
        }
        let page = self.pages.get_mut(&index).ok_or_else(|| Error::corrupt(at, "a table page is missing"))?;
        Ok((page, (at % PAGE) as usize))
    }
}
