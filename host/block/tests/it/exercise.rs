//! Every parser on any bytes.

use wherry_block::Ranges;
use wherry_block::changes::{era_invalidate, thin_delta};

const LENGTH: u64 = 1 << 40;

/// What is believed is in order and within the volume.
fn sound(ranges: &Ranges) {
    let mut last = None;
    for range in ranges.as_slice() {
        assert!(range.start < range.end && range.end <= LENGTH && last.is_none_or(|last| last < range.start));
        last = Some(range.end);
    }
}

/// Drives both parsers; says how many believed it.
pub fn exercise(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let answers = [thin_delta(&text, LENGTH), era_invalidate(&text, 65536, LENGTH)];
    answers.iter().flatten().inspect(|ranges| sound(ranges)).count()
}
