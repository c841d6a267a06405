//! Inodes (Linux: Documentation/filesystems/ext4, "Index Nodes").

use crate::Ext4;
use crate::bytes::{join, part, put, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;
use crate::features;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// The root directory.
pub const ROOT: u32 = 2;

/// Flags.
pub const IMMUTABLE: u32 = 0x10;
/// Only appending is allowed.
pub const APPEND_ONLY: u32 = 0x20;
/// The content is ciphertext.
pub const ENCRYPTED: u32 = 0x800;
/// The directory has an index.
pub const INDEX: u32 = 0x1000;
/// Blocks are counted in file system blocks.
pub const HUGE_FILE: u32 = 0x4_0000;
/// The block area holds extents.
pub const EXTENTS: u32 = 0x8_0000;
/// The inode is an attribute's value.
pub const EA_INODE: u32 = 0x20_0000;
/// The content is in the inode.
pub const INLINE_DATA: u32 = 0x1000_0000;
/// New files get the directory's project.
pub const PROJECT_INHERIT: u32 = 0x2000_0000;
/// Names are compared without case.
pub const CASEFOLD: u32 = 0x4000_0000;

/// Types in the mode.
const TYPE: u16 = 0xf000;
const DIRECTORY: u16 = 0x4000;
const REGULAR: u16 = 0x8000;
const SYMLINK: u16 = 0xa000;

/// Where the block area is, in bytes, and its length.
pub const AREA: usize = 0x28;
/// Length of the block area in bytes.
pub const AREA_LENGTH: usize = 60;
const CHECKSUM_LOW: usize = 0x7c;
const CHECKSUM_HIGH: usize = 0x82;
/// Sector in which blocks are counted, in bytes.
const SECTOR: u64 = 512;

/// An inode as it is on disk.
#[derive(Clone)]
pub struct Inode {
    /// from 1 on
    pub number: u32,
    /// as many bytes as the superblock says
    pub raw: Vec<u8>,
}

/// The type bits of a mode for an object of this kind.
pub fn type_bits(kind: Kind) -> u16 {
    match kind {
        Kind::Directory => DIRECTORY,
        Kind::Symlink => SYMLINK,
        Kind::File | Kind::Other => REGULAR,
    }
}

impl Inode {
    /// Type and permissions.
    pub fn mode(&self) -> u16 {
        u16_at(&self.raw, 0)
    }
    /// Sets the permissions, the type stays.
    pub fn set_permissions(&mut self, mode: u32) {
        let mode = self.mode() & TYPE | mode as u16 & 0o7777;
        put_u16(&mut self.raw, 0, mode);
    }
    /// The type.
    pub fn kind(&self) -> Kind {
        match self.mode() & TYPE {
            DIRECTORY => Kind::Directory,
            REGULAR => Kind::File,
            SYMLINK => Kind::Symlink,
            _ => Kind::Other,
        }
    }
    /// The type as directories store it.
    pub fn file_type(&self) -> u8 {
        match self.mode() & TYPE {
            REGULAR => 1,
            DIRECTORY => 2,
            0x2000 => 3,
            0x6000 => 4,
            0x1000 => 5,
            0xc000 => 6,
            SYMLINK => 7,
            _ => 0,
        }
    }
    /// Owner.
    pub fn uid(&self) -> u32 {
        u32::from(u16_at(&self.raw, 0x78)) << 16 | u32::from(u16_at(&self.raw, 0x2))
    }
    /// Group.
    pub fn gid(&self) -> u32 {
        u32::from(u16_at(&self.raw, 0x7a)) << 16 | u32::from(u16_at(&self.raw, 0x18))
    }
    /// Sets owner and group.
    pub fn set_owner(&mut self, uid: u32, gid: u32) {
        for (value, low, high) in [(uid, 0x2, 0x78), (gid, 0x18, 0x7a)] {
            put_u16(&mut self.raw, low, value as u16);
            put_u16(&mut self.raw, high, (value >> 16) as u16);
        }
    }
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        let wide = matches!(self.kind(), Kind::File | Kind::Directory);
        join(u32_at(&self.raw, 0x4), if wide { u32_at(&self.raw, 0x6c) } else { 0 })
    }
    /// Sets the length.
    pub fn set_size(&mut self, size: u64) {
        put_u32(&mut self.raw, 0x4, size as u32);
        put_u32(&mut self.raw, 0x6c, (size >> 32) as u32);
    }
    /// Names.
    pub fn links(&self) -> u16 {
        u16_at(&self.raw, 0x1a)
    }
    /// Sets the number of names.
    pub fn set_links(&mut self, links: u16) {
        put_u16(&mut self.raw, 0x1a, links);
    }
    /// All flags.
    pub fn flags(&self) -> u32 {
        u32_at(&self.raw, 0x20)
    }
    /// Whether a flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags() & flag != 0
    }
    /// Sets or clears a flag.
    pub fn set_flag(&mut self, flag: u32, on: bool) {
        let flags = if on { self.flags() | flag } else { self.flags() & !flag };
        put_u32(&mut self.raw, 0x20, flags);
    }
    /// Time of deletion, or the next orphan.
    pub fn deletion(&self) -> u32 {
        u32_at(&self.raw, 0x14)
    }
    /// Sets the time of deletion.
    pub fn set_deletion(&mut self, value: u32) {
        put_u32(&mut self.raw, 0x14, value);
    }
    /// The block area: extents, block numbers, a short symbolic link, or the beginning of inline data.
    pub fn area(&self) -> &[u8] {
        part(&self.raw, AREA, AREA_LENGTH)
    }
    /// Replaces the block area; what is missing at its end becomes zero.
    pub fn set_area(&mut self, bytes: &[u8]) {
        put(&mut self.raw, AREA, &[0; AREA_LENGTH]);
        put(&mut self.raw, AREA, part(bytes, 0, AREA_LENGTH));
    }
    /// Block of further attributes, 0 for none.
    pub fn attribute_block(&self) -> u64 {
        u64::from(u16_at(&self.raw, 0x76)) << 32 | u64::from(u32_at(&self.raw, 0x68))
    }
    /// Sets the block of further attributes.
    pub fn set_attribute_block(&mut self, block: u64) {
        put_u32(&mut self.raw, 0x68, block as u32);
        put_u16(&mut self.raw, 0x76, (block >> 32) as u16);
    }
    /// Bytes of fixed fields behind the first 128.
    pub fn extra(&self) -> usize {
        if self.raw.len() > 128 { usize::from(u16_at(&self.raw, 0x80)) } else { 0 }
    }
    /// A field behind the first 128 bytes ends at `end`; is it there?
    fn reaches(&self, end: usize) -> bool {
        self.extra() <= self.raw.len() - 128 && 128 + self.extra() >= end
    }
    /// Last modification in seconds; two bits of the extra field extend it ("Inode Timestamps").
    pub fn mtime(&self) -> i64 {
        let epoch = if self.reaches(0x8c) { i64::from(u32_at(&self.raw, 0x88) & 3) } else { 0 };
        i64::from(u32_at(&self.raw, 0x10) as i32) + (epoch << 32)
    }
    /// Times that cannot be stored become the nearest that can.
    fn set_time(&mut self, at: usize, extra: usize, seconds: i64) {
        let long = self.reaches(extra + 4);
        // Old kernels stored times before 1970 as if they were behind 2310, so that e2fsck doubts those.
        let epochs = if long { 2 } else { 0 };
        let seconds = seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX) + (epochs << 32));
        put_u32(&mut self.raw, at, seconds as u32);
        if long {
            put_u32(&mut self.raw, extra, ((seconds - i64::from(seconds as i32)) >> 32) as u32);
        }
    }
    /// Sets the last modification of the content.
    pub fn set_mtime(&mut self, seconds: i64) {
        self.set_time(0x10, 0x88, seconds);
    }
    /// Sets the last change of the inode.
    pub fn set_ctime(&mut self, seconds: i64) {
        self.set_time(0xc, 0x84, seconds);
    }
    /// Sets all four times of a new inode.
    pub fn set_birth(&mut self, seconds: i64) {
        self.set_time(0x8, 0x8c, seconds);
        self.set_ctime(seconds);
        self.set_mtime(seconds);
        if self.reaches(0x98) {
            self.set_time(0x90, 0x94, seconds);
        }
    }
    /// What file handles of network file systems are told apart by.
    pub fn generation(&self) -> u32 {
        u32_at(&self.raw, 0x64)
    }
    /// Sets the generation.
    pub fn set_generation(&mut self, value: u32) {
        put_u32(&mut self.raw, 0x64, value);
    }
    /// The project, 0 where the inode is too short for one.
    pub fn project(&self) -> u32 {
        if self.reaches(0xa0) { u32_at(&self.raw, 0x9c) } else { 0 }
    }
    /// Sets the project, if the inode is long enough.
    pub fn set_project(&mut self, value: u32) {
        if self.reaches(0xa0) {
            put_u32(&mut self.raw, 0x9c, value);
        }
    }
    /// Blocks in use for content, tables and attributes, in sectors or blocks as the flag says.
    fn units(&self) -> u64 {
        u64::from(u16_at(&self.raw, 0x74)) << 32 | u64::from(u32_at(&self.raw, 0x1c))
    }
    /// Whether no block is in use, apart from one for attributes.
    pub fn is_blockless(&self, block_size: u32) -> bool {
        let unit = if self.has(HUGE_FILE) { 1 } else { u64::from(block_size) / SECTOR };
        let attributes = if self.attribute_block() == 0 { 0 } else { unit };
        self.units() <= attributes
    }
    /// Blocks in use.
    pub fn blocks(&self, block_size: u32) -> u64 {
        let unit = if self.has(HUGE_FILE) { 1 } else { u64::from(block_size) / SECTOR };
        self.units() / unit
    }
    /// Adds to the blocks in use, or takes from them.
    pub fn add_blocks(&mut self, count: i64, block_size: u32) {
        let unit = if self.has(HUGE_FILE) { 1 } else { i64::from(block_size) / SECTOR as i64 };
        let units = self.units().saturating_add_signed(count.saturating_mul(unit));
        put_u32(&mut self.raw, 0x1c, units as u32);
        put_u16(&mut self.raw, 0x74, (units >> 32) as u16);
    }
}

