//! Blocks and their sector bitmaps, read some at a time.

use crate::footer::SECTOR;
use crate::header::Header;
use wherry_sdk::bytes::{big, field};
use wherry_sdk::image::Window;
use wherry_sdk::{Blob, Error, READ_MOST, Range, Result};

/// "Unused table entries are initialized to 0xFFFFFFFF."
pub(crate) const UNUSED: u32 = u32::MAX;
/// Blocks of a batch.
const BATCH: u64 = 64;
/// Footer copy and dynamic header: no block can lie there.
const FIRST: u64 = 1536;

/// A block in use.
pub(crate) struct Block {
    /// Offset of its data.
    pub(crate) data: u64,
    /// One bit for each sector, the highest bit of a byte first.
    pub(crate) bitmap: Vec<u8>,
}

/// The blocks from `first` to at most `end`; none where nothing is stored.
pub(crate) fn batch(
    image: &dyn Blob,
    table: &mut Window,
    header: &Header,
    first: u64,
    end: u64,
) -> Result<Vec<Option<Block>>> {
    let size = header.bitmap();
    let most = (u64::from(READ_MOST) / size).clamp(1, BATCH);
    let mut blocks = Vec::new();
    let mut ranges = Vec::new();
    for number in first..end.min(first.saturating_add(most)) {
        let at = header.table + number * 4;
        let entry = big(table.field(image, at, 4)?, 0, 4) as u32;
        let offset = u64::from(entry) * SECTOR;
        if entry == UNUSED {
            blocks.push(None);
            continue;
        }
        if offset < FIRST || offset + size > image.size() {
            let message = format!("block {number} at {offset} lies in the header or beyond the file's end");
            return Err(Error::corrupt(at, message));
        }
        ranges.push(Range { offset, length: size });
        blocks.push(Some(Block { data: offset + size, bitmap: Vec::new() }));
    }
    let bytes = image.read_many(&ranges)?;
    for (number, block) in blocks.iter_mut().flatten().enumerate() {
        block.bitmap = field(&bytes, number * size as usize, size as usize).to_vec();
    }
    Ok(blocks)
}

impl Block {
    /// Runs of sectors: first, number, and whether they are stored.
    pub(crate) fn runs(&self, sectors: u64) -> Vec<(u64, u64, bool)> {
        let whole = (sectors / 8) as usize;
        if sectors.is_multiple_of(8) && field(&self.bitmap, 0, whole).iter().all(|byte| *byte == 0xff) {
            return vec![(0, sectors, true)];
        }
        let mut runs: Vec<(u64, u64, bool)> = Vec::new();
        for sector in 0..sectors {
            let byte = self.bitmap.get((sector / 8) as usize).copied().unwrap_or(0);
            let set = byte >> (7 - sector % 8) & 1 == 1;
            match runs.last_mut() {
                Some(run) if run.2 == set => run.1 += 1,
                _ => runs.push((sector, 1, set)),
            }
        }
        runs
    }
}
