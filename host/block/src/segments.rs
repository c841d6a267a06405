//! A disk made of pieces of others: a partition, a logical volume.

use crate::{Disk, Error, Extent, Result, SECTOR, extents, span, within};
use std::sync::Arc;

/// `length` bytes at `logical` are those at `offset` of `disk`.
#[derive(Clone)]
pub struct Piece {
    /// Where in the composed disk.
    pub logical: u64,
    /// Bytes.
    pub length: u64,
    /// Whose bytes.
    pub disk: Arc<dyn Disk>,
    /// Where in `disk`.
    pub offset: u64,
}

/// A composed disk; writes go through to the pieces. A range that no piece covers cannot be read.
pub struct Segments {
    pieces: Vec<Piece>,
    length: u64,
}

impl Segments {
    /// Pieces in any order.
    pub fn new(mut pieces: Vec<Piece>) -> Self {
        pieces.sort_by_key(|piece| piece.logical);
        let length = pieces.iter().map(|piece| piece.logical.saturating_add(piece.length)).max().unwrap_or(0);
        Self { pieces, length }
    }

    /// Calls `each` with piece, offset in the piece's disk, and the part of the range (start, end) that lies there.
    fn each(
        &self,
        offset: u64,
        length: usize,
        mut each: impl FnMut(&Piece, u64, usize, usize) -> Result<()>,
    ) -> Result<()> {
        within(self.length, offset, length)?;
        let mut done = 0;
        let mut next =
            self.pieces.partition_point(|piece| piece.logical.saturating_add(piece.length) <= offset);
        while done < length {
            let at = offset + done as u64;
            let hole = || Error::new(format!("byte {at} belongs to no segment"));
            let piece = self.pieces.get(next).filter(|piece| piece.logical <= at).ok_or_else(hole)?;
            let inside = at - piece.logical;
            let take = (piece.length.saturating_sub(inside)).min((length - done) as u64) as usize;
            if take > 0 {
                each(piece, piece.offset + inside, done, done + take)?;
            }
            done += take;
            next += 1;
        }
        Ok(())
    }
}

impl Disk for Segments {
    fn length(&self) -> u64 {
        self.length
    }
    /// The largest of the pieces', as the device mapper does for a volume on several disks.
    fn sector_size(&self) -> u32 {
        self.pieces.iter().map(|piece| piece.disk.sector_size()).max().unwrap_or(SECTOR)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.each(offset, buffer.len(), |piece, at, start, end| {
            piece.disk.read_at(at, &mut buffer[start..end])
        })
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.each(offset, bytes.len(), |piece, at, start, end| piece.disk.write_at(at, &bytes[start..end]))
    }
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        span(self.length, start, length)?;
        let whole = usize::try_from(length).map_err(|_| Error::new("range too long for this machine"))?;
        let mut list = Vec::new();
        self.each(start, whole, |piece, at, from, to| {
            for extent in piece.disk.extents(at, (to - from) as u64)? {
                let logical = start + from as u64 + (extent.offset - at);
                extents::push(&mut list, logical, extent.length, extent.kind);
            }
            Ok(())
        })?;
        Ok(list)
    }
    fn flush(&self) -> Result<()> {
        self.pieces.iter().try_for_each(|piece| piece.disk.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn reads_and_writes_across_pieces() {
        let one: Arc<dyn Disk> = Arc::new(MemoryDisk::new(*b"abcdef"));
        let two: Arc<dyn Disk> = Arc::new(MemoryDisk::new(*b"123456"));
        let disk = Segments::new(vec![
            Piece { logical: 3, length: 2, disk: two.clone(), offset: 4 },
            Piece { logical: 0, length: 3, disk: one, offset: 1 },
        ]);
        let mut read = [0; 5];
        disk.read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"bcd56");
        disk.write_at(2, b"XY").unwrap();
        disk.read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"bcXY6");
        let mut under = [0; 6];
        two.read_at(0, &mut under).unwrap();
        assert_eq!(&under, b"1234Y6");
        assert!(disk.read_at(4, &mut [0; 2]).is_err());
    }

    #[test]
    fn a_gap_is_an_error_not_zeroes() {
        let one: Arc<dyn Disk> = Arc::new(MemoryDisk::new(*b"abcdef"));
        let piece = |logical| Piece { logical, length: 1, disk: one.clone(), offset: 0 };
        let disk = Segments::new(vec![piece(0), piece(2)]);
        assert!(disk.read_at(0, &mut [0; 3]).unwrap_err().to_string().contains("byte 1"));
    }
}
