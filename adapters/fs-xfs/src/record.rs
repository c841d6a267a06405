//! Records of an allocation group's trees, and how they are ordered (XFS Algorithms & Data Structures, "Short Format Btrees",
//! "Reverse-Mapping B+tree", "Reference Count B+tree"; Linux: fs/xfs/libxfs/xfs_format.h).

use crate::bytes::{be32_at, be64_at};

/// A reverse mapping's offset: of attributes, of a block of a tree of extents, not written yet.
pub const OF_ATTRIBUTES: u64 = 1 << 63;
pub const OF_TREE: u64 = 1 << 62;
pub const UNWRITTEN: u64 = 1 << 61;
/// The flags among them.
pub const FLAGS: u64 = OF_ATTRIBUTES | OF_TREE | UNWRITTEN;
/// Owners from here on are no inodes.
pub const OWNER_SPECIAL: u64 = -9i64 as u64;

/// What a tree is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Free space, by place.
    Place,
    /// Free space, by size.
    Size,
    /// Who owns which blocks.
    Owners,
    /// Blocks that several files share.
    Shares,
    /// Chunks of inodes.
    Chunks,
    /// Chunks with free inodes.
    FreeChunks,
}

/// One record of any kind; what a kind does not have is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// the first block, or inode, in the group
    pub start: u64,
    /// blocks; of a chunk, its word of counts
    pub count: u64,
    /// who owns the blocks; how many do; which inodes of a chunk are free
    pub owner: u64,
    /// the first block of the file, with flags
    pub offset: u64,
}

/// What records are ordered by.
pub type Key = [u64; 3];

impl Kind {
    /// Magic numbers in version 4 and 5; two of them exist in version 5 alone.
    pub fn magic(self, form: usize) -> u32 {
        let both = match self {
            Self::Place => [0x4142_5442, 0x4142_3342],
            Self::Size => [0x4142_5443, 0x4142_3343],
            Self::Owners => [0, 0x524d_4233],
            Self::Shares => [0, 0x5233_4643],
            Self::Chunks => [0x4941_4254, 0x4941_4233],
            Self::FreeChunks => [0x4649_4254, 0x4649_4233],
        };
        both.get(form).copied().unwrap_or(0)
    }

    /// Bytes of a record.
    pub fn record(self) -> usize {
        match self {
            Self::Place | Self::Size => 8,
            Self::Owners => 24,
            Self::Shares => 12,
            Self::Chunks | Self::FreeChunks => 16,
        }
    }

    /// Bytes of a key in a node: one, or the lowest and the highest.
    pub fn key(self) -> usize {
        match self {
            Self::Place | Self::Size => 8,
            Self::Owners => 40,
            Self::Shares | Self::Chunks | Self::FreeChunks => 4,
        }
    }

    /// The order of a record.
    pub fn order(self, record: &Record) -> Key {
        match self {
            Self::Size => [record.count, record.start, 0],
            Self::Owners => [record.start, record.owner, record.offset & !UNWRITTEN],
            _ => [record.start, 0, 0],
        }
    }

    /// The order of what a reverse mapping ends with.
    pub fn last(self, record: &Record) -> Key {
        let behind = record.count.saturating_sub(1);
        let counts = record.owner < OWNER_SPECIAL && record.offset & OF_TREE == 0;
        let offset = record.offset & !UNWRITTEN;
        [record.start + behind, record.owner, if counts { offset + behind } else { offset }]
    }

    /// A record from its bytes.
    pub fn read(self, bytes: &[u8]) -> Record {
        let (start, count) = (u64::from(be32_at(bytes, 0)), u64::from(be32_at(bytes, 4)));
        let (owner, offset) = match self {
            Self::Place | Self::Size => (0, 0),
            Self::Owners => (be64_at(bytes, 8), be64_at(bytes, 16)),
            Self::Shares => (u64::from(be32_at(bytes, 8)), 0),
            Self::Chunks | Self::FreeChunks => (be64_at(bytes, 8), 0),
        };
        Record { start, count, owner, offset }
    }

    /// Its bytes.
    pub fn write(self, record: &Record, to: &mut Vec<u8>) {
        to.extend_from_slice(&(record.start as u32).to_be_bytes());
        to.extend_from_slice(&(record.count as u32).to_be_bytes());
        match self {
            Self::Place | Self::Size => {}
            Self::Owners => {
                to.extend_from_slice(&record.owner.to_be_bytes());
                to.extend_from_slice(&record.offset.to_be_bytes());
            }
            Self::Shares => to.extend_from_slice(&(record.owner as u32).to_be_bytes()),
            Self::Chunks | Self::FreeChunks => to.extend_from_slice(&record.owner.to_be_bytes()),
        }
    }

    /// A key from its bytes.
    pub fn read_key(self, bytes: &[u8]) -> Key {
        let first = u64::from(be32_at(bytes, 0));
        match self {
            Self::Size => [u64::from(be32_at(bytes, 4)), first, 0],
            Self::Owners => [first, be64_at(bytes, 4), be64_at(bytes, 12) & !UNWRITTEN],
            _ => [first, 0, 0],
        }
    }

    /// Its bytes. Free space by place has the size in its keys as well.
    pub fn write_key(self, key: &Key, second: u64, to: &mut Vec<u8>) {
        let mut push = |value: u64| to.extend_from_slice(&(value as u32).to_be_bytes());
        match self {
            Self::Place => {
                push(key[0]);
                push(second);
            }
            Self::Size => {
                push(key[1]);
                push(key[0]);
            }
            Self::Owners => {
                push(key[0]);
                to.extend_from_slice(&key[1].to_be_bytes());
                to.extend_from_slice(&key[2].to_be_bytes());
            }
            _ => push(key[0]),
        }
    }
}
