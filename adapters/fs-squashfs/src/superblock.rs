//! The superblock (Linux: `fs/squashfs/squashfs_fs.h`, struct squashfs_super_block).

use crate::bytes::{field, u16_at, u32_at, u64_at};
use crate::compression::Packing;
use wherry_sdk::{Blob, Error, Result};

const LENGTH: u32 = 96;
const MAGIC: &[u8] = b"hsqs";
/// Of blocks of content; metadata has its own.
const BLOCK_LEAST: u32 = 4 << 10;
const BLOCK_MOST: u32 = 1 << 20;
/// A table that is not there.
const NONE: u64 = u64::MAX;

/// Where everything is, in bytes of the device.
#[derive(Clone, Debug)]
pub struct Superblock {
    pub packing: Packing,
    /// Bytes of a block of content, unpacked.
    pub block: u32,
    /// Seconds since 1970.
    pub made: u32,
    pub fragments: u32,
    pub owners: u16,
    /// Bytes from the device's start.
    pub size: u64,
    /// A reference: the block of metadata, from the inodes' start, and the byte in it.
    pub root: u64,
    pub owners_at: u64,
    pub attributes_at: Option<u64>,
    pub inodes_at: u64,
    pub directories_at: u64,
    pub fragments_at: u64,
}

/// Whether this is SquashFS of any version, and which one.
pub fn version(device: &dyn Blob) -> Result<Option<(u16, u16)>> {
    if device.size() < u64::from(LENGTH) {
        return Ok(None);
    }
    let bytes = device.read(0, LENGTH)?;
    let ours = field(&bytes, 0, 4) == MAGIC;
    Ok(ours.then(|| (u16_at(&bytes, 28), u16_at(&bytes, 30))))
}

impl Superblock {
    /// Reads it, and refuses what would not be read right.
    pub fn read(device: &dyn Blob) -> Result<Self> {
        match version(device)? {
            None => return Err(Error::corrupt(0, "no SquashFS: its superblock is not there")),
            Some((4, 0)) => {}
            Some((major, minor)) => {
                let what =
                    format!("SquashFS {major}.{minor} is not read, only 4.0: pack it anew with mksquashfs");
                return Err(Error::unsupported(what));
            }
        }
        let bytes = device.read(0, LENGTH)?;
        let bad = |at: u64, what: &str| Error::corrupt(at, format!("the superblock's {what}"));
        let packing = Packing::new(u16_at(&bytes, 20))?;
        let (block, shift) = (u32_at(&bytes, 12), u16_at(&bytes, 22));
        if !(BLOCK_LEAST..=BLOCK_MOST).contains(&block) || 1_u32.checked_shl(shift.into()) != Some(block) {
            return Err(bad(12, "size of a block makes no sense"));
        }
        let found = Self {
            packing,
            block,
            made: u32_at(&bytes, 8),
            fragments: u32_at(&bytes, 16),
            owners: u16_at(&bytes, 26),
            root: u64_at(&bytes, 32),
            size: u64_at(&bytes, 40),
            owners_at: u64_at(&bytes, 48),
            attributes_at: Some(u64_at(&bytes, 56)).filter(|at| *at != NONE),
            inodes_at: u64_at(&bytes, 64),
            directories_at: u64_at(&bytes, 72),
            fragments_at: u64_at(&bytes, 80),
        };
        if found.size > device.size() || found.size < u64::from(LENGTH) {
            return Err(bad(40, &format!("size is {} bytes, the device has {}", found.size, device.size())));
        }
        let tables = found.inodes_at < found.directories_at && found.directories_at < found.size;
        if !tables || found.inodes_at < u64::from(LENGTH) {
            return Err(bad(64, "tables are not where they can be"));
        }
        Ok(found)
    }
}
