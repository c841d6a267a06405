//! Tables of all files, a page at a time as they are needed; the newest pages are kept.

use std::collections::{BTreeMap, VecDeque};
use wherry_sdk::bytes::little;
use wherry_sdk::{Blob, Result};

/// Grain tables have 2 KiB and may lie anywhere; seSparse's have 32 KiB.
const PAGE: u64 = 16 << 10;
const PAGES_MOST: usize = 256;

/// Pages by part and number.
#[derive(Default)]
pub(crate) struct Pages {
    kept: BTreeMap<(u32, u64), Vec<u8>>,
    /// In the order of their arrival.
    order: VecDeque<(u32, u64)>,
}

impl Pages {
    /// The number of `length` bytes at `offset` of part `part`, which is `file`; `length` is a power of two, and
    /// `offset` a multiple of it. Zero beyond the end of the file.
    pub(crate) fn number(&mut self, file: &dyn Blob, part: u32, offset: u64, length: usize) -> Result<u64> {
        Ok(little(self.page(file, part, offset / PAGE)?, (offset % PAGE) as usize, length))
    }

    /// Whether all of the `length` bytes at `offset` are zero, or beyond the end of the file.
    pub(crate) fn are_zero(&mut self, file: &dyn Blob, part: u32, offset: u64, length: u64) -> Result<bool> {
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let (within, next) = ((at % PAGE) as usize, (at / PAGE + 1).saturating_mul(PAGE).min(end));
            let bytes = self.page(file, part, at / PAGE)?;
            let last = within.saturating_add((next - at) as usize).min(bytes.len());
            if bytes.get(within..last).unwrap_or_default().iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at = next;
        }
        Ok(true)
    }

    fn page(&mut self, file: &dyn Blob, part: u32, page: u64) -> Result<&[u8]> {
        let key = (part, page);
        if !self.kept.contains_key(&key) {
            let start = page * PAGE;
            let bytes = match PAGE.min(file.size().saturating_sub(start)) {
                0 => Vec::new(),
                length => file.read(start, length as u32)?,
            };
            if self.order.len() >= PAGES_MOST
                && let Some(oldest) = self.order.pop_front()
            {
                self.kept.remove(&oldest);
            }
            self.order.push_back(key);
            self.kept.insert(key, bytes);
        }
        Ok(self.kept.get(&key).map_or(&[], Vec::as_slice))
    }
}
