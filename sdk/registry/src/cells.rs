//! Cells that are allocated and freed. Of a hive only the bins that edits touch are looked at: freed cells are used again
//! from there, and where they do not suffice bins are added behind the last one.

use crate::base::{BASE, BINS_MOST};
use crate::bytes::word;
use crate::hive::{Hive, LENGTH};
use crate::pages::Storage;
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::{Error, ErrorKind, Result};

/// "Hive bin": bytes of its header, and what bins are multiples of.
const HEADER: u32 = 32;
const PAGE: u32 = 4096;
/// A cell's length is a multiple of it.
const ALIGN: u32 = 8;
/// How far before a cell its bin begins at most; Windows' own have less than 2 MiB.
const BIN_MOST: u32 = 64 << 20;
/// Pages that look like a bin's first and are not: so many are tried.
const TRIES: usize = 8;

/// The cells of the bins that were looked at.
#[derive(Default)]
pub(crate) struct Cells {
    /// Bytes of each bin.
    bins: BTreeMap<u32, u32>,
    /// Length of each cell, and whether it is free.
    cells: BTreeMap<u32, (u32, bool)>,
    /// Length and place of those that are free.
    free: BTreeSet<(u32, u32)>,
}

impl Cells {
    fn bin(&self, at: u32) -> Option<(u32, u32)> {
        let (start, size) = self.bins.range(..=at).next_back()?;
        (at - start < *size).then_some((*start, *size))
    }

    fn set(&mut self, at: u32, length: u32, free: bool) {
        if let Some((old, true)) = self.cells.insert(at, (length, free)) {
            self.free.remove(&(old, at));
        }
        if free {
            self.free.insert((length, at));
        }
    }

    fn unset(&mut self, at: u32) {
        if let Some((length, true)) = self.cells.remove(&at) {
            self.free.remove(&(length, at));
        }
    }
}

impl<S: Storage> Hive<S> {
    /// Puts bytes into a new cell, if possible in a bin that was touched before, as that of the cell `near` is now.
    pub(crate) fn store(&mut self, bytes: &[u8], near: u32) -> Result<u32> {
        let too_long =
            || Error::new(ErrorKind::Limit, format!("{} bytes have no room in a cell", bytes.len()));
        let length =
            u32::try_from(bytes.len()).ok().filter(|length| *length < BIN_MOST).ok_or_else(too_long)?;
        let length = (length + LENGTH).next_multiple_of(ALIGN);
        self.load_bin(near)?;
        let found = self.cells.free.range((length, 0)..).next().copied();
        let (there, at) = match found {
            Some(found) => found,
            None => self.add_bin(length)?,
        };
        if there > length {
            self.mark(at + length, there - length, true)?;
        }
        self.cells.set(at, length, false);
        let mut cell = (length as i32).wrapping_neg().to_le_bytes().to_vec();
        cell.extend(bytes);
        cell.resize(length as usize, 0);
        self.pages.put(at, &cell)?;
        Ok(at)
    }

    /// Puts bytes into a cell in place of what it holds; into another where they have no room, which is then to be named
    /// instead.
    pub(crate) fn store_again(&mut self, at: u32, bytes: &[u8]) -> Result<u32> {
        if self.cell_length(at)? as usize >= bytes.len() {
            self.pages.put(at + LENGTH, bytes)?;
            return Ok(at);
        }
        let new = self.store(bytes, at)?;
        self.free(at)?;
        Ok(new)
    }

    /// Frees a cell, and joins it with those that are free beside it.
    pub(crate) fn free(&mut self, at: u32) -> Result<()> {
        let (start, size) = self.load_bin(at)?;
        let Some((mut length, false)) = self.cells.cells.get(&at).copied() else {
            return Err(Error::corrupt(
                BASE + u64::from(at),
                format!("a cell at {at} is in use where none is allocated"),
            ));
        };
        let mut first = at;
        if at + length < start + size
            && let Some((next, true)) = self.cells.cells.get(&(at + length)).copied()
        {
            self.cells.unset(at + length);
            length += next;
        }
        let before = self.cells.cells.range(start..at).next_back();
        if let Some((place, (before, true))) = before.map(|(place, cell)| (*place, *cell)) {
            self.cells.unset(at);
            (first, length) = (place, length + before);
        }
        self.mark(first, length, true)
    }

