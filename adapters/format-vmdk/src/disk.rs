//! The disk as the sequence of its extents, each in one of the image's files.

use crate::bytes::SECTOR;
use crate::concerns;
use crate::cowd;
use crate::descriptor::{Access, Kind, Line};
use crate::hosted::Hosted;
use crate::sesparse;
use crate::sparse::{Entries, Sparse};
use wherry_sdk::{Blob, Concern, Error, Result};

/// Bytes of the disk from `start` on.
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) stored: Stored,
}

/// Where a piece is.
pub(crate) enum Stored {
    Zero,
    /// From this byte of a file on.
    Flat {
        part: u32,
        offset: u64,
    },
    Sparse {
        part: u32,
        sparse: Sparse,
    },
}

/// The pieces in the order of the disk, and what speaks against reading them.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) size: u64,
    pub(crate) concerns: Vec<Concern>,
}

impl Disk {
    /// Of a sparse extent with a descriptor in it.
    pub(crate) fn embedded(file: &dyn Blob, hosted: Hosted) -> Result<Self> {
        let capacity = hosted.header.capacity;
        let mut disk = Self { concerns: hosted.concerns, ..Self::default() };
        let Some(sparse) = hosted.sparse else {
            disk.size = bytes(capacity)?;
            return Ok(disk);
        };
        disk.concerns.extend(concerns::of_directories(file, &sparse)?);
        disk.add(capacity, Stored::Sparse { part: 0, sparse })?;
        Ok(disk)
    }

    /// Of a descriptor's lines; `numbers` are their parts, 0 where they have none. Without `files`, whose first is
    /// part 0, only the size is told.
    pub(crate) fn described(
        lines: &[Line],
        numbers: &[u32],
        files: Option<&[Box<dyn Blob>]>,
    ) -> Result<Self> {
        let mut disk = Self::default();
        for (line, part) in lines.iter().zip(numbers) {
            let file = files.and_then(|files| files.get(*part as usize)).filter(|_| *part > 0);
            let name = line.file.as_deref().unwrap_or_default();
            let stored = match file {
                Some(file) => disk.open(line, *part, file.as_ref()).map_err(|error| error.within(name))?,
                None => Stored::Zero,
            };
            disk.add(line.sectors, stored)?;
        }
        Ok(disk)
    }

    fn add(&mut self, sectors: u64, stored: Stored) -> Result<()> {
        let start = self.size;
        let length = bytes(sectors)?;
        self.size = start.checked_add(length).filter(|end| *end <= i64::MAX as u64).ok_or_else(too_large)?;
        self.pieces.push(Piece { start, length, stored });
        Ok(())
    }

    fn open(&mut self, line: &Line, part: u32, file: &dyn Blob) -> Result<Stored> {
        if line.access == Access::None {
            return Ok(Stored::Zero);
        }
        let head = || file.read(0, file.size().min(SECTOR) as u32);
        let sparse = match line.kind {
            Kind::Flat => return self.flat(line, part, file),
            Kind::SeSparse => sesparse::read(file)?,
            Kind::Sparse => {
                let head = head()?;
                if head.starts_with(cowd::MAGIC) {
                    cowd::read(file, &head)?
                } else {
                    let hosted = Hosted::read(file, &head)?;
                    self.concerns.extend(hosted.concerns);
                    match hosted.sparse {
                        Some(sparse) => sparse,
                        None => return Ok(Stored::Zero),
                    }
                }
            }
            Kind::Zero | Kind::Other(_) => return Ok(Stored::Zero),
        };
        if matches!(sparse.entries, Entries::Hosted { compressed: true, .. }) {
            self.concerns.push(concerns::compressed_file(line));
        }
        // A capacity "should be a multiple of the grain size"; the line says how much of it is the disk's.
        if sparse.capacity.saturating_mul(SECTOR).div_ceil(sparse.grain)
            != bytes(line.sectors)?.div_ceil(sparse.grain)
        {
            self.concerns.push(concerns::other_capacity(line, sparse.capacity));
        }
        self.concerns.extend(concerns::of_directories(file, &sparse)?);
        Ok(Stored::Sparse { part, sparse })
    }

    fn flat(&mut self, line: &Line, part: u32, file: &dyn Blob) -> Result<Stored> {
        let offset = bytes(line.offset)?;
        if offset.saturating_add(bytes(line.sectors)?) > file.size() {
            self.concerns.push(concerns::short_file(line, file.size()));
        }
        Ok(Stored::Flat { part, offset })
    }

    /// Bytes of the largest grain; 64 KiB where there are none.
    pub(crate) fn unit(&self) -> u64 {
        let grains = self.pieces.iter().filter_map(|piece| match &piece.stored {
            Stored::Sparse { sparse, .. } => Some(sparse.grain),
            _ => None,
        });
        grains.max().unwrap_or(64 << 10)
    }
}

fn too_large() -> Error {
    Error::corrupt(0, "the extents together are larger than a disk can be")
}

fn bytes(sectors: u64) -> Result<u64> {
    sectors.checked_mul(SECTOR).filter(|bytes| *bytes <= i64::MAX as u64).ok_or_else(too_large)
}
