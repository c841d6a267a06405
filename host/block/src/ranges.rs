//! Ranges of a disk: those that changed, those that nobody uses.

use std::ops::Range;

/// Byte ranges in order; none is empty, and they neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Of ranges in any order, which may overlap.
    pub fn new(mut list: Vec<Range<u64>>) -> Self {
        list.retain(|range| range.start < range.end);
        list.sort_unstable_by_key(|range| range.start);
        list.dedup_by(|next, last| {
            let joined = next.start <= last.end;
            if joined {
                last.end = last.end.max(next.end);
            }
            joined
        });
        Self(list)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// What of them lies between `start` and `end`.
    pub fn within(&self, start: u64, end: u64) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.partition_point(|range| range.end <= start);
        let there = self.0[first..].iter().take_while(move |range| range.start < end && start < end);
        there.map(move |range| range.start.max(start)..range.end.min(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_cut() {
        let ranges = Ranges::new(vec![20..30, 5..5, 0..10, 9..12, 12..13, 40..50, 42..44]);
        assert_eq!(ranges.as_slice(), [0..13, 20..30, 40..50]);
        assert_eq!(ranges.bytes(), 33);
        let within = |start, end| ranges.within(start, end).collect::<Vec<_>>();
        assert_eq!(within(0, 100), ranges.as_slice());
        assert_eq!(within(12, 21), [12..13, 20..21]);
        assert_eq!(within(25, 41), [25..30, 40..41]);
        assert!(within(13, 20).is_empty() && within(50, 60).is_empty() && within(7, 7).is_empty());
    }
}
