//! A log that was left open although all of it is on the volume: nothing was logged behind the last checkpoint, and that
//! says that no page was dirty and no transaction under way. A volume that was idle when its disk was copied is like that.
//!
//! Whatever is not as expected means no: torn pages, newer records anywhere, any change behind the checkpoint's start.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::log_change::operation;
use crate::log_pages::{Area, Pages};
use wherry_sdk::Result;

/// The bytes of a checkpoint that are looked at.
const CHECKPOINT_LENGTH: usize = 0x40;

/// Operations that change nothing: none, an attribute that was opened, and the tables of a checkpoint.
fn changes_nothing(code: u16) -> bool {
    matches!(code, operation::NONE | operation::OPEN_ATTRIBUTE..=operation::DUMP_TRANSACTIONS)
}

/// Whether nothing is to be done for a log with these pages, the newest record of which is a checkpoint.
pub fn is_harmless(area: &Area, pages: &Pages) -> Result<bool> {
    let checkpoint = pages.record(area.checkpoint)?;
    let start = u64_at(&checkpoint.data, 8);
    let empty = u32_at(&checkpoint.data, 0x38) == 0 && u32_at(&checkpoint.data, 0x3c) == 0;
    let right = checkpoint.checkpoint && checkpoint.data.len() >= CHECKPOINT_LENGTH;
    if !right || !empty || pages.newest != area.checkpoint || start >= area.checkpoint {
        return Ok(false);
    }
    for number in pages.follow(start)?.into_iter().skip(1) {
        let record = pages.record(number)?;
        if !record.checkpoint && (record.data.len() < 2 || !changes_nothing(u16_at(&record.data, 0))) {
            return Ok(false);
        }
    }
    Ok(true)
}
