//! A hive's bytes: read by blocks when they are first needed, and changed in memory alone.

use crate::base::BASE;
use crate::bytes::word;
use std::collections::BTreeMap;
use wherry_sdk::{Blob, Error, Patch, Result};

/// What is read at once.
const BLOCK: u64 = 64 << 10;
/// Clean blocks that are kept: 16 MiB.
const KEPT: usize = 256;
/// Equal bytes between two changes that are written again rather than begin another patch.
const GAP: usize = 16;

/// Where a hive lies: a file of a guest.
pub trait Storage {
    /// Bytes.
    fn size(&self) -> u64;
    /// Exactly `length` bytes (64 KiB at most) from `offset`.
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>>;
}

impl<B: Blob + ?Sized> Storage for Box<B> {
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        (**self).read(offset, length)
    }
}

impl Storage for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let there = self.get(offset as usize..(offset + u64::from(length)) as usize);
        there.map(<[u8]>::to_vec).ok_or_else(|| Error::corrupt(offset, "the hive's file ends here"))
    }
}

/// A block that was written to, and what it held when changes were last taken.
struct Changed {
    now: Vec<u8>,
    before: Vec<u8>,
}

pub(crate) struct Pages<S> {
    storage: S,
    clean: BTreeMap<u64, Vec<u8>>,
    changed: BTreeMap<u64, Changed>,
    /// Bytes of the file when changes were last taken.
    length: u64,
    writes: u64,
    reads: u64,
}

impl<S: Storage> Pages<S> {
    pub fn new(storage: S) -> Self {
        let length = storage.size();
        let (clean, changed) = (BTreeMap::new(), BTreeMap::new());
        Self { storage, clean, changed, length, writes: 0, reads: 0 }
    }

    /// Bytes of the file: as it lies there, or as it was last taken.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How often something was written.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// How many blocks of 64 KiB were read from where the hive lies.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    fn load(&mut self, block: u64) -> Result<Vec<u8>> {
        self.reads += 1;
        let start = block * BLOCK;
        let length = BLOCK.min(self.storage.size().saturating_sub(start));
        let mut bytes = if length == 0 { Vec::new() } else { self.storage.read(start, length as u32)? };
        bytes.resize(BLOCK as usize, 0);
        Ok(bytes)
    }

    fn block(&mut self, block: u64) -> Result<&[u8]> {
        if self.changed.contains_key(&block) {
            return Ok(&self.changed[&block].now);
        }
        if !self.clean.contains_key(&block) {
            let bytes = self.load(block)?;
            if self.clean.len() >= KEPT {
                self.clean.clear();
            }
            self.clean.insert(block, bytes);
        }
        Ok(&self.clean[&block])
    }

    /// `length` bytes of the file; zeroes behind its end.
    pub fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let (mut bytes, mut at, end) = (Vec::with_capacity(length), offset, offset + length as u64);
        while at < end {
            let (from, take) = (at % BLOCK, (BLOCK - at % BLOCK).min(end - at));
            bytes.extend_from_slice(&self.block(at / BLOCK)?[from as usize..(from + take) as usize]);
            at += take;
        }
        Ok(bytes)
    }

    /// Changes bytes in memory.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.writes += 1;
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            let (block, from) = (at / BLOCK, (at % BLOCK) as usize);
            let (now, later) = rest.split_at(rest.len().min(BLOCK as usize - from));
            if !self.changed.contains_key(&block) {
                let before = self.block(block)?.to_vec();
                self.clean.remove(&block);
                self.changed.insert(block, Changed { now: before.clone(), before });
            }
            if let Some(there) = self.changed.get_mut(&block) {
                there.now[from..from + now.len()].copy_from_slice(now);
            }
            (rest, at) = (later, at + now.len() as u64);
        }
        Ok(())
    }

    /// The same as `read`, of a place among the bins.
    pub fn bins(&mut self, offset: u32, length: usize) -> Result<Vec<u8>> {
        self.read(BASE + u64::from(offset), length)
    }

    /// A number of 4 bytes among the bins, at a multiple of 4.
    pub fn word(&mut self, offset: u32) -> Result<u32> {
        let at = BASE + u64::from(offset);
        Ok(word(self.block(at / BLOCK)?, (at % BLOCK) as usize))
    }

    /// Changes bytes among the bins.
    pub fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<()> {
        self.write(BASE + u64::from(offset), bytes)
    }

    /// What differs from what was there when this was last called, or from the file; the file has `length` bytes from now on.
    pub fn take(&mut self, length: u64) -> Result<Vec<Patch>> {
        let (mut patches, old) = (Vec::new(), self.length);
        // What was added may have pages that nobody wrote.
        for block in old / BLOCK..length.div_ceil(BLOCK).max(old / BLOCK) {
            if length > old && !self.changed.contains_key(&block) {
                let before = self.block(block)?.to_vec();
                self.changed.insert(block, Changed { now: before.clone(), before });
            }
        }
        for (block, changed) in &mut self.changed {
            let start = block * BLOCK;
            let end = length.saturating_sub(start).min(BLOCK) as usize;
            // What lies behind the end of the file differs whatever it is.
            let known = old.saturating_sub(start).min(BLOCK) as usize;
            for (from, to) in differences(&changed.before[..known], &changed.now[..end]) {
                patches.push(Patch { offset: start + from as u64, bytes: changed.now[from..to].to_vec() });
            }
            changed.before.clone_from(&changed.now);
        }
        self.length = length;
        Ok(patches)
    }
}

/// Where `now` differs from `before`, or has no counterpart there.
fn differences(before: &[u8], now: &[u8]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut add = |from: usize, to: usize| match found.last_mut() {
        Some(last) if from <= last.1 + GAP => last.1 = to,
        _ => found.push((from, to)),
    };
    let both = before.len().min(now.len());
    for at in (0..both).step_by(GAP) {
        let end = both.min(at + GAP);
        if before[at..end] == now[at..end] {
            continue;
        }
        let mut differing = (at..end).filter(|at| before[*at] != now[*at]);
        if let Some(first) = differing.next() {
            add(first, differing.next_back().unwrap_or(first) + 1);
        }
    }
    if both < now.len() {
        add(both, now.len());
    }
    found
}
