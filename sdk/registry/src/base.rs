//! The base block (the specification, "Base block"): the first 4096 bytes of a hive, and of which a log has a copy.

use crate::bytes::{number, word};
use wherry_sdk::{Error, Result};

/// Bytes of the base block; cells count from its end.
pub(crate) const BASE: u64 = 4096;
/// Bytes that the checksum is over.
const SUMMED: usize = 508;
/// A hive has less than 2 GiB: the highest bit of an offset says that a cell is volatile.
pub(crate) const BINS_MOST: u32 = 0x7fff_f000;

/// What is known of a base block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub primary: u32,
    pub secondary: u32,
    /// FILETIME.
    pub written: u64,
    pub minor: u32,
    /// 0 in a hive; 1 in an old log, 6 in a new one.
    pub file_type: u32,
    pub root: u32,
    /// Bytes of all bins.
    pub bins: u32,
    /// Sectors of 512 bytes in one of the disk's.
    pub clustering: u32,
}

/// XOR of the words; all zeroes and all ones are kept for what they could be mistaken for.
pub(crate) fn checksum(block: &[u8]) -> u32 {
    let sum = block[..SUMMED.min(block.len())].chunks_exact(4).fold(0, |sum, bytes| sum ^ word(bytes, 0));
    match sum {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    }
}

impl Base {
    /// None if these are not the first bytes of a base block, or its checksum is wrong.
    pub fn read(block: &[u8]) -> Option<Self> {
        let whole = block.len() >= SUMMED + 4 && block.starts_with(b"regf");
        if !whole || word(block, SUMMED) != checksum(block) {
            return None;
        }
        Some(Self {
            primary: word(block, 4),
            secondary: word(block, 8),
            written: number(block, 12, 8),
            minor: word(block, 24),
            file_type: word(block, 28),
            root: word(block, 36),
            bins: word(block, 40),
            clustering: word(block, 44),
        })
    }

    /// Whether a writer has begun and not ended.
    pub fn is_dirty(&self) -> bool {
        self.primary != self.secondary
    }

    /// Refuses what cannot be.
    pub fn check(&self, size: u64) -> Result<()> {
        let refuse = |at, message: String| Err(Error::corrupt(at, message));
        if !(1..=6).contains(&self.minor) {
            return Err(Error::unsupported(format!("regf 1.{}: 1.1 to 1.6 are known", self.minor)));
        }
        if self.bins > BINS_MOST || !self.bins.is_multiple_of(BASE as u32) || self.bins == 0 {
            return refuse(40, format!("{} bytes of bins", self.bins));
        }
        if BASE + u64::from(self.bins) > size {
            return refuse(40, format!("{} bytes of bins in a file of {size} bytes", self.bins));
        }
        Ok(())
    }
}
