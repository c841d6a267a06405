//! A hive's bytes: read by blocks when they are first needed, and changed in memory alone.

use crate::base::BASE;
use std::collections::BTreeMap;
use wherry_sdk::{Blob, Error, Result};

/// What is read at once.
const BLOCK: u64 = 64 << 10;
/// Clean blocks that are kept: 16 MiB.
const KEPT: usize = 256;

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

pub(crate) struct Pages<S> {
    storage: S,
    clean: BTreeMap<u64, Vec<u8>>,
    changed: BTreeMap<u64, Vec<u8>>,
}

impl<S: Storage> Pages<S> {
    pub fn new(storage: S) -> Self {
        Self { storage, clean: BTreeMap::new(), changed: BTreeMap::new() }
    }

    /// Bytes of the file as it lies there.
    pub fn size(&self) -> u64 {
        self.storage.size()
    }

    fn load(&self, block: u64) -> Result<Vec<u8>> {
        let start = block * BLOCK;
        let length = BLOCK.min(self.storage.size().saturating_sub(start));
        let mut bytes = if length == 0 { Vec::new() } else { self.storage.read(start, length as u32)? };
        bytes.resize(BLOCK as usize, 0);
        Ok(bytes)
    }

    fn block(&mut self, block: u64) -> Result<&[u8]> {
        if self.changed.contains_key(&block) {
            return Ok(&self.changed[&block]);
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
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            let (block, from) = (at / BLOCK, (at % BLOCK) as usize);
            let (now, later) = rest.split_at(rest.len().min(BLOCK as usize - from));
            if !self.changed.contains_key(&block) {
                let there = self.block(block)?.to_vec();
                self.changed.insert(block, there);
            }
            if let Some(there) = self.changed.get_mut(&block) {
                there[from..from + now.len()].copy_from_slice(now);
            }
            (rest, at) = (later, at + now.len() as u64);
        }
        Ok(())
    }

    /// The same as `read`, of a place among the bins.
    pub fn bins(&mut self, offset: u32, length: usize) -> Result<Vec<u8>> {
        self.read(BASE + u64::from(offset), length)
    }
}
