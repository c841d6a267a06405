//! Keys of items, and the numbers that are known of them (Linux: `include/uapi/linux/btrfs_tree.h`).

use crate::bytes::{byte_at, put, put_u64, u64_at};

/// Bytes of a key on the disk.
pub const LENGTH: usize = 17;

/// Kinds of items.
pub const INODE_ITEM: u8 = 1;
pub const INODE_REF: u8 = 12;
pub const INODE_EXTREF: u8 = 13;
pub const XATTR_ITEM: u8 = 24;
pub const DIR_LOG_INDEX: u8 = 72;
pub const DIR_ITEM: u8 = 84;
pub const DIR_INDEX: u8 = 96;
pub const EXTENT_DATA: u8 = 108;
pub const EXTENT_CSUM: u8 = 128;
pub const ROOT_ITEM: u8 = 132;
pub const ROOT_BACKREF: u8 = 144;
pub const ROOT_REF: u8 = 156;
pub const EXTENT_ITEM: u8 = 168;
pub const METADATA_ITEM: u8 = 169;
pub const TREE_BLOCK_REF: u8 = 176;
pub const EXTENT_DATA_REF: u8 = 178;
pub const SHARED_BLOCK_REF: u8 = 182;
pub const SHARED_DATA_REF: u8 = 184;
pub const BLOCK_GROUP_ITEM: u8 = 192;
pub const FREE_SPACE_INFO: u8 = 198;
pub const FREE_SPACE_EXTENT: u8 = 199;
pub const FREE_SPACE_BITMAP: u8 = 200;
pub const CHUNK_ITEM: u8 = 228;
pub const QGROUP_STATUS: u8 = 240;

/// Trees.
pub const ROOT_TREE: u64 = 1;
pub const EXTENT_TREE: u64 = 2;
pub const CHUNK_TREE: u64 = 3;
pub const FS_TREE: u64 = 5;
pub const CSUM_TREE: u64 = 7;
pub const QUOTA_TREE: u64 = 8;
pub const FREE_SPACE_TREE: u64 = 10;
pub const BLOCK_GROUP_TREE: u64 = 11;
/// The first number of files, and of subvolumes.
pub const FIRST_FREE: u64 = 256;
/// Beyond the last number of either.
pub const LAST_FREE: u64 = u64::MAX - 255;
/// The object of logs in their tree.
pub const LOG_OBJECT: u64 = u64::MAX - 5;
/// The object of checksums.
pub const CSUM_OBJECT: u64 = u64::MAX - 9;
/// The object of all chunks.
pub const CHUNK_OBJECT: u64 = 256;

/// What items are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub object: u64,
    pub kind: u8,
    pub offset: u64,
}

impl Key {
    /// A key.
    pub fn new(object: u64, kind: u8, offset: u64) -> Self {
        Self { object, kind, offset }
    }

    /// The key at a place in a block.
    pub fn at(bytes: &[u8], at: usize) -> Self {
        let after = |length: usize| at.saturating_add(length);
        Self { object: u64_at(bytes, at), kind: byte_at(bytes, after(8)), offset: u64_at(bytes, after(9)) }
    }

    /// Writes it at a place in a block.
    pub fn put(self, bytes: &mut [u8], at: usize) {
        put_u64(bytes, at, self.object);
        put(bytes, at + 8, &[self.kind]);
        put_u64(bytes, at + 9, self.offset);
    }

    /// The next key that could be.
    pub fn next(self) -> Self {
        match (self.offset.checked_add(1), self.kind.checked_add(1)) {
            (Some(offset), _) => Self { offset, ..self },
            (None, Some(kind)) => Self { kind, offset: 0, ..self },
            (None, None) => Self { object: self.object.saturating_add(1), kind: 0, offset: 0 },
        }
    }
}
