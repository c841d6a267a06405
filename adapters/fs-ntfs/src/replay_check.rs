//! Whether what a replayed log touched is sound: file records, their clusters and names, indexes.

use crate::attribute::{self, ALLOCATION, BITMAP, Value};
use crate::file::File;
use crate::index::{BLOCK_HEADER, Collation, NAMES, Shape, entries, is_block_size};
use crate::log_replay::Replayed;
use crate::record::{IN_USE, NUMBER};
use crate::used::PIECE;
use crate::volume::{MFT, Volume};
use core::cmp::Ordering;
use std::collections::BTreeSet;
use wherry_sdk::bits::{find, is_set};
use wherry_sdk::{Error, ErrorKind, Result};

/// File records that are read together: 16 MiB of the largest, within what the cache keeps.
const TOGETHER: usize = 4096;

fn wrong(number: u64, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("file record {number} {what}"))
}

impl Volume<'_> {
    /// Looks at everything that a replay touched, and what belongs to it.
    pub fn check_replayed(&mut self, replayed: &Replayed) -> Result<()> {
        let table = self.file(MFT)?;
        let used = self.whole(&table, BITMAP, &[])?.unwrap_or_default();
        let mut files = BTreeSet::new();
        for number in &replayed.records {
            let record = self.record(*number);
            let marked = is_set(&used, *number);
            let in_use = record.as_ref().is_ok_and(|record| record.flags() & IN_USE != 0);
            if in_use != marked {
                return Err(wrong(*number, "is not in use as the table's bitmap says"));
            }
            if in_use {
                let record = record?;
                if record.pieces()?.iter().any(|piece| piece.id >= record.next_id()) {
                    return Err(wrong(*number, "has attributes of numbers that were not given away"));
                }
                let base = record.base() & NUMBER;
                files.insert(if base == 0 { *number } else { base });
            }
        }
        let mut indexes = replayed.indexes.clone();
        for number in files {
            if self.check_file(number)? {
                indexes.insert((number, NAMES.to_vec()));
            }
        }
        indexes.iter().try_for_each(|(number, name)| self.check_index(*number, name))
    }

    /// Whether `$Bitmap` has all of these clusters in use.
    fn are_taken(&mut self, lcn: u64, length: u64) -> Result<bool> {
        let (mut at, end) = (lcn, lcn + length);
        while at < end {
            let (bits, first) = self.bits(at)?;
            let next = (first + PIECE * 8).min(end);
            if find(&bits, at - first, next - first, false) < next - first {
                return Ok(false);
            }
            at = next;
        }
        Ok(true)
    }

    /// Whether it is a directory.
    fn check_file(&mut self, number: u64) -> Result<bool> {
        let file = self.file(number)?;
        for attribute in &file.attributes {
            if let Value::Stored(stored) = &attribute.value {
                if stored.runs.allocated() > self.boot.clusters {
                    return Err(wrong(number, "has more clusters than there are"));
                }
                for run in stored.runs.list() {
                    let Some(lcn) = run.lcn else { continue };
                    if !self.are_taken(lcn, run.length)? {
                        return Err(wrong(number, "has clusters that are free"));
                    }
                }
            }
        }
        let names = file.names()?;
        let links = self.record(number)?.links();
        if names.len() != usize::from(links) {
            return Err(wrong(number, "counts its names wrongly"));
        }
        for name in names {
            let directory = self.referred(name.parent)?;
            let found = self.find(&directory, &name.name)?;
            if found.is_none_or(|(reference, _)| reference != file.reference()) {
                return Err(wrong(number, "has a name that its directory does not have"));
            }
        }
        Ok(file.is_directory())
    }

    /// All of an index: the order, the blocks in use, and in a directory the files.
    fn check_index(&mut self, number: u64, name: &[u16]) -> Result<()> {
        // The file may have been deleted afterwards.
        let in_use = self.record(number).is_ok_and(|record| record.flags() & IN_USE != 0);
        let Some(file) = in_use.then(|| self.file(number)).transpose()? else { return Ok(()) };
        if file.get(attribute::ROOT, name).is_none() {
            return Ok(());
        }
        let shape = self.index_shape(&file, name);
        let Ok(shape) = shape else { return self.check_blocks(&file, name) };
        let mut entries = Vec::new();
        self.walk(&file, name, &mut |reference, key| entries.push((reference, key.to_vec())))?;
        let before = |pair: &[(u64, Vec<u8>)]| match pair {
            [(_, one), (_, two)] => shape.collation.compare(&self.upcase, one, two) == Ordering::Less,
            _ => true,
        };
        if !entries.windows(2).all(before) {
            return Err(wrong(number, "has an index that is not in order"));
        }
        if name == NAMES {
            self.check_named(number, entries.iter().map(|(reference, _)| *reference).collect())?;
        }
        self.check_marks(&file, name, shape)
    }

    /// What a directory names must be there; in the order of the table, as much at a time as is kept.
    fn check_named(&mut self, number: u64, mut files: Vec<u64>) -> Result<()> {
        files.sort_unstable_by_key(|reference| (reference & NUMBER, *reference));
        files.dedup();
        for some in files.chunks(TOGETHER) {
            self.prefetch(some.iter().map(|reference| reference & NUMBER))?;
            for reference in some {
                let record = self.record(reference & NUMBER)?;
                let same = u64::from(record.sequence()) == reference >> 48 && record.flags() & IN_USE != 0;
                if !same {
                    return Err(wrong(number, "is a directory that names what is not there"));
                }
            }
        }
        Ok(())
    }

    /// An index whose order is not known: its blocks must be some.
    fn check_blocks(&mut self, file: &File, name: &[u16]) -> Result<()> {
        let root = file.value(attribute::ROOT, name)?;
        let block = crate::bytes::u32_at(root, 8) as usize;
        if !is_block_size(block) {
            return Err(wrong(file.number, "has an index with blocks of an impossible size"));
        }
        self.check_marks(
            file,
            name,
            Shape { collation: Collation::Numbers, block, unit: self.boot.index_unit(block) },
        )
    }

    /// Every block that is in use must be one.
    fn check_marks(&mut self, file: &File, name: &[u16], shape: Shape) -> Result<()> {
        let Some(blocks) = file.get(ALLOCATION, name).map(|blocks| blocks.size() / shape.block as u64) else {
            return Ok(());
        };
        let marks = self.whole(file, BITMAP, name)?.unwrap_or_default();
        let mut block = find(&marks, 0, blocks, true);
        while block < blocks {
            let number = block * (shape.block as u64 / shape.unit).max(1);
            let bytes = self.index_block(file, name, shape, number)?;
            entries(&bytes, BLOCK_HEADER)?;
            block = find(&marks, block + 1, blocks, true);
        }
        Ok(())
    }
}
