//! A disk whose sectors are of another size than its medium says: an image of a disk with large sectors.

use crate::{Disk, Extent, Result};
use std::sync::Arc;

/// The same bytes, with the sector size that somebody knows better.
pub struct Sectored {
    base: Arc<dyn Disk>,
    sector_size: u32,
}

impl Sectored {
    /// `sector_size` in bytes.
    pub fn new(base: Arc<dyn Disk>, sector_size: u32) -> Self {
        Self { base, sector_size }
    }
}

impl Disk for Sectored {
    fn length(&self) -> u64 {
        self.base.length()
    }
    fn sector_size(&self) -> u32 {
        self.sector_size
    }
    fn is_checked(&self) -> bool {
        self.base.is_checked()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.base.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.base.write_at(offset, bytes)
    }
    fn zero(&self, offset: u64, length: u64) -> Result<()> {
        self.base.zero(offset, length)
    }
    fn flush(&self) -> Result<()> {
        self.base.flush()
    }
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        self.base.extents(start, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Masked, MemoryDisk, Overlay, Piece, SECTOR, Segments};

    #[test]
    fn every_layer_hands_the_sector_size_on() {
        let small: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![0; 8192]));
        let large: Arc<dyn Disk> = Arc::new(Sectored::new(small.clone(), 4096));
        assert_eq!((small.sector_size(), large.sector_size()), (SECTOR, 4096));
        let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(large));
        let masked = Masked::new(overlay.clone(), vec![0..512, 1024..4096]);
        let piece =
            |logical, disk: &Arc<dyn Disk>| Piece { logical, length: 4096, disk: disk.clone(), offset: 0 };
        let volume = Segments::new(vec![piece(0, &overlay), piece(4096, &small)]);
        assert_eq!([overlay.sector_size(), masked.sector_size(), volume.sector_size()], [4096; 3]);
        assert_eq!(Segments::new(vec![piece(0, &small)]).sector_size(), SECTOR);
        assert_eq!(Segments::new(Vec::new()).sector_size(), SECTOR);
        // What is written through it arrives.
        let wider = Sectored::new(small.clone(), 4096);
        wider.write_at(5, b"x").unwrap();
        wider.flush().unwrap();
        let mut read = [0; 2];
        small.read_at(4, &mut read).unwrap();
        assert_eq!(&read, b"\0x");
        wider.zero(5, 1).unwrap();
        small.read_at(4, &mut read).unwrap();
        assert_eq!(&read, b"\0\0");
    }
}
