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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_are_written_to_the_byte() {
        let disk = MemoryDisk::new(vec![1; 3 << 20]);
        disk.zero(1000, (2 << 20) + 1).unwrap();
        disk.zero(7, 0).unwrap();
        let mut bytes = vec![2; 3 << 20];
        disk.read_at(0, &mut bytes).unwrap();
        let end = 1000 + (2 << 20) + 1;
        assert!(bytes[1000..end].iter().all(|byte| *byte == 0));
        assert!(bytes[..1000].iter().chain(&bytes[end..]).all(|byte| *byte == 1));
        assert!(disk.zero(1, 3 << 20).is_err() && disk.zero(u64::MAX, 2).is_err());
    }
}
