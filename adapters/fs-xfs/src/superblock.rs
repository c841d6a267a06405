//! The superblock (XFS Algorithms & Data Structures, "Superblocks"; Linux: fs/xfs/libxfs/xfs_format.h, xfs_sb.c).

use crate::bytes::{
    be16_at, be32_at, be64_at, byte_at, damaged, field, is_summed, put_be16, put_be32, put_be64, stamp, text,
};
use crate::features::{self, Feature, Set};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, ErrorKind, Result};

const MAGIC: u32 = 0x5846_5342;
/// Bytes of the longest sector.
const SECTOR_MOST: u32 = 32 << 10;
const CHECKSUM: usize = 224;
/// Bytes of the log's stripe, at most.
const LOG_STRIPE_MOST: u32 = 256 << 10;
/// Flags: users', groups' and projects' quotas have been counted.
const QUOTAS_COUNTED: u16 = 0x4 | 0x20 | 0x100 | 0x400;

/// The superblock of the first allocation group.
pub struct Superblock {
    raw: Vec<u8>,
    /// 4 or 5
    pub version: u16,
    /// bytes
    pub block_size: u32,
    /// blocks of the file system
    pub blocks: u64,
    /// blocks of each allocation group but the last
    pub group_blocks: u32,
    /// allocation groups
    pub groups: u32,
    /// bits of a block's number within its group
    pub group_bits: u32,
    /// bits of an inode's number within its block
    pub inode_bits: u32,
    /// bytes
    pub inode_size: u32,
    /// bytes
    pub sector_size: u32,
    /// bytes of a directory's block
    pub directory_block: u32,
    /// What blocks of version 5 carry.
    pub meta_uuid: [u8; 16],
}

/// The first sector if an XFS may begin here.
pub fn read(device: &dyn Blob) -> Result<Option<Vec<u8>>> {
    if device.size() < 512 {
        return Ok(None);
    }
    let head = device.read(0, 512)?;
    if be32_at(&head, 0) != MAGIC {
        return Ok(None);
    }
    let sector = u32::from(be16_at(&head, 102));
    if !(512..=SECTOR_MOST).contains(&sector)
        || !sector.is_power_of_two()
        || u64::from(sector) > device.size()
    {
        return Err(damaged(102, "the superblock has an impossible sector size"));
    }
    device.read(0, sector).map(Some)
}

fn log_of(size: u32) -> u32 {
    size.trailing_zeros()
}

fn uuid_of(raw: &[u8], at: usize) -> [u8; 16] {
    field(raw, at, 16).try_into().unwrap_or_default()
}

impl Superblock {
    /// Which of two forms blocks have: 0 in version 4, 1 in version 5.
    pub fn form(&self) -> usize {
        usize::from(self.version == 5)
    }

    /// Checks everything that later arithmetic trusts; the device has `size` bytes.
    pub fn parse(raw: Vec<u8>, size: u64) -> Result<Self> {
        let version = be16_at(&raw, 100) & 0xf;
        let sector_size = u32::from(be16_at(&raw, 102));
        let (block_size, directory_bits) = (be32_at(&raw, 4), u32::from(byte_at(&raw, 192)));
        let block_bits = u32::from(byte_at(&raw, 120));
        let superblock = Self {
            version,
            block_size,
            blocks: be64_at(&raw, 8),
            group_blocks: be32_at(&raw, 84),
            groups: be32_at(&raw, 88),
            group_bits: u32::from(byte_at(&raw, 124)),
            inode_bits: u32::from(byte_at(&raw, 123)),
            inode_size: u32::from(be16_at(&raw, 104)),
            sector_size,
            directory_block: block_size.checked_shl(directory_bits).unwrap_or(0),
            meta_uuid: [0; 16],
            raw,
        };
        if !matches!(version, 4 | 5) {
            return Err(Error::unsupported(format!("XFS version {version}: only 4 and 5 are known")));
        }
        if version == 5 && !is_summed(&superblock.raw, CHECKSUM) {
            return Err(damaged(CHECKSUM as u64, "the superblock has a wrong checksum"));
        }
        superblock.check_geometry(block_bits, directory_bits)?;
        if superblock.size() > size {
            let message = format!(
                "the file system has {} bytes, and the device only {size}: is a part of it missing?",
                superblock.size()
            );
            return Err(Error::corrupt(8, message));
        }
        let at = if superblock.has(features::META_UUID) { 248 } else { 32 };
        Ok(Self { meta_uuid: uuid_of(&superblock.raw, at), ..superblock })
    }

