//! Features that a file system has (Linux: `include/uapi/linux/btrfs.h`, BTRFS_FEATURE_*).

use crate::superblock::Superblock;
use wherry_sdk::{Error, Result};

pub const MIXED_GROUPS: u64 = 1 << 2;
pub const SKINNY_METADATA: u64 = 1 << 8;
pub const NO_HOLES: u64 = 1 << 9;
pub const METADATA_UUID: u64 = 1 << 10;
const ZONED: u64 = 1 << 12;
const EXTENT_TREE_V2: u64 = 1 << 13;
const RAID_STRIPE_TREE: u64 = 1 << 14;
const SIMPLE_QUOTA: u64 = 1 << 16;
/// Incompatible ones with which everything here works.
const READ: u64 = 0x0fff | SIMPLE_QUOTA;
/// Those of them that edits would have to keep and do not.
const NOT_WRITTEN: u64 = SIMPLE_QUOTA;

pub const FREE_SPACE_TREE: u64 = 1;
pub const FREE_SPACE_TREE_VALID: u64 = 1 << 1;
const VERITY: u64 = 1 << 2;
pub const BLOCK_GROUP_TREE: u64 = 1 << 3;
const COMPAT_RO: u64 = FREE_SPACE_TREE | FREE_SPACE_TREE_VALID | VERITY | BLOCK_GROUP_TREE;

const NAMES: [(u64, &str); 16] = [
    (1, "mixed-backref"),
    (1 << 1, "default-subvol"),
    (MIXED_GROUPS, "mixed-bg"),
    (1 << 3, "compress-lzo"),
    (1 << 4, "compress-zstd"),
    (1 << 5, "big-metadata"),
    (1 << 6, "extref"),
    (1 << 7, "raid56"),
    (SKINNY_METADATA, "skinny-metadata"),
    (NO_HOLES, "no-holes"),
    (METADATA_UUID, "metadata-uuid"),
    (1 << 11, "raid1c34"),
    (ZONED, "zoned"),
    (EXTENT_TREE_V2, "extent-tree-v2"),
    (RAID_STRIPE_TREE, "raid-stripe-tree"),
    (SIMPLE_QUOTA, "simple-quota"),
];

fn named(bits: u64) -> String {
    let known = NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned());
    let rest = NAMES.iter().fold(bits, |rest, (bit, _)| rest & !bit);
    let rest = (rest != 0).then(|| format!("{rest:#x}"));
    known.chain(rest).collect::<Vec<_>>().join(",")
}

impl Superblock {
    pub fn has(&self, incompat: u64) -> bool {
        self.incompat() & incompat != 0
    }

    pub fn has_ro(&self, compat_ro: u64) -> bool {
        self.compat_ro() & compat_ro != 0
    }

    /// For people.
    pub fn features(&self) -> String {
        let tree = if self.has_ro(FREE_SPACE_TREE) { ",free-space-tree" } else { "" };
        let groups = if self.has_ro(BLOCK_GROUP_TREE) { ",block-group-tree" } else { "" };
        format!("{}{tree}{groups}", named(self.incompat()))
    }

    /// Refuses what cannot be read.
    pub fn check_readable(&self) -> Result<()> {
        match self.incompat() & !READ {
            0 => Ok(()),
            unknown => Err(Error::unsupported(format!("btrfs feature {} is not known here", named(unknown)))),
        }
    }

    /// Refuses what cannot be edited.
    pub fn check_writable(&self) -> Result<()> {
        let refused = |what: String| Err(Error::unsupported(format!("{what}: edit from inside the guest")));
        if self.incompat() & NOT_WRITTEN != 0 {
            return refused(format!("btrfs feature {} is only read", named(self.incompat() & NOT_WRITTEN)));
        }
        if !self.has(SKINNY_METADATA) || !self.has(1) {
            return refused("btrfs without skinny metadata is only read".into());
        }
        let unknown = self.compat_ro() & !COMPAT_RO;
        if unknown != 0 {
            return refused(format!("btrfs feature {unknown:#x} is only read"));
        }
        if self.has_ro(FREE_SPACE_TREE) != self.has_ro(FREE_SPACE_TREE_VALID) {
            return refused("the tree of free space is to be made anew".into());
        }
        Ok(())
    }
}
