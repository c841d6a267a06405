//! Numbers in bytes from the disk: XFS is big-endian, apart from its checksums.

use crate::device::Disk;
use crate::superblock::Superblock;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{Error, Result};

pub use wherry_sdk::bytes::{be16_at, be32_at, big, byte_at, field, part, put, put_u32, text, u32_at};

/// Bytes of the longest header of a block.
const HEADER_MOST: u32 = 72;

/// The big-endian number of 8 bytes at `at`.
pub fn be64_at(bytes: &[u8], at: usize) -> u64 {
    big(bytes, at, 8)
}

/// Writes a big-endian number of 2 bytes.
pub fn put_be16(bytes: &mut [u8], at: usize, value: u16) {
    put(bytes, at, &value.to_be_bytes());
}

/// Writes a big-endian number of 4 bytes.
pub fn put_be32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_be_bytes());
}

/// Writes a big-endian number of 8 bytes.
pub fn put_be64(bytes: &mut [u8], at: usize, value: u64) {
    put(bytes, at, &value.to_be_bytes());
}

/// Gives a structure its checksum, which lies at `at`.
pub fn stamp(bytes: &mut [u8], at: usize) {
    put_u32(bytes, at, 0);
    let sum = !crc32c(!0, bytes);
    put_u32(bytes, at, sum);
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
    /// the log's number of the last change
    pub change: usize,
}

/// Completes a block of version 5 that goes to byte `place`: place, UUID, owner, checksum. It keeps the number of its last
/// change, which is not behind the log's end; one that was of another kind has none.
pub fn seal(disk: &mut Disk, bytes: &mut [u8], fields: &Own, place: u64, owner: &[u8]) -> Result<()> {
    if disk.superblock.version < 5 {
        return Ok(());
    }
    let old = disk.device.get(place, HEADER_MOST)?;
    let same = field(&old, fields.uuid, 16) == disk.superblock.meta_uuid
        && field(&old, fields.sector, 8) == (place / 512).to_be_bytes();
    let change = if same { be64_at(&old, fields.change) } else { 0 };
    put_be64(bytes, fields.change, change);
    put_be64(bytes, fields.sector, place / 512);
    put(bytes, fields.uuid, &disk.superblock.meta_uuid);
    put(bytes, fields.owner, owner);
    stamp(bytes, fields.checksum);
    Ok(())
}

/// The same, and writes it.
pub fn finish(disk: &mut Disk, bytes: &mut [u8], fields: &Own, place: u64, owner: &[u8]) -> Result<()> {
    seal(disk, bytes, fields, place, owner)?;
    disk.device.put(place, bytes)
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
