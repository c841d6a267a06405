//! Numbers in bytes from the disk: XFS is big-endian, apart from its checksums.

use crate::superblock::Superblock;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{Error, Result};

pub use wherry_sdk::bytes::{be16_at, be32_at, big, byte_at, field, part, text, u32_at};

/// The big-endian number of 8 bytes at `at`.
pub fn be64_at(bytes: &[u8], at: usize) -> u64 {
    big(bytes, at, 8)
}

/// CRC-32C of a structure whose sum lies at `at` and counts as zero ("Checksums" in XFS Algorithms & Data Structures).
pub fn is_summed(bytes: &[u8], at: usize) -> bool {
    let sum = crc32c(!0, part(bytes, 0, at));
    let sum = crc32c(crc32c(sum, &[0; 4]), part(bytes, at + 4, bytes.len()));
    bytes.len() >= at + 4 && u32_at(bytes, at) == !sum
}

/// Where version 5 keeps what tells a block from others, in bytes ("Self-Describing Metadata").
pub struct Own {
    pub checksum: usize,
    /// of 512 bytes each
    pub sector: usize,
    pub uuid: usize,
    /// the inode
    pub owner: usize,
}

/// Fails unless the block, read from byte `place` of the device, is the one that `owner` has there.
pub fn check(
    superblock: &Superblock,
    bytes: &[u8],
    fields: &Own,
    place: u64,
    owner: u64,
    what: &str,
) -> Result<()> {
    check_place(superblock, bytes, fields, place, what)?;
    if be64_at(bytes, fields.owner) != owner {
        return Err(damaged(place, &format!("{what} belongs to another inode")));
    }
    Ok(())
}

/// The same, whoever owns it.
pub fn check_place(
    superblock: &Superblock,
    bytes: &[u8],
    fields: &Own,
    place: u64,
    what: &str,
) -> Result<()> {
    let refuse = |why: &str| Err(damaged(place, &format!("{what} {why}")));
    if !is_summed(bytes, fields.checksum) {
        return refuse("has a wrong checksum");
    }
    if be64_at(bytes, fields.sector) != place / 512 {
        return refuse("belongs to another place");
    }
    if field(bytes, fields.uuid, 16) != superblock.meta_uuid {
        return refuse("belongs to another file system");
    }
    Ok(())
}

/// What `xfs_repair` is for.
pub fn damaged(place: u64, what: &str) -> Error {
    Error::corrupt(place, format!("{what}: run xfs_repair"))
}
