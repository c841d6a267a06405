//! COWD extents, which ESX calls vmfsSparse (the specification, "ESXi Host Sparse Extents").

use crate::bytes::SECTOR;
use crate::sparse::{Entries, Sparse, refuse};
use wherry_sdk::bytes::little;
use wherry_sdk::{Blob, Error, Result};

pub(crate) const MAGIC: &[u8] = b"COWD";
/// "The number of entries in a grain table" is fixed for `flags` 3 and version 1; VMware Workstation 3's disks,
/// version 3, had 512 (Fam Zheng, "Differences Between VMDK3 and the Specification").
const TABLE_ENTRIES: u64 = 4096;

/// Reads the header.
pub(crate) fn read(file: &dyn Blob, head: &[u8]) -> Result<Sparse> {
    if head.len() < SECTOR as usize {
        return Err(Error::corrupt(0, "a COWD extent that is shorter than its header"));
    }
    let field = |at| little(head, at, 4);
    let version = field(4);
    if version != 1 {
        let message = format!("COWD version {version}: only 1, ESX's vmfsSparse, is known");
        return Err(Error::unsupported(message));
    }
    let (capacity, grain, directory, entries) = (field(12), field(16), field(20), field(24));
    let mut sparse = Sparse::new(capacity, grain, TABLE_ENTRIES, Entries::Cowd)?;
    if entries < sparse.directory_entries() {
        let needed = sparse.directory_entries();
        return refuse(24, format!("a grain directory of {entries} entries, {needed} needed"));
    }
    sparse.add_directory(file, directory);
    if sparse.has_no_directory() && sparse.directory_entries() > 0 {
        return refuse(20, format!("the grain directory at sector {directory} is not in the file"));
    }
    Ok(sparse)
}
