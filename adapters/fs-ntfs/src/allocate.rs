//! Taking and giving back clusters and file records.

use crate::attribute::{BITMAP, DATA, Stored, Value};
use crate::file::File;
use crate::record::{IN_USE, Record};
use crate::used::PIECE;
use crate::volume::{MFT, Volume};
use wherry_sdk::bits::{fill, find, is_set};
use wherry_sdk::{Error, ErrorKind, Result};

/// Files of others begin here; the records before are kept for the table itself.
const RECORDS_FIRST: u64 = 24;
/// Records that the table may use to describe itself.
const RECORDS_OWN: u64 = 16;
/// The table grows by so many records.
const RECORDS_MORE: u64 = 64;

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{}: run chkdsk", what.into()))
}

impl Volume<'_> {
    /// Free runs from cluster `from` up to `to`, until `visit` has seen enough and says false.
    fn free_runs(&mut self, from: u64, to: u64, visit: &mut dyn FnMut(u64, u64) -> bool) -> Result<bool> {
        let (mut at, mut start) = (from, None);
        while at < to {
            let (bits, first) = self.bits(at)?;
            let end = (first + PIECE * 8).min(to);
            while at < end {
                match start {
                    None => {
                        at = first + find(&bits, at - first, end - first, false);
                        start = Some(at).filter(|_| at < end);
                    }
                    Some(begin) => {
                        at = first + find(&bits, at - first, end - first, true);
                        if at < end {
                            start = None;
                            if !visit(begin, at - begin) {
                                return Ok(false);
                            }
                        }
                    }
                }
            }
        }
        Ok(start.is_none_or(|begin| visit(begin, to - begin)))
    }

    /// Takes `want` clusters, in one run if there is one, near `goal`.
    pub fn allocate(&mut self, goal: u64, want: u64) -> Result<Vec<(u64, u64)>> {
        if want == 0 {
            return Ok(Vec::new());
        }
        if self.free_clusters()? < want {
            let message = format!("the volume has no {want} free clusters: remove something in the guest");
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        let (goal, clusters) = (goal.min(self.boot.clusters), self.boot.clusters);
        // One run; else long ones; else any.
        for least in [want, (want / 64).max(2), 1] {
            let (mut taken, mut left) = (Vec::new(), want);
            let mut visit = |start: u64, length: u64| {
                if length >= least {
                    taken.push((start, length.min(left)));
                    left -= length.min(left);
                }
                left > 0
            };
            if self.free_runs(goal, clusters, &mut visit)? {
                self.free_runs(0, goal, &mut visit)?;
            }
            if left == 0 {
                for (start, length) in &taken {
                    self.mark(*start, *length, true)?;
                }
                return Ok(taken);
            }
        }
        Err(corrupt("$Bitmap has fewer free clusters than were counted"))
    }

    /// Gives clusters back. Those that are free already are `corrupt`, which also ends loops through damaged runs.
    pub fn release(&mut self, runs: &[(u64, u64)]) -> Result<()> {
        for (start, length) in runs {
            self.mark(*start, *length, false)?;
        }
        Ok(())
    }

    fn mark(&mut self, start: u64, length: u64, used: bool) -> Result<()> {
        let free = self.free_clusters()?;
        let bitmap = self.bitmap.clone();
        let (first, end) = (start / 8, (start + length).div_ceil(8));
        let mut bits = self.stored_bytes(&bitmap, first, (end - first) as usize)?;
        let from = start - first * 8;
        if find(&bits, from, from + length, used) < from + length {
            let state = if used { "free and marked as used" } else { "used and marked as free" };
            return Err(corrupt(format!("clusters {start}+{length} are {state}")));
        }
        fill(&mut bits, from, length, used);
        self.free = Some(if used { free.saturating_sub(length) } else { free + length });
        self.write_stored(&bitmap, first, &bits)
    }

    /// Adds clusters behind an attribute's last, near it.
    pub fn extend(&mut self, stored: &mut Stored, clusters: u64) -> Result<()> {
        let last = stored.runs.list().last().and_then(|run| run.lcn.map(|lcn| lcn + run.length));
        let taken = self.allocate(last.unwrap_or(self.goal), clusters)?;
        for (start, length) in &taken {
            stored.runs.push(Some(*start), *length);
        }
        if last.is_none() {
            self.goal = taken.last().map_or(self.goal, |(start, length)| start + length);
        }
        Ok(())
    }

    /// Sets or clears bits of a bitmap that is an attribute of `file`; the file is not stored.
    pub fn set_bits(&mut self, file: &mut File, name: &[u16], first: u64, value: bool) -> Result<()> {
        let missing = || corrupt("a bitmap is missing or too short");
        match &mut file.get_mut(BITMAP, name).ok_or_else(missing)?.value {
            Value::Resident { bytes, .. } => fill(bytes, first, 1, value),
            Value::Stored(stored) => {
                let stored = stored.clone();
                let mut byte = self.stored_bytes(&stored, first / 8, 1)?;
                fill(&mut byte, first % 8, 1, value);
                self.write_stored(&stored, first / 8, &byte)?;
            }
        }
        Ok(())
    }

    /// Makes a bitmap long enough for `bits` bits; the file is not stored.
    pub fn grow_bits(&mut self, file: &mut File, name: &[u16], bits: u64) -> Result<()> {
        let length = bits.div_ceil(64) * 8;
        let Some(attribute) = file.get_mut(BITMAP, name) else {
            return Err(corrupt("a bitmap is missing"));
        };
        match &mut attribute.value {
            Value::Resident { bytes, .. } => {
                let length = (length as usize).max(bytes.len());
                bytes.resize(length, 0);
            }
            Value::Stored(stored) if stored.initialized < length => {
                let mut grown = stored.clone();
                let clusters = length.div_ceil(self.boot.cluster).saturating_sub(grown.runs.end());
                self.extend(&mut grown, clusters)?;
                let zeroes = vec![0; (length - grown.initialized) as usize];
                self.write_stored(&grown, grown.initialized, &zeroes)?;
                grown.size = grown.size.max(length);
                grown.initialized = length;
                attribute.value = Value::Stored(grown);
            }
            Value::Stored(_) => {}
        }
        Ok(())
    }

    /// Takes a file record: its number, and the sequence number that references to it have to have.
    pub fn allocate_record(&mut self, own: bool) -> Result<(u64, u16)> {
        let mut mft = (*self.file(MFT)?).clone();
        let bits = self.whole(&mft, BITMAP, &[])?.unwrap_or_default();
        let usable = self.mft.initialized / self.boot.record as u64;
        let from = if own { RECORDS_OWN } else { RECORDS_FIRST.max(self.free_record_from) };
        let number = find(&bits, from, usable, false);
        if number >= usable {
            if own {
                let message = "the master file table is in too many pieces: defragment it in the guest";
                return Err(Error::new(ErrorKind::NoSpace, message));
            }
            self.grow_mft(mft)?;
            return self.allocate_record(own);
        }
        let sequence = self.record(number).map_or(1, |record| record.sequence().max(1));
        self.set_bits(&mut mft, &[], number, true)?;
        if mft.get(BITMAP, &[]).is_some_and(|bitmap| bitmap.bytes().is_some()) {
            self.store(&mut mft)?;
        }
        if !own {
            self.free_record_from = number + 1;
        }
        let mut record = Record::empty(number, self.boot.record, self.about.version >= (3, 1));
        record.set_state(sequence, 0, IN_USE, 0);
        self.write_record(&mut record)?;
        Ok((number, sequence))
    }

    /// Gives a file record back; references to it are void from now on.
    pub fn release_record(&mut self, number: u64) -> Result<()> {
        let mut record = self.record(number)?;
        let sequence = record.sequence().checked_add(1).unwrap_or(1);
        record.set_state(sequence, record.links(), record.flags() & !IN_USE, record.base());
        self.write_record(&mut record)?;
        self.files.remove(&number);
        self.names.forget_all(number);
        self.free_record_from = self.free_record_from.min(number);
        let mut mft = (*self.file(MFT)?).clone();
        let bits = self.whole(&mft, BITMAP, &[])?.unwrap_or_default();
        if !is_set(&bits, number) {
            return Err(corrupt(format!("file record {number} is in use and marked as free")));
        }
        self.set_bits(&mut mft, &[], number, false)?;
        if mft.get(BITMAP, &[]).is_some_and(|bitmap| bitmap.bytes().is_some()) {
            self.store(&mut mft)?;
        }
        Ok(())
    }

    /// Makes the master file table longer: clusters, empty records in them, and bits for them.
    fn grow_mft(&mut self, mut mft: File) -> Result<()> {
        let (size, cluster) = (self.boot.record as u64, self.boot.cluster);
        let mut data = self.mft.clone();
        if (data.runs.end() * cluster).saturating_sub(data.initialized) < size {
            // Whole records even where clusters are smaller.
            let mut clusters = (RECORDS_MORE * size).div_ceil(cluster);
            if self.free_clusters()? < clusters {
                clusters = size.div_ceil(cluster);
            }
            self.extend(&mut data, clusters)?;
        }
        let (first, end) = (data.initialized / size, data.runs.end() * cluster / size);
        data.size = end * size;
        data.initialized = data.size;
        if let Some(attribute) = mft.get_mut(DATA, &[]) {
            attribute.value = Value::Stored(data.clone());
        }
        self.grow_bits(&mut mft, &[], end)?;
        self.mft = data;
        for number in first..end {
            let mut record = Record::empty(number, self.boot.record, self.about.version >= (3, 1));
            self.write_record(&mut record)?;
        }
        self.store(&mut mft)
    }
}