    /// Notes a cell, here and in the hive.
    fn mark(&mut self, at: u32, length: u32, free: bool) -> Result<()> {
        self.cells.set(at, length, free);
        let stored = if free { length } else { length.wrapping_neg() };
        self.pages.put(at, &stored.to_le_bytes())
    }

    /// A bin behind the last one, with room for a cell of that length: the free cell's length and place.
    fn add_bin(&mut self, length: u32) -> Result<(u32, u32)> {
        let (start, size) = (self.base.bins, (length + HEADER).next_multiple_of(PAGE));
        let bins = start.checked_add(size).filter(|bins| *bins <= BINS_MOST);
        let full = || Error::new(ErrorKind::Limit, "the hive would have more than 2 GiB");
        self.base.bins = bins.ok_or_else(full)?;
        let mut bin = vec![0; size as usize];
        wherry_sdk::bytes::put(&mut bin, 0, b"hbin");
        wherry_sdk::bytes::put(&mut bin, 4, &start.to_le_bytes());
        wherry_sdk::bytes::put(&mut bin, 8, &size.to_le_bytes());
        self.pages.put(start, &bin)?;
        self.cells.bins.insert(start, size);
        self.mark(start + HEADER, size - HEADER, true)?;
        Ok((size - HEADER, start + HEADER))
    }

    /// Looks at all cells of the bin that a cell is in: its place and size. What looks like a bin's header may be data that
    /// lies there, so the cells must fill it, and the one asked for be among them.
    fn load_bin(&mut self, at: u32) -> Result<(u32, u32)> {
        let refuse =
            |what: &str| Err(Error::corrupt(BASE + u64::from(at), format!("the cell at {at} {what}")));
        if let Some(bin) = self.cells.bin(at) {
            return if self.cells.cells.contains_key(&at) { Ok(bin) } else { refuse("is none of its bin's") };
        }
        if at >= self.base.bins {
            return refuse("lies outside of the bins");
        }
        let (last, mut tries) = (at / PAGE, 0);
        for page in (last.saturating_sub(BIN_MOST / PAGE)..=last).rev() {
            let start = page * PAGE;
            let head = self.pages.bins(start, 12)?;
            let size = word(&head, 8);
            let ends = start.checked_add(size).filter(|end| *end > at && *end <= self.base.bins);
            if !head.starts_with(b"hbin")
                || word(&head, 4) != start
                || !size.is_multiple_of(PAGE)
                || ends.is_none()
            {
                continue;
            }
            if let Some(cells) = self.tiles(start, size, at)? {
                self.cells.bins.insert(start, size);
                cells.into_iter().for_each(|(at, length, free)| self.cells.set(at, length, free));
                return Ok((start, size));
            }
            tries += 1;
            if tries == TRIES {
                break;
            }
        }
        refuse("is in no bin whose cells fill it")
    }

    /// The cells of a bin (place, length, whether it is free), if they fill it and one is where `wanted` says.
    fn tiles(&mut self, start: u32, size: u32, wanted: u32) -> Result<Option<Vec<(u32, u32, bool)>>> {
        let (mut cells, mut at, mut found) = (Vec::new(), start + HEADER, false);
        while at < start + size {
            let length = self.pages.word(at)? as i32;
            let (free, length) = (length > 0, length.unsigned_abs());
            if length == 0 || !length.is_multiple_of(ALIGN) || length > start + size - at {
                return Ok(None);
            }
            found |= at == wanted;
            cells.push((at, length, free));
            at += length;
        }
        Ok(found.then_some(cells))
    }
}
