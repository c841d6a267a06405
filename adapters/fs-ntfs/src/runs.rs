//! Where an attribute's clusters are: runs, as they are packed into "mapping pairs".
//!
//! Source: the Linux-NTFS documentation, "Data Runs" (flatcap.github.io/linux-ntfs/ntfs/concepts/data_runs.html).

use crate::bytes::{byte_at, part};
use wherry_sdk::{Error, ErrorKind, Result};

/// Neighbouring clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// the first cluster, counted in the attribute
    pub vcn: u64,
    /// the first cluster, counted in the volume; none is a hole, which reads as zeroes
    pub lcn: Option<u64>,
    /// clusters, at least one
    pub length: u64,
}

impl Run {
    /// The cluster of the attribute behind the run.
    pub fn end(&self) -> u64 {
        self.vcn + self.length
    }
}

/// Runs without gaps, from cluster 0 of the attribute on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(Vec<Run>);

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the runs of an attribute {what}: run chkdsk"))
}

impl Runs {
    /// All runs.
    pub fn list(&self) -> &[Run] {
        &self.0
    }

    /// Clusters of the attribute, holes counted.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, Run::end)
    }

    /// Clusters of the volume.
    pub fn allocated(&self) -> u64 {
        self.0.iter().filter(|run| run.lcn.is_some()).map(|run| run.length).sum()
    }

    /// Adds clusters behind the last.
    pub fn push(&mut self, lcn: Option<u64>, length: u64) {
        let vcn = self.end();
        if length == 0 {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.lcn.map(|lcn| lcn + last.length) == lcn => last.length += length,
            _ => self.0.push(Run { vcn, lcn, length }),
        }
    }

    /// The rest of the run that holds cluster `vcn`, from there on.
    pub fn at(&self, vcn: u64) -> Option<Run> {
        let index = self.0.partition_point(|run| run.end() <= vcn);
        let run = self.0.get(index)?;
        let by = vcn.checked_sub(run.vcn)?;
        Some(Run { vcn, lcn: run.lcn.map(|lcn| lcn + by), length: run.length - by })
    }

    /// Unpacks mapping pairs, which begin at cluster `self.end()`, for a volume of `clusters` clusters.
    pub fn unpack(&mut self, pairs: &[u8], clusters: u64) -> Result<()> {
        let (mut at, mut lcn) = (0usize, 0i64);
        loop {
            let head = byte_at(pairs, at);
            if head == 0 {
                return Ok(());
            }
            let (count_size, place_size) = (usize::from(head & 15), usize::from(head >> 4));
            let count = signed(part(pairs, at + 1, count_size), count_size)?;
            let length = u64::try_from(count).ok().filter(|length| *length > 0);
            let length = length.ok_or_else(|| corrupt("have an impossible length"))?;
            self.end()
                .checked_add(length)
                .filter(|end| *end < 1 << 48)
                .ok_or_else(|| corrupt("are too long"))?;
            if place_size == 0 {
                self.push(None, length);
            } else {
                let step = signed(part(pairs, at + 1 + count_size, place_size), place_size)?;
                lcn = lcn.checked_add(step).ok_or_else(|| corrupt("lead out of the volume"))?;
                let first = u64::try_from(lcn).ok();
                let first =
                    first.filter(|first| first.checked_add(length).is_some_and(|end| end <= clusters));
                self.push(Some(first.ok_or_else(|| corrupt("lead out of the volume"))?), length);
            }
            at += 1 + count_size + place_size;
        }
    }

    /// Packs runs from cluster `from` on into at most `most` bytes; returns them with the cluster that follows.
    pub fn pack(&self, from: u64, most: usize) -> (Vec<u8>, u64) {
        let (mut pairs, mut last, mut vcn) = (Vec::new(), 0i64, from);
        while let Some(run) = self.at(vcn) {
            let mut pair = vec![0];
            let count_size = push_signed(&mut pair, run.length as i64);
            let mut place_size = 0;
            if let Some(lcn) = run.lcn {
                place_size = push_signed(&mut pair, lcn as i64 - last);
            }
            // One byte more: the zero at the end.
            if pairs.len() + pair.len() + 1 > most {
                break;
            }
            if let Some(head) = pair.first_mut() {
                *head = (place_size << 4 | count_size) as u8;
            }
            last = run.lcn.map_or(last, |lcn| lcn as i64);
            pairs.extend(pair);
            vcn = run.end();
        }
        pairs.push(0);
        (pairs, vcn)
    }

    /// Cuts at cluster `end` and returns what lay behind, in clusters of the volume.
    pub fn cut(&mut self, end: u64) -> Vec<(u64, u64)> {
        let mut gone = Vec::new();
        while let Some(run) = self.0.pop() {
            if run.end() <= end {
                self.0.push(run);
                break;
            }
            let keep = end.saturating_sub(run.vcn);
            if let Some(lcn) = run.lcn {
                gone.push((lcn + keep, run.length - keep));
            }
            if keep > 0 {
                self.0.push(Run { length: keep, ..run });
                break;
            }
        }
        gone
    }

    /// Puts clusters in the place of a hole, or of a part of it.
    pub fn fill(&mut self, vcn: u64, lcn: u64, length: u64) {
        let mut filled = Self::default();
        for run in &self.0 {
            let (from, to) = (vcn.clamp(run.vcn, run.end()), (vcn + length).clamp(run.vcn, run.end()));
            filled.push(run.lcn, from - run.vcn);
            filled.push(Some(lcn + (from - vcn.min(from))), to - from);
            filled.push(run.lcn.map(|lcn| lcn + (to - run.vcn)), run.end() - to);
        }
        *self = filled;
    }
}

