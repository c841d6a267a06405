//! What one file of a new disk holds of it.

use crate::bytes::SECTOR;
use crate::map::{GRAIN, GRAIN_SECTORS, Map};
use crate::monolithic::Monolithic;
use crate::options::{Options, Subformat};
use crate::stream::FIRST_GRAIN;
use wherry_sdk::format::{Part, Patch};
use wherry_sdk::{Error, ErrorKind, Result};

/// Sectors of the disk in each file of a split one but the last: 2047 MiB, as VMware cuts, so that a file with its
/// tables has less than 2 GiB (the specification, "The Descriptor File", example).
const SPLIT_SECTORS: u64 = 4_192_256;
/// Names of split disks have three digits.
const SPLIT_MOST: u64 = 999;
/// From one start to the next, so that no file reaches the next one's.
const STRIDE: u64 = 1 << 32;
/// Table entries are sectors in 32 bits.
const FILE_SECTORS_MOST: u64 = 1 << 32;
/// Largest page of tables, less than what could follow the grains.
const TAIL_SECTORS: u64 = 16 << 20;

/// A share of the disk in a file.
pub(crate) struct Share {
    /// The offset that is the file's first byte.
    start: u64,
    /// Sectors of the disk in it.
    pub(crate) capacity: u64,
    pub(crate) map: Map,
    /// Sector of the file behind the last grain.
    pub(crate) end: u64,
}

/// Grains of a share, but the last one.
pub(crate) fn grains(subformat: Subformat) -> u64 {
    if subformat.is_split() { SPLIT_SECTORS / GRAIN_SECTORS } else { u64::MAX }
}

/// A disk of so many sectors in shares.
pub(crate) fn cut(capacity: u64, subformat: Subformat) -> Result<Vec<Share>> {
    let most = if subformat.is_split() { SPLIT_SECTORS } else { capacity };
    let count = capacity.div_ceil(most.max(1));
    if count > SPLIT_MOST {
        let gib = (SPLIT_MOST * SPLIT_SECTORS) >> 21;
        let message = format!("{count} files: a split disk has at most {SPLIT_MOST}, which hold {gib} GiB");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let share = |number: u64| {
        let capacity = most.min(capacity - number * most);
        let end = match subformat {
            Subformat::StreamOptimized => FIRST_GRAIN,
            Subformat::MonolithicSparse | Subformat::TwoGbMaxExtentSparse => {
                Monolithic::new(capacity, subformat.is_embedded()).first_grain
            }
            Subformat::MonolithicFlat | Subformat::TwoGbMaxExtentFlat => 0,
        };
        let start = if subformat.is_embedded() { 0 } else { (number + 1) * STRIDE };
        Share { start, capacity, map: Map::default(), end }
    };
    Ok((0..count).map(share).collect())
}

/// What the files are called that lie beside the descriptor: as VMware and QEMU do.
pub(crate) fn names(name: &str, subformat: Subformat, count: usize) -> Vec<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let name = |number: usize| match subformat {
        Subformat::MonolithicFlat => format!("{stem}-flat.vmdk"),
        Subformat::TwoGbMaxExtentFlat => format!("{stem}-f{number:03}.vmdk"),
        _ => format!("{stem}-s{number:03}.vmdk"),
    };
    let count = if subformat.is_embedded() { 0 } else { count };
    (1..=count).map(name).collect()
}

impl Share {
    pub(crate) fn part(&self, name: &str) -> Part {
        Part { name: name.into(), start: self.start }
    }

    /// The place of a grain whose bytes lie as they are in the disk.
    pub(crate) fn flat(&self, index: u64) -> u64 {
        self.start + index * GRAIN
    }

    /// The place of a grain of so many sectors, behind the last one.
    pub(crate) fn append(&mut self, index: u64, sectors: u64) -> Result<u64> {
        if self.end + sectors > FILE_SECTORS_MOST - TAIL_SECTORS {
            let message = "a VMDK file holds no more than 2 TiB: take another format for so much data";
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        self.map.add(index, self.end as u32, sectors as u8)?;
        let offset = self.start + self.end * SECTOR;
        self.end += sectors;
        Ok(offset)
    }

    /// All tables and the header of a file without a descriptor: some 270 KiB at most.
    pub(crate) fn tables(&self) -> Vec<Patch> {
        let layout = Monolithic::new(self.capacity, false);
        let pages = (0..).map_while(|page| layout.page(page, &self.map));
        let header = (0, layout.header().encode());
        pages.chain([header]).map(|(at, bytes)| Patch { offset: self.start + at, bytes }).collect()
    }

    /// Bytes of the complete file.
    pub(crate) fn length(&self, subformat: Subformat) -> u64 {
        SECTOR * if subformat.is_flat() { self.capacity } else { self.end }
    }

    /// The descriptor's line.
    pub(crate) fn line(&self, name: &str, options: &Options) -> String {
        let capacity = self.capacity;
        match options.subformat {
            Subformat::StreamOptimized => format!("RDONLY {capacity} SPARSE \"{name}\"\n"),
            flat if flat.is_flat() => format!("RW {capacity} FLAT \"{name}\" 0\n"),
            _ => format!("RW {capacity} SPARSE \"{name}\"\n"),
        }
    }
}