    fn check_geometry(&self, block_bits: u32, directory_bits: u32) -> Result<()> {
        let refuse =
            |at: u64, what: &str| Err(damaged(at, &format!("the superblock has an impossible {what}")));
        let least = if self.version == 5 { (1024, 512) } else { (512, 256) };
        let sizes =
            |size: u32, least: u32, most: u32| (least..=most).contains(&size) && size.is_power_of_two();
        if !sizes(self.block_size, least.0, 1 << 16) || log_of(self.block_size) != block_bits {
            return refuse(4, "block size");
        }
        if !sizes(self.sector_size, 512, SECTOR_MOST.min(self.block_size)) {
            return refuse(102, "sector size");
        }
        let inode_most = 2048.min(self.block_size);
        if !sizes(self.inode_size, least.1, inode_most)
            || block_bits - log_of(self.inode_size) != self.inode_bits
        {
            return refuse(104, "inode size");
        }
        if directory_bits > 16 || block_bits + directory_bits > 16 {
            return refuse(192, "directory block size");
        }
        let group = u64::from(self.group_blocks);
        let bits = self.group_bits;
        let group_size = group * u64::from(self.block_size);
        if group_size < 4 * u64::from(self.sector_size)
            || bits > 31
            || self.group_blocks.checked_next_power_of_two() != Some(1 << bits)
        {
            return refuse(84, "size of allocation groups");
        }
        let groups = u64::from(self.groups);
        let counted = groups > 0 && self.blocks > (groups - 1) * group && self.blocks <= groups * group;
        if !counted || self.blocks >= 1 << 52 {
            return refuse(8, "number of blocks");
        }
        if byte_at(&self.raw, 126) != 0 {
            return Err(damaged(126, "mkfs.xfs or xfs_growfs was interrupted"));
        }
        Ok(())
    }

    /// Fails where reading would need what this adapter does not know.
    pub fn check_readable(&self) -> Result<()> {
        if !self.has(features::DIRV2) && self.version == 4 {
            return Err(Error::unsupported("directories of version 1 (IRIX): copy the files in the guest"));
        }
        let unknown = be32_at(&self.raw, 216) & !features::KNOWN_INCOMPATIBLE;
        if self.version == 5 && unknown != 0 {
            let message = format!(
                "XFS features {unknown:#x} are not known here: copy the whole disk, or update Wherry"
            );
            return Err(Error::unsupported(message));
        }
        Ok(())
    }

    /// Whether a feature is on.
    pub fn has(&self, (set, bit, _): Feature) -> bool {
        let (at, fifth) = match set {
            Set::Version => return u32::from(be16_at(&self.raw, 100)) & bit != 0,
            Set::Second => (200, false),
            Set::ReadOnly => (212, true),
            Set::Incompatible => (216, true),
            Set::Log => (220, true),
        };
        let counts = if fifth { self.version == 5 } else { self.has(features::MORE) };
        counts && be32_at(&self.raw, at) & bit != 0
    }

    /// Whether entries of directories carry the type of what they name.
    pub fn has_types(&self) -> bool {
        if self.version == 5 { self.has(features::FTYPE) } else { self.has(features::FTYPE_V4) }
    }

