//! seSparse extents of ESXi 6.5 and newer. Not documented by VMware; as far as QEMU's block/vmdk.c knows them, whose
//! strict checks are made here too.

use crate::bytes::SECTOR;
use crate::sparse::{Entries, Sparse, refuse};
use wherry_sdk::bytes::little;
use wherry_sdk::{Blob, Error, ErrorKind, Result};

const MAGIC: u64 = 0xcafe_babe;
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;
const VERSION: u64 = 0x2_0000_0001;
const GRAIN: u64 = 8;
const TABLE_SECTORS: u64 = 64;
const TABLE_ENTRIES: u64 = TABLE_SECTORS * SECTOR / 8;

/// Reads the constant and the volatile header.
pub(crate) fn read(file: &dyn Blob) -> Result<Sparse> {
    let head = file.read(0, file.size().min(SECTOR) as u32)?;
    if little(&head, 0, 8) != MAGIC || head.len() < SECTOR as usize {
        return refuse(0, "this is no seSparse extent: it does not start with its magic number".into());
    }
    let field = |number_of: usize| little(&head, number_of * 8, 8);
    let known = [(1, VERSION), (3, GRAIN), (4, TABLE_SECTORS), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0)];
    let odd = known.iter().find(|(at, value)| field(*at) != *value);
    if let Some((at, value)) = odd {
        let message =
            format!("a seSparse header with 0x{:x} in field {at}: only 0x{value:x} is known", field(*at));
        return Err(Error { at: Some(*at as u64 * 8), ..Error::unsupported(message) });
    }
    check_volatile(file, field(10))?;
    let (capacity, directory, directory_sectors) = (field(2), field(16), field(17));
    let entries = Entries::SeSparse { tables: field(18), grains: field(24) };
    let mut sparse = Sparse::new(capacity, GRAIN, TABLE_ENTRIES, entries)?;
    if directory_sectors.saturating_mul(SECTOR / 8) < sparse.directory_entries() {
        let needed = sparse.directory_entries();
        return refuse(
            136,
            format!("a grain directory of {directory_sectors} sectors, {needed} entries needed"),
        );
    }
    sparse.add_directory(file, directory);
    if sparse.has_no_directory() && sparse.directory_entries() > 0 {
        return refuse(128, format!("the grain directory at sector {directory} is not in the file"));
    }
    Ok(sparse)
}

fn check_volatile(file: &dyn Blob, sector: u64) -> Result<()> {
    let start = sector.saturating_mul(SECTOR);
    if start.saturating_add(SECTOR) > file.size() {
        return refuse(80, format!("the volatile header at sector {sector} is not in the file"));
    }
    let bytes = file.read(start, SECTOR as u32)?;
    if little(&bytes, 0, 8) != VOLATILE_MAGIC {
        return refuse(start, "the volatile header does not start with its magic number".into());
    }
    if little(&bytes, 24, 8) != 0 {
        let message =
            "the disk was not closed and its journal has to be replayed: open it on its ESXi host once";
        return Err(Error { at: Some(start), ..Error::new(ErrorKind::Dirty, message) });
    }
    Ok(())
}
