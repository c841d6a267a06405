//! Inodes (XFS Algorithms & Data Structures, "On-disk Inode"; Linux: fs/xfs/libxfs/xfs_format.h, xfs_inode_buf.c).

use crate::Xfs;
use crate::bytes::{be16_at, be32_at, be64_at, byte_at, damaged, field, is_summed, part};
use wherry_sdk::{Kind, Result};

const MAGIC: u16 = 0x494e;
/// Bytes before the forks in versions 1 and 2, and in 3.
const CORE: usize = 100;
const CORE_3: usize = 176;
const CHECKSUM: usize = 100;
/// Flag: the content is on the realtime device.
const REALTIME: u16 = 1;
/// Flags of version 3.
const BIGTIME: u64 = 8;
const LARGE_COUNTS: u64 = 0x10;
/// Large timestamps count nanoseconds from here, in seconds before 1970.
const BIGTIME_EPOCH: i64 = 1 << 31;

/// How a fork is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A device's number, or nothing that has a content.
    Nothing,
    /// In the inode itself.
    Local,
    /// A list of extents in the inode.
    Extents,
    /// A tree of extents.
    Btree,
}

fn format(value: u8) -> Option<Format> {
    match value {
        0 => Some(Format::Nothing),
        1 => Some(Format::Local),
        2 => Some(Format::Extents),
        3 => Some(Format::Btree),
        _ => None,
    }
}

/// Which of the two forks of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Which {
    /// The content.
    Data,
    /// The extended attributes.
    Attributes,
}

/// A fork: its format, its bytes in the inode, and how many extents it should have.
pub struct Fork<'a> {
    pub format: Format,
    pub bytes: &'a [u8],
    pub extents: u64,
}

/// An inode as it is on disk.
#[derive(Clone)]
pub struct Inode {
    pub number: u64,
    /// where it is on the device, in bytes
    pub place: u64,
    raw: Vec<u8>,
}

impl Inode {
    fn mode(&self) -> u16 {
        be16_at(&self.raw, 2)
    }
    fn version(&self) -> u8 {
        byte_at(&self.raw, 4)
    }
    fn flags2(&self) -> u64 {
        if self.version() >= 3 { be64_at(&self.raw, 120) } else { 0 }
    }
    /// Permissions.
    pub fn permissions(&self) -> u32 {
        u32::from(self.mode() & 0o7777)
    }
    /// The type.
    pub fn kind(&self) -> Kind {
        match self.mode() & 0xf000 {
            0x4000 => Kind::Directory,
            0x8000 => Kind::File,
            0xa000 => Kind::Symlink,
            _ => Kind::Other,
        }
    }
    /// User and group.
    pub fn owner(&self) -> (u32, u32) {
        (be32_at(&self.raw, 8), be32_at(&self.raw, 12))
    }
    /// Names.
    pub fn links(&self) -> u32 {
        if self.version() == 1 { u32::from(be16_at(&self.raw, 6)) } else { be32_at(&self.raw, 16) }
    }
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        be64_at(&self.raw, 56)
    }
    /// Last modification of the content, in seconds since 1970 ("Timestamps").
    pub fn mtime(&self) -> i64 {
        if self.flags2() & BIGTIME != 0 {
            return (be64_at(&self.raw, 40) / 1_000_000_000) as i64 - BIGTIME_EPOCH;
        }
        i64::from(be32_at(&self.raw, 40) as i32)
    }
    /// Whether the content is on the realtime device.
    pub fn is_realtime(&self) -> bool {
        be16_at(&self.raw, 90) & REALTIME != 0
    }
    fn core(&self) -> usize {
        if self.version() >= 3 { CORE_3 } else { CORE }
    }
    /// Where the attribute fork begins behind the core, in bytes; 0 where there is none.
    fn boundary(&self) -> usize {
        usize::from(byte_at(&self.raw, 82)) * 8
    }
    /// One of the forks; a format that does not exist is none.
    pub fn fork(&self, which: Which) -> Fork<'_> {
        let (core, boundary) = (self.core(), self.boundary());
        let room = self.raw.len().saturating_sub(core);
        let large = self.flags2() & LARGE_COUNTS != 0;
        let (value, bytes, extents) = match which {
            Which::Data => {
                let length = if boundary == 0 { room } else { boundary };
                let count = if large { be64_at(&self.raw, 24) } else { u64::from(be32_at(&self.raw, 76)) };
                (byte_at(&self.raw, 5), part(&self.raw, core, length), count)
            }
            Which::Attributes if boundary == 0 => (0, &[][..], 0),
            Which::Attributes => {
                let count = if large { be32_at(&self.raw, 76) } else { u32::from(be16_at(&self.raw, 80)) };
                (byte_at(&self.raw, 83), part(&self.raw, core + boundary, room), u64::from(count))
            }
        };
        Fork { format: format(value).unwrap_or(Format::Nothing), bytes, extents }
    }
}

impl Xfs {
    /// Reads an inode that a directory names: its checksum is right and it is in use.
    pub fn inode(&mut self, number: u64) -> Result<Inode> {
        let place = self.superblock.inode_place(number)?;
        let raw = self.device.get(place, self.superblock.inode_size)?;
        let inode = Inode { number, place, raw };
        let refuse = |why: &str| Err(damaged(place, &format!("inode {number} {why}")));
        let raw = &inode.raw;
        let fifth = self.superblock.version == 5;
        if be16_at(raw, 0) != MAGIC || (inode.version() == 3) != fifth || !matches!(inode.version(), 1..=3) {
            return refuse("is none");
        }
        if fifth && !is_summed(raw, CHECKSUM) {
            return refuse("has a wrong checksum");
        }
        if fifth && (be64_at(raw, 152) != number || field(raw, 160, 16) != self.superblock.meta_uuid) {
            return refuse("belongs to another place");
        }
        if inode.mode() == 0 || inode.links() == 0 {
            return refuse("has a name and is not in use");
        }
        let room = raw.len().saturating_sub(inode.core());
        if inode.size() > i64::MAX as u64 || inode.boundary() >= room || format(byte_at(raw, 5)).is_none() {
            return refuse("has an impossible size or format");
        }
        if inode.boundary() > 0 && format(byte_at(raw, 83)).is_none() {
            return refuse("has attributes in an impossible format");
        }
        Ok(inode)
    }
}