impl Ext4 {
    /// The block of an inode and its offset therein, in bytes.
    fn inode_place(&mut self, number: u32) -> Result<(u64, usize)> {
        if number == 0 || number > self.superblock.inodes {
            let message = format!("inode {number} does not exist, there are {}", self.superblock.inodes);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let index = number - 1;
        let group = self.group(index / self.superblock.inodes_per_group)?;
        let size = u64::from(self.superblock.inode_size);
        let offset = u64::from(index % self.superblock.inodes_per_group) * size;
        let block_size = u64::from(self.superblock.block_size);
        Ok((group.inode_table() + offset / block_size, (offset % block_size) as usize))
    }

    /// Start value for the checksums of what belongs to an inode.
    pub fn inode_seed(&self, inode: &Inode) -> u32 {
        let sum = crc32c(self.superblock.seed, &inode.number.to_le_bytes());
        crc32c(sum, &inode.generation().to_le_bytes())
    }

    fn inode_sum(&self, inode: &Inode) -> (u32, bool) {
        let mut raw = inode.raw.clone();
        let wide = inode.extra() >= 4;
        put_u16(&mut raw, CHECKSUM_LOW, 0);
        if wide {
            put_u16(&mut raw, CHECKSUM_HIGH, 0);
        }
        (crc32c(self.inode_seed(inode), &raw), wide)
    }

    /// Reads an inode and verifies its checksum.
    pub fn inode(&mut self, number: u32) -> Result<Inode> {
        let (block, at) = self.inode_place(number)?;
        let bytes = self.device.get(block)?;
        let inode = Inode { number, raw: part(&bytes, at, self.superblock.inode_size as usize).to_vec() };
        let place = self.device.offset(block) + at as u64;
        if inode.extra() > inode.raw.len() - 128 || !inode.extra().is_multiple_of(4) {
            return Err(Error::corrupt(
                place,
                format!("inode {number} has an impossible length: run e2fsck"),
            ));
        }
        if self.superblock.has(features::METADATA_CSUM) {
            let (sum, wide) = self.inode_sum(&inode);
            let high =
                if wide { u32::from(u16_at(&inode.raw, CHECKSUM_HIGH)) << 16 } else { sum & 0xffff_0000 };
            if sum != high | u32::from(u16_at(&inode.raw, CHECKSUM_LOW)) {
                return Err(Error::corrupt(
                    place,
                    format!("inode {number} has a wrong checksum: run e2fsck"),
                ));
            }
        }
        Ok(inode)
    }

    /// An inode that a directory names: it must be in use.
    pub fn named_inode(&mut self, number: u32) -> Result<Inode> {
        let inode = self.inode(number)?;
        if inode.links() == 0 || inode.mode() == 0 {
            let message = format!("inode {number} has a name and is not in use: run e2fsck");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(inode)
    }

    /// Stores an inode with a new checksum.
    pub fn store_inode(&mut self, inode: &Inode) -> Result<()> {
        let mut raw = inode.raw.clone();
        if self.superblock.has(features::METADATA_CSUM) {
            let (sum, wide) = self.inode_sum(inode);
            put_u16(&mut raw, CHECKSUM_LOW, sum as u16);
            if wide {
                put_u16(&mut raw, CHECKSUM_HIGH, (sum >> 16) as u16);
            }
        }
        let (block, at) = self.inode_place(inode.number)?;
        put(self.device.modify(block)?, at, &raw);
        Ok(())
    }
}
