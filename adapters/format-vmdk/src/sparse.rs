//! Two levels of tables, common to all sparse extents: a grain directory names grain tables, which name grains.

use crate::bytes::{Checked, SECTOR};
use crate::concerns::Directories;
use crate::pages::Pages;
use wherry_sdk::{Blob, Error, Result};

/// Grains up to 1 GiB, and directories up to 32 Mi entries, as in QEMU.
const GRAIN_SECTORS_MOST: u64 = 0x20_0000;
const DIRECTORY_ENTRIES_MOST: u64 = 32 << 20;

/// What table entries mean.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entries {
    /// `zero`: entry 1 is a grain of zeroes. `markers`: 12 bytes in front of each compressed grain.
    Hosted {
        zero: bool,
        compressed: bool,
        markers: bool,
    },
    Cowd,
    /// First sectors of all grain tables and of all grains, which entries count in.
    SeSparse {
        tables: u64,
        grains: u64,
    },
}

/// Where a grain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    /// The parent's.
    Absent,
    Zero,
    /// At this byte of the file.
    At(u64),
}

/// A sparse extent whose header is sound.
#[derive(Clone, Debug)]
pub(crate) struct Sparse {
    /// Sectors of the disk.
    pub(crate) capacity: u64,
    /// Bytes of a grain.
    pub(crate) grain: u64,
    table_entries: u64,
    pub(crate) entries: Entries,
    /// Bytes in the file: the directory, and a redundant one, with tables of its own.
    directories: Vec<u64>,
    /// The only directory is the redundant one.
    second_only: bool,
}

/// The bytes contradict their format, at byte `at`.
pub(crate) fn refuse<T>(at: u64, message: String) -> Result<T> {
    Err(Error::corrupt(at, message))
}

impl Sparse {
    /// `capacity` and `grain` in sectors.
    pub(crate) fn new(capacity: u64, grain: u64, table_entries: u64, entries: Entries) -> Result<Self> {
        if !grain.is_power_of_two() || grain > GRAIN_SECTORS_MOST {
            let message =
                format!("grains of {grain} sectors: a power of two up to {GRAIN_SECTORS_MOST} is possible");
            return refuse(0, message);
        }
        if capacity.div_ceil(grain * table_entries) > DIRECTORY_ENTRIES_MOST
            || capacity > i64::MAX as u64 >> 9
        {
            return refuse(0, format!("a capacity of {capacity} sectors is more than its tables can map"));
        }
        Ok(Self {
            capacity,
            grain: grain * SECTOR,
            table_entries,
            entries,
            directories: Vec::new(),
            second_only: false,
        })
    }

    /// Bytes of the disk that one table maps.
    pub(crate) fn coverage(&self) -> u64 {
        self.grain * self.table_entries
    }

    /// Entries of the directory.
    pub(crate) fn directory_entries(&self) -> u64 {
        (self.capacity * SECTOR).div_ceil(self.coverage())
    }

    pub(crate) fn has_no_directory(&self) -> bool {
        self.directories.is_empty()
    }

    /// Whether there is a second directory.
    pub(crate) fn is_redundant(&self) -> bool {
        self.directories.len() > 1
    }

    /// Notes the redundant directory.
    pub(crate) fn add_redundant(&mut self, file: &dyn Blob, sector: u64) {
        self.second_only = self.directories.is_empty();
        self.add_directory(file, sector);
    }

    pub(crate) fn directories(&self) -> Directories {
        match self.directories.as_slice() {
            [first, second] => Directories::Both(*first, *second),
            _ if self.second_only => Directories::RedundantOnly,
            _ => Directories::One,
        }
    }

    /// Whether the redundant directory's entry is the one to go by.
    pub(crate) fn prefers_second(&self, file: &dyn Blob, first: u64, second: u64) -> bool {
        let usable = |entry| matches!(self.table_at(file, entry), Ok(Some(_)));
        !usable(first) && usable(second)
    }

    /// Bytes of an entry.
    pub(crate) fn width(&self) -> u64 {
        if matches!(self.entries, Entries::SeSparse { .. }) { 8 } else { 4 }
    }

    /// Notes the directory at `sector`; one that is not in the file is left out.
    pub(crate) fn add_directory(&mut self, file: &dyn Blob, sector: u64) {
        let start = sector.saturating_mul(SECTOR);
        if start > 0 && start.saturating_add(self.directory_entries() * self.width()) <= file.size() {
            self.directories.push(start);
        }
    }

