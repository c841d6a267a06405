//! A disk of zeroes that lie nowhere.

use crate::{Disk, Error, Extent, Kind, Result, extents, is_zero, span, within};

/// Zeroes, so many bytes. What writes zeroes there changes nothing; anything else is refused.
pub struct Zeroes(pub u64);

impl Disk for Zeroes {
    fn length(&self) -> u64 {
        self.0
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(self.0, offset, buffer.len())?;
        buffer.fill(0);
        Ok(())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        within(self.0, offset, bytes.len())?;
        if is_zero(bytes) {
            return Ok(());
        }
        Err(Error::new(format!(
            "write {} bytes at {offset}: nothing on any disk stands for this place",
            bytes.len()
        )))
    }
    fn zero(&self, offset: u64, length: u64) -> Result<()> {
        span(self.0, offset, length).map(|_| ())
    }
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        span(self.0, start, length)?;
        let mut list = Vec::new();
        extents::push(&mut list, start, length, Kind::Zero);
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_zeroes_and_takes_nothing_else() {
        let disk = Zeroes(1 << 40);
        let mut read = [1; 600];
        disk.read_at((1 << 40) - 600, &mut read).unwrap();
        assert!(is_zero(&read));
        assert!(disk.write_at(7, &[0; 9]).is_ok() && disk.zero(0, 1 << 40).is_ok());
        assert!(disk.write_at(7, &[0, 1]).unwrap_err().to_string().contains("no"));
        assert!(disk.write_at(1 << 40, &[0]).is_err() && disk.read_at(1 << 40, &mut [0]).is_err());
        assert_eq!(disk.extents(5, 10).unwrap(), [Extent { offset: 5, length: 10, kind: Kind::Zero }]);
    }
}