    /// Names of what is on.
    pub fn features(&self) -> Vec<String> {
        let mut names = vec![format!("v{}", self.version)];
        names.extend(
            features::ALL.iter().filter(|feature| self.has(**feature)).map(|feature| feature.2.to_owned()),
        );
        names.dedup();
        names
    }

    /// Why the content is in doubt, apart from the log.
    pub fn doubt(&self) -> Option<&'static str> {
        self.has(features::NEEDS_REPAIR).then_some("xfs_repair has not come to its end: run it again")
    }

    /// As `blkid` shows it.
    pub fn uuid(&self) -> Option<String> {
        let uuid = Uuid(uuid_of(&self.raw, 32));
        (uuid != Uuid::NIL).then(|| uuid.to_string())
    }

    /// The name, if it has one.
    pub fn label(&self) -> Option<String> {
        Some(text(field(&self.raw, 108, 12))).filter(|label| !label.is_empty())
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }

    /// The root directory.
    pub fn root(&self) -> u64 {
        be64_at(&self.raw, 56)
    }

    /// Blocks on a realtime device.
    pub fn realtime_blocks(&self) -> u64 {
        be64_at(&self.raw, 16)
    }

    /// Free blocks as they were counted when the file system was shut down.
    pub fn free_blocks(&self) -> u64 {
        be64_at(&self.raw, 144).min(self.blocks)
    }

    /// Fails where writing would need what this adapter does not know.
    pub fn check_writable(&self) -> Result<()> {
        if let Some(doubt) = self.doubt() {
            return Err(Error::new(ErrorKind::Dirty, doubt));
        }
        let unknown = be32_at(&self.raw, 212) & !features::KNOWN_READ_ONLY;
        if self.version == 5 && unknown != 0 {
            let message = format!(
                "XFS features {unknown:#x} are not known for writing: copy the disk as it is, or update Wherry"
            );
            return Err(Error::unsupported(message));
        }
        let kept = [
            (self.realtime_blocks() > 0, "a realtime device"),
            (self.has(features::PARENT), "pointers to parents (`parent`)"),
        ];
        if let Some((_, what)) = kept.iter().find(|(there, _)| *there) {
            let message = format!("XFS with {what} is read and not changed: prepare the guest on the source");
            return Err(Error::unsupported(message));
        }
        Ok(())
    }

    /// More (or fewer) free blocks.
    pub fn count_blocks(&mut self, more: i64) {
        self.count(144, more);
    }

    /// More (or fewer) inodes, and free ones.
    pub fn count_inodes(&mut self, all: i64, free: i64) {
        self.count(128, all);
        self.count(136, free);
    }

    fn count(&mut self, at: usize, more: i64) {
        let count = be64_at(&self.raw, at).saturating_add_signed(more);
        put_be64(&mut self.raw, at, count);
    }

    /// Inodes that there are.
    pub fn inodes(&self) -> u64 {
        be64_at(&self.raw, 128)
    }

    /// Inodes that there are and that are free.
    pub fn free_inodes(&self) -> u64 {
        be64_at(&self.raw, 136).min(self.inodes())
    }

    /// The percentage of the blocks that inodes may take; 0 for any.
    pub fn inodes_most(&self) -> u64 {
        u64::from(byte_at(&self.raw, 127))
    }

    /// Blocks that the beginnings of chunks of inodes are multiples of.
    pub fn inode_alignment(&self) -> u64 {
        if self.has(features::ALIGNED) || self.version == 5 {
            u64::from(be32_at(&self.raw, 180)).max(1)
        } else {
            1
        }
    }

    /// Blocks of a part of a chunk of inodes, and what its beginning is a multiple of; 0 where chunks are whole.
    pub fn inode_part(&self) -> u64 {
        if self.has(features::SPARSE) { u64::from(be32_at(&self.raw, 228)) } else { 0 }
    }

    /// Whether the groups tell how many blocks their trees of free space have.
    pub fn counts_lazily(&self) -> bool {
        self.version == 5 || self.has(features::LAZY_COUNT)
    }

    /// What version 4 has to say before inodes of version 2, or attributes, are made.
    pub fn note(&mut self, feature: Feature) {
        let (set, bit, _) = feature;
        match set {
            Set::Version => {
                let bits = be16_at(&self.raw, 100) | bit as u16;
                put_be16(&mut self.raw, 100, bits);
            }
            // The second copy lies where old machines put it.
            Set::Second if self.has(features::MORE) => {
                let bits = be32_at(&self.raw, 200) | bit;
                put_be32(&mut self.raw, 200, bits);
                put_be32(&mut self.raw, 204, bits);
            }
            _ => {}
        }
    }

    /// Lets Linux count everybody's blocks again when it mounts, if there are quotas.
    pub fn recount_quotas(&mut self) {
        let flags = be16_at(&self.raw, 176) & !QUOTAS_COUNTED;
        put_be16(&mut self.raw, 176, flags);
    }

    /// The sector to be written.
    pub fn bytes(&mut self) -> &[u8] {
        if self.version == 5 {
            stamp(&mut self.raw, CHECKSUM);
        }
        &self.raw
    }

    /// Where the log is: its first byte on the device and its length; none if it has a device of its own.
    pub fn log(&self) -> Result<Option<(u64, u64)>> {
        let start = be64_at(&self.raw, 48);
        let count = u64::from(be32_at(&self.raw, 96));
        if start == 0 {
            return Ok(None);
        }
        let place = self.place(start, count).filter(|_| count > 0);
        let place = place.ok_or_else(|| damaged(48, "the log lies outside of the file system"))?;
        Ok(Some((place, count * u64::from(self.block_size))))
    }

    /// Bytes that records of the log are a multiple of; 0 for none.
    pub fn log_stripe(&self) -> u32 {
        be32_at(&self.raw, 196).min(LOG_STRIPE_MOST)
    }

    /// The UUID that the log carries.
    pub fn own_uuid(&self) -> [u8; 16] {
        uuid_of(&self.raw, 32)
    }

    /// Sets what groups count: inodes, free ones, free blocks.
    pub fn set_counts(&mut self, inodes: u64, free: u64, blocks: u64) {
        for (at, count) in [(128, inodes), (136, free), (144, blocks)] {
            put_be64(&mut self.raw, at, count);
        }
    }

    /// Blocks of allocation group `group`, which exists.
    pub fn blocks_of(&self, group: u32) -> u32 {
        let first = u64::from(group) * u64::from(self.group_blocks);
        self.blocks.saturating_sub(first).min(u64::from(self.group_blocks)) as u32
    }

    /// The byte where block `block` of a group begins, if all of `count` blocks are in that group.
    pub fn place_in(&self, group: u32, block: u64, count: u64) -> Option<u64> {
        let end = block.checked_add(count)?;
        if group >= self.groups || end > u64::from(self.blocks_of(group)) {
            return None;
        }
        Some((u64::from(group) * u64::from(self.group_blocks) + block) * u64::from(self.block_size))
    }

    /// The byte where a block with this number begins, which has its group in the upper bits.
    pub fn place(&self, block: u64, count: u64) -> Option<u64> {
        let group = u32::try_from(block >> self.group_bits).ok()?;
        self.place_in(group, block & ((1 << self.group_bits) - 1), count)
    }

    /// The byte where an inode begins.
    pub fn inode_place(&self, number: u64) -> Result<u64> {
        let within = number & ((1 << self.inode_bits) - 1);
        let place = self.place(number >> self.inode_bits, 1);
        let missing = || {
            Error::new(
                ErrorKind::Corrupt,
                format!("inode {number} lies outside of the file system: run xfs_repair"),
            )
        };
        Ok(place.ok_or_else(missing)? + within * u64::from(self.inode_size))
    }
}
