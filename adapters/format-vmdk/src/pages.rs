//! Tables of all files, a page at a time as they are needed; the newest pages are kept.

use crate::bytes::number;
use std::collections::{BTreeMap, VecDeque};
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
        let (key, within) = ((part, offset / PAGE), (offset % PAGE) as usize);
        if let Some(bytes) = self.kept.get(&key) {
            return Ok(number(bytes, within, length));
        }
        let start = key.1 * PAGE;
        let bytes = match PAGE.min(file.size().saturating_sub(start)) {
            0 => Vec::new(),
            length => file.read(start, length as u32)?,
        };
        let found = number(&bytes, within, length);
        if self.order.len() >= PAGES_MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept.remove(&oldest);
        }
        self.order.push_back(key);
        self.kept.insert(key, bytes);
        Ok(found)
    }
}