/// A signed little-endian number of `size` bytes.
fn signed(bytes: &[u8], size: usize) -> Result<i64> {
    if bytes.len() != size || size == 0 || size > 8 {
        return Err(corrupt("are cut off"));
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1i64 } else { 0 };
    Ok(bytes.iter().rev().fold(start, |value, byte| value << 8 | i64::from(*byte)))
}

/// Appends the fewest bytes that keep the number's sign, and returns how many they are.
fn push_signed(to: &mut Vec<u8>, value: i64) -> usize {
    let bytes = value.to_le_bytes();
    let size = (1..8).find(|size| {
        let shift = 64 - 8 * size;
        value << shift >> shift == value
    });
    let size = size.unwrap_or(8);
    to.extend_from_slice(part(&bytes, 0, size));
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(list: &[(Option<u64>, u64)]) -> Runs {
        let mut runs = Runs::default();
        list.iter().for_each(|(lcn, length)| runs.push(*lcn, *length));
        runs
    }

    #[test]
    fn packed_and_unpacked() {
        let list =
            runs(&[(Some(0x1234), 0x18), (None, 200), (Some(5), 0x7fff), (Some(1 << 33), 1), (None, 3)]);
        let (pairs, end) = list.pack(0, 100);
        assert_eq!(end, list.end());
        let mut again = Runs::default();
        again.unpack(&pairs, 1 << 34).unwrap();
        assert_eq!(again, list);
        assert!(Runs::default().unpack(&pairs, 1 << 33).is_err(), "beyond the volume");
        // In two pieces, each with its own beginning.
        let (first, middle) = list.pack(0, 8);
        let (rest, end) = list.pack(middle, 100);
        let mut again = Runs::default();
        again.unpack(&first, 1 << 34).unwrap();
        assert_eq!((again.end(), end), (middle, list.end()));
        again.unpack(&rest, 1 << 34).unwrap();
        assert_eq!(again, list);
    }

    #[test]
    fn looked_up_cut_and_filled() {
        let mut list = runs(&[(Some(100), 10), (None, 10), (Some(50), 10)]);
        assert_eq!(list.at(15), Some(Run { vcn: 15, lcn: None, length: 5 }));
        assert_eq!(list.at(23), Some(Run { vcn: 23, lcn: Some(53), length: 7 }));
        assert_eq!((list.at(30), list.allocated()), (None, 20));
        list.fill(12, 200, 3);
        assert_eq!(list, runs(&[(Some(100), 10), (None, 2), (Some(200), 3), (None, 5), (Some(50), 10)]));
        list.fill(10, 110, 2);
        assert_eq!(list.at(3), Some(Run { vcn: 3, lcn: Some(103), length: 9 }), "joined");
        assert_eq!(list.cut(13), [(50, 10), (201, 2)]);
        assert_eq!(list.end(), 13);
        assert_eq!(list.cut(0), [(200, 1), (100, 12)]);
    }
}
