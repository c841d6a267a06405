//! Lists of ranges in the making.

use crate::Range;

/// Ranges in one answer: 16 bytes each, within what the host takes in one list.
const RANGES_MOST: usize = 1 << 15;

/// The answer to `used` or `changed` in the making: ordered ranges, clipped, neighbours joined.
pub struct Ranges {
    list: Vec<Range>,
    span: core::ops::Range<u64>,
    most: usize,
}

impl Ranges {
    /// At most `most` ranges within `span`, in bytes: from where the caller asked to the end of the device.
    pub fn new(span: core::ops::Range<u64>, most: u32) -> Self {
        Self { list: Vec::new(), span, most: RANGES_MOST.min(most as usize) }
    }

    /// Adds the bytes from `from` to `to`, which lie behind all that were added before. False if there is no room for
    /// them: the list is complete.
    pub fn push(&mut self, from: u64, to: u64) -> bool {
        let (from, to) = (from.max(self.span.start), to.min(self.span.end));
        let full = self.list.len() >= self.most;
        match self.list.last_mut() {
            _ if from >= to => {}
            Some(last) if last.offset + last.length == from => last.length += to - from,
            _ if full => return false,
            _ => self.list.push(Range { offset: from, length: to - from }),
        }
        true
    }

    /// The list.
    pub fn finish(self) -> Vec<Range> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipped_and_joined() {
        let mut ranges = Ranges::new(10..100, 2);
        for (from, to, fits) in [(0, 5, true), (5, 20, true), (20, 30, true), (40, 40, true), (50, 60, true)]
        {
            assert_eq!(ranges.push(from, to), fits, "{from}");
        }
        assert!(ranges.push(60, 61) && !ranges.push(70, 80) && ranges.push(200, 300));
        let list: Vec<(u64, u64)> = ranges.finish().iter().map(|one| (one.offset, one.length)).collect();
        assert_eq!(list, [(10, 20), (50, 11)]);
        assert!(!Ranges::new(0..1, 0).push(0, 1));
    }
}
