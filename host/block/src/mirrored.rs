//! A disk whose bytes lie in several places: reading takes the first, writing goes to all.

use crate::{Disk, Error, Extent, Result};
use std::sync::Arc;

/// Several disks of one length that hold the same.
pub struct Mirrored {
    first: Arc<dyn Disk>,
    others: Vec<Arc<dyn Disk>>,
}

impl Mirrored {
    /// `first` is the one that is read; refused where another one has another length.
    pub fn new(first: Arc<dyn Disk>, others: Vec<Arc<dyn Disk>>) -> Result<Self> {
        match others.iter().find(|other| other.length() != first.length()) {
            Some(other) => Err(Error::new(format!(
                "a copy has {} bytes and what it is a copy of has {}",
                other.length(),
                first.length()
            ))),
            None => Ok(Self { first, others }),
        }
    }
}

impl Disk for Mirrored {
    fn length(&self) -> u64 {
        self.first.length()
    }
    fn sector_size(&self) -> u32 {
        self.first.sector_size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.first.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.first.write_at(offset, bytes)?;
        self.others.iter().try_for_each(|other| other.write_at(offset, bytes))
    }
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        self.first.extents(start, length)
    }
    fn flush(&self) -> Result<()> {
        self.first.flush()?;
        self.others.iter().try_for_each(|other| other.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn writes_reach_every_copy() {
        let one: Arc<dyn Disk> = Arc::new(MemoryDisk::new(*b"abcdef"));
        let two: Arc<dyn Disk> = Arc::new(MemoryDisk::new(*b"123456"));
        let disk = Mirrored::new(one, vec![two.clone()]).unwrap();
        let mut read = [0; 6];
        disk.read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"abcdef");
        disk.write_at(2, b"XY").unwrap();
        two.read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"12XY56");
        let short: Arc<dyn Disk> = Arc::new(MemoryDisk::new(*b"12345"));
        assert!(Mirrored::new(two, vec![short]).is_err());
    }
}
