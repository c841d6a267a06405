//! Bytes in memory: new content for a file, small test disks.

use crate::{Disk, Error, Result, within};
use std::sync::RwLock;

/// A disk in memory.
#[derive(Debug)]
pub struct MemoryDisk(RwLock<Vec<u8>>);

impl MemoryDisk {
    /// A disk of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(RwLock::new(bytes.into()))
    }
}

fn poisoned<T>(_: T) -> Error {
    Error::new("a thread panicked while it held this disk")
}

impl Disk for MemoryDisk {
    fn length(&self) -> u64 {
        self.0.read().map_or(0, |bytes| bytes.len() as u64)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let bytes = self.0.read().map_err(poisoned)?;
        within(bytes.len() as u64, offset, buffer.len())?;
        buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
        Ok(())
    }
    fn write_at(&self, offset: u64, new: &[u8]) -> Result<()> {
        let mut bytes = self.0.write().map_err(poisoned)?;
        within(bytes.len() as u64, offset, new.len())?;
        bytes[offset as usize..][..new.len()].copy_from_slice(new);
        Ok(())
    }
}
