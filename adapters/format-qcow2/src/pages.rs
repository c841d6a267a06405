//! Tables: small ones are read whole, the others on demand, a page at a time, and the newest pages are kept.

use crate::header::Table;
use std::collections::{BTreeMap, VecDeque};
use wherry_sdk::bytes::big;
use wherry_sdk::{Blob, READ_MOST, Result};

/// Pages of one size, at most `most` of them.
pub(crate) struct Pages {
    size: u64,
    most: usize,
    kept: BTreeMap<u64, Vec<u8>>,
    /// In the order of their arrival.
    order: VecDeque<u64>,
}

impl Pages {
    /// `size` is a power of two, at least 512 and at most 1 MiB.
    pub(crate) fn new(size: u64, most: usize) -> Self {
        Self { size, most, kept: BTreeMap::new(), order: VecDeque::new() }
    }

    /// The big-endian number of `length` bytes at `offset`, both powers of two and aligned. Bytes beyond the end
    /// of the file are zero: its last cluster "may be semi-allocated" (QEMU, block/qcow2-refcount.c).
    pub(crate) fn number(&mut self, image: &dyn Blob, offset: u64, length: usize) -> Result<u64> {
        let (page, within) = (offset / self.size, (offset % self.size) as usize);
        if let Some(bytes) = self.kept.get(&page) {
            return Ok(big(bytes, within, length));
        }
        let start = page * self.size;
        let mut bytes = match self.size.min(image.size().saturating_sub(start)) {
            0 => Vec::new(),
            length => image.read(start, length as u32)?,
        };
        bytes.resize(self.size as usize, 0);
        let found = big(&bytes, within, length);
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept.remove(&oldest);
        }
        self.order.push_back(page);
        self.kept.insert(page, bytes);
        Ok(found)
    }
}

/// All entries of `table`, whose number the caller has bounded; those beyond the end of the file are zero.
pub(crate) fn entries(image: &dyn Blob, table: Table) -> Result<Vec<u64>> {
    let mut words = Vec::with_capacity(table.entries as usize);
    let end = table.offset.saturating_add(table.entries * 8).min(image.size());
    let mut at = table.offset;
    while at < end {
        let length = (end - at).min(READ_MOST.into());
        let bytes = image.read(at, length as u32)?;
        words.extend(bytes.chunks_exact(8).map(|word| big(word, 0, 8)));
        at += length;
    }
    words.resize(table.entries as usize, 0);
    Ok(words)
}
