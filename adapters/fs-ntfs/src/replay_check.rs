//! Whether what a replayed log touched is sound: file records, their clusters and names, indexes.

use crate::attribute::{self, ALLOCATION, BITMAP, Value};
use crate::bytes::byte_at;
use crate::file::File;
use crate::index::{Collation, NAMES, Shape};
use crate::log_replay::Replayed;
use crate::record::{IN_USE, NUMBER};
use crate::volume::{MFT, Volume};
use core::cmp::Ordering;
use std::collections::BTreeSet;
use wherry_sdk::{Error, ErrorKind, Result};

/// Bits of `$Bitmap` that are looked at together.
const MARKS: u64 = 1 << 20;

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
            let marked = byte_at(&used, (number / 8) as usize) & 1 << (number % 8) != 0;
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
        for number in files {
            self.check_file(number)?;
        }
        for (number, name) in &replayed.indexes {
            self.check_index(*number, name)?;
        }
        Ok(())
    }

    /// Whether `$Bitmap` has all of these clusters in use.
    fn are_taken(&mut self, lcn: u64, length: u64) -> Result<bool> {
        let (bitmap, mut at, end) = (self.bitmap.clone(), lcn, lcn + length);
        while at < end {
            let next = (at / MARKS * MARKS + MARKS).min(end);
            let first = at / 8;
            let marks = self.stored_bytes(&bitmap, first, (next.div_ceil(8) - first) as usize)?;
            if !(at..next).all(|lcn| byte_at(&marks, (lcn / 8 - first) as usize) & 1 << (lcn % 8) != 0) {
                return Ok(false);
            }
            at = next;
        }
        Ok(true)
    }

    fn check_file(&mut self, number: u64) -> Result<()> {
        let file = self.file(number)?;
        for attribute in &file.attributes {
            if let Value::Stored(stored) = &attribute.value {
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
        if file.is_directory() {
            self.check_index(number, NAMES)?;
        }
        Ok(())
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
            self.prefetch(entries.iter().map(|(reference, _)| reference & NUMBER))?;
            for (reference, _) in entries {
                let record = self.record(reference & NUMBER)?;
                let same = u64::from(record.sequence()) == reference >> 48 && record.flags() & IN_USE != 0;
                if !same {
                    return Err(wrong(number, "is a directory that names what is not there"));
                }
            }
        }
        self.check_marks(&file, name, shape)
    }

    /// An index whose order is not known: its blocks must be some.
    fn check_blocks(&mut self, file: &File, name: &[u16]) -> Result<()> {
        let root = file.value(attribute::ROOT, name)?;
        let block = crate::bytes::u32_at(root, 8) as usize;
        if !block.is_power_of_two() || !(512..=65536).contains(&block) {
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
        for block in 0..blocks {
            if byte_at(&marks, (block / 8) as usize) & 1 << (block % 8) != 0 {
                let number = block * (shape.block as u64 / shape.unit).max(1);
                let bytes = self.index_block(file, name, shape, number)?;
                crate::index::entries(&bytes, crate::index::BLOCK_HEADER)?;
            }
        }
        Ok(())
    }
}