    /// Where both directories' entry `index` leads.
    pub(crate) fn table(&self, file: &dyn Blob, part: u32, pages: &mut Pages, index: u64) -> Result<Tables> {
        let mut tables = Tables { first: None, second: None };
        let mut wrong = None;
        for directory in &self.directories {
            let at = directory + index * self.width();
            let entry = pages.number(file, part, at, self.width() as usize)?;
            match self.table_at(file, entry) {
                Ok(table) => tables.add(table),
                Err(what) => {
                    wrong.get_or_insert_with(|| (at, format!("grain directory entry 0x{entry:x}: {what}")));
                }
            }
        }
        match wrong {
            Some((at, message)) if tables.are_absent() => refuse(at, message),
            _ => Ok(tables),
        }
    }

    /// The byte where a directory's entry says that a table is; None where nothing is allocated.
    fn table_at(&self, file: &dyn Blob, entry: u64) -> Checked<Option<u64>> {
        if entry == 0 {
            return Ok(None);
        }
        let sector = match self.entries {
            Entries::SeSparse { tables, .. } => {
                // The topmost nibble says that it is allocated; no disk has 2^32 tables.
                if entry >> 32 != 0x1000_0000 {
                    return Err("flags that are not known");
                }
                (entry & 0xffff_ffff)
                    .checked_mul(self.table_entries * 8 / SECTOR)
                    .and_then(|at| at.checked_add(tables))
            }
            _ => Some(entry),
        };
        let start = sector.and_then(|sector| sector.checked_mul(SECTOR));
        let end = start.and_then(|start| start.checked_add(self.table_entries * self.width()));
        match (start, end) {
            (Some(start), Some(end)) if end <= file.size() => Ok(Some(start)),
            _ => Err("the grain table lies beyond the end of the file"),
        }
    }

    /// Whether nothing is allocated by the table to go by, as in most of a disk whose tables were made in advance.
    pub(crate) fn is_blank(
        &self,
        file: &dyn Blob,
        part: u32,
        pages: &mut Pages,
        tables: Tables,
    ) -> Result<bool> {
        let Some(table) = tables.first else { return Ok(true) };
        pages.are_zero(file, part, table, self.table_entries * self.width())
    }

    /// The grain at byte `logical` of the extent, by the first of `tables` that makes sense.
    pub(crate) fn grain(
        &self,
        file: &dyn Blob,
        part: u32,
        pages: &mut Pages,
        tables: Tables,
        logical: u64,
    ) -> Result<Grain> {
        let slot = logical % self.coverage() / self.grain;
        let mut wrong = None;
        for table in [tables.first, tables.second].into_iter().flatten() {
            let at = table + slot * self.width();
            let entry = pages.number(file, part, at, self.width() as usize)?;
            match self.grain_at(file, entry) {
                Ok(grain) => return Ok(grain),
                Err(what) => {
                    wrong.get_or_insert_with(|| {
                        (at, format!("the grain of byte {logical} has entry 0x{entry:x}: {what}"))
                    });
                }
            }
        }
        match wrong {
            Some((at, message)) => refuse(at, message),
            None => Ok(Grain::Absent),
        }
    }

    fn grain_at(&self, file: &dyn Blob, entry: u64) -> Checked<Grain> {
        let first_sector = match self.entries {
            Entries::Hosted { .. } => 2,
            Entries::Cowd => 4,
            Entries::SeSparse { .. } => 2,
        };
        let sector = match self.entries {
            _ if entry == 0 => return Ok(Grain::Absent),
            Entries::Hosted { zero: true, .. } if entry == 1 => return Ok(Grain::Zero),
            Entries::SeSparse { grains, .. } => match entry >> 60 {
                // Unmapped by the guest, or zero.
                1 | 2 => return Ok(Grain::Zero),
                3 => {
                    // The low 12 bits of the number come first, then 48 higher ones.
                    let number = (entry & 0x0fff_0000_0000_0000) >> 48 | (entry & 0xffff_ffff_ffff) << 12;
                    number.checked_mul(self.grain / SECTOR).and_then(|at| at.checked_add(grains))
                }
                _ => return Err("flags that are not known"),
            },
            _ => Some(entry),
        };
        let start = sector.filter(|sector| *sector >= first_sector).ok_or("the grain lies in the header")?;
        match start.checked_mul(SECTOR) {
            Some(start) if start < file.size() => Ok(Grain::At(start)),
            _ => Err("the grain lies beyond the end of the file"),
        }
    }
}

/// Bytes where the tables for one range are: the first that is sound, and the redundant one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    first: Option<u64>,
    second: Option<u64>,
}

impl Tables {
    /// Nothing is allocated.
    pub(crate) fn are_absent(self) -> bool {
        self.first.is_none()
    }

    fn add(&mut self, table: Option<u64>) {
        if self.first.is_none() {
            self.first = table;
        } else {
            self.second = table;
        }
    }
}
