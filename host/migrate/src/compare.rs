//! Whether two disks hold the same bytes, whatever their formats.

use crate::{Error, ErrorKind, Result};
use block::{Disk, Kind};
use runtime::Adapters;
use serde::Serialize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Read of each disk at once.
const PIECE: u64 = 1 << 20;
/// Extents are asked for this far ahead, which bounds the memory that they take.
const WINDOW: u64 = 4 << 30;
const NOWHERE: u64 = u64::MAX;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// No byte differs; where one disk is longer, the rest of it is zero.
    pub identical: bool,
    /// Whether both have the same length.
    pub same_size: bool,
    /// The first byte that differs.
    pub first_difference: Option<u64>,
    /// Bytes that had to be read of the longer disk; the rest is zero in both without reading.
    pub compared: u64,
}

/// Compares; ranges that both say are zero are not read. A shorter disk counts as continued with zeroes.
/// `watch` is told how many of how many bytes are done.
pub fn compare(
    one: &dyn Disk,
    other: &dyn Disk,
    adapters: &Adapters,
    watch: &(dyn Fn(u64, u64) + Sync),
) -> Result<Comparison> {
    let (long, short) = if one.length() < other.length() { (other, one) } else { (one, other) };
    let total = long.length();
    let queue = Mutex::new(Ranges { long, short, at: 0, pending: Vec::new() });
    let (first, compared) = (AtomicU64::new(NOWHERE), AtomicU64::new(0));
    let work = || -> Result<()> {
        let (mut left, mut right) = (vec![0; PIECE as usize], vec![0; PIECE as usize]);
        while let Some(range) = queue.lock().unwrap_or_else(PoisonError::into_inner).next()? {
            if range.start >= first.load(Relaxed) {
                break;
            }
            if adapters.job.cancelled() {
                return Err(Error::new(ErrorKind::Stopped, "stopped as asked"));
            }
            let length = (range.end - range.start) as usize;
            let (left, right) = (&mut left[..length], &mut right[..length]);
            long.read_at(range.start, left)?;
            let there = short.length().saturating_sub(range.start).min(length as u64) as usize;
            short.read_at(range.start, &mut right[..there])?;
            right[there..].fill(0);
            if left != right {
                let same = left.iter().zip(right.iter()).take_while(|(left, right)| left == right).count();
                first.fetch_min(range.start + same as u64, Relaxed);
            }
            compared.fetch_add(length as u64, Relaxed);
            watch(range.end, total);
        }
        Ok(())
    };
    let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            thread.join().unwrap_or_else(|_| Err(Error::failed("comparing crashed")))
        };
        all.into_iter().map(ended).collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })?;
    watch(total, total);
    let first = Some(first.into_inner()).filter(|at| *at != NOWHERE);
    Ok(Comparison {
        identical: first.is_none(),
        same_size: long.length() == short.length(),
        first_difference: first,
        compared: compared.into_inner(),
    })
}

/// The ranges in which at least one of the disks may hold something.
struct Ranges<'a> {
    long: &'a dyn Disk,
    short: &'a dyn Disk,
    at: u64,
    /// Of the window before `at`, the next one last.
    pending: Vec<Range<u64>>,
}

impl Ranges<'_> {
    /// The next piece.
    fn next(&mut self) -> Result<Option<Range<u64>>> {
        while self.pending.is_empty() {
            if self.at == self.long.length() {
                return Ok(None);
            }
            let end = self.at.saturating_add(WINDOW).min(self.long.length());
            self.pending = self.window(self.at, end)?;
            self.at = end;
        }
        let Some(range) = self.pending.pop() else { return Ok(None) };
        let end = (range.start + PIECE).min(range.end);
        if end < range.end {
            self.pending.push(end..range.end);
        }
        Ok(Some(range.start..end))
    }

    /// The union of what both have between `start` and `end`, backwards.
    fn window(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>> {
        let mut all = Vec::new();
        for disk in [self.long, self.short] {
            let end = end.min(disk.length());
            if start < end {
                let list = disk.extents(start, end - start)?;
                let data = list.into_iter().filter(|extent| extent.kind == Kind::Data);
                all.extend(data.map(|extent| extent.offset..extent.offset + extent.length));
            }
        }
        all.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in all {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged.reverse();
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::MemoryDisk;

    fn found(one: &[u8], other: &[u8]) -> Comparison {
        let adapters = Adapters::load(&[], None, &runtime::Limits::default()).unwrap();
        let disks = [one, other].map(|bytes| MemoryDisk::new(bytes.to_vec()));
        compare(&disks[0], &disks[1], &adapters, &|_, _| ()).unwrap()
    }

    #[test]
    fn the_first_difference_is_found() {
        let mut bytes: Vec<u8> = (0..5 << 20).map(|at: u32| (at / 7) as u8).collect();
        let same = bytes.clone();
        assert!(found(&bytes, &same).identical);
        assert_eq!(found(&bytes, &same).compared, 5 << 20);
        for at in [(5 << 20) - 1, 3 << 20, (1 << 20) + 17, 0] {
            bytes[at] ^= 0x80;
            let answer = found(&bytes, &same);
            assert_eq!(answer.first_difference, Some(at as u64));
            assert!(!answer.identical && answer.same_size);
        }
    }

    #[test]
    fn a_longer_disk_is_the_same_if_the_rest_is_zero() {
        let mut long = vec![7; 100];
        let short = long.clone();
        long.resize(3000, 0);
        for answer in [found(&long, &short), found(&short, &long)] {
            assert!(answer.identical && !answer.same_size);
        }
        long[2999] = 1;
        assert_eq!(found(&short, &long).first_difference, Some(2999));
        assert!(found(&[], &[]).identical);
    }
}
