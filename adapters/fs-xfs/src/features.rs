//! Feature bits of the superblock (XFS Algorithms & Data Structures, "Superblocks"; Linux: fs/xfs/libxfs/xfs_format.h).

/// Which of the superblock's fields a bit is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// `sb_versionnum`.
    Version,
    /// `sb_features2`.
    Second,
    /// `sb_features_ro_compat`: must be understood for writing.
    ReadOnly,
    /// `sb_features_incompat`: must be understood for reading.
    Incompatible,
    /// `sb_features_log_incompat`: must be understood for replaying the log.
    Log,
}

/// One feature: its field, its bit, and the name that `mkfs.xfs` or the kernel has for it.
pub type Feature = (Set, u32, &'static str);

/// Directories of version 2.
pub const DIRV2: Feature = (Set::Version, 0x2000, "dirv2");
/// Names are compared without the case of ASCII letters.
pub const ASCII_CI: Feature = (Set::Version, 0x4000, "ascii-ci");
/// `sb_features2` counts.
pub const MORE: Feature = (Set::Version, 0x8000, "morebits");
/// Directories of version 4 know types of files.
pub const FTYPE_V4: Feature = (Set::Second, 0x200, "ftype");
/// Directories of version 5 do.
pub const FTYPE: Feature = (Set::Incompatible, 0x1, "ftype");
/// Blocks carry another UUID than the superblock.
pub const META_UUID: Feature = (Set::Incompatible, 0x4, "meta-uuid");
/// The file system waits for xfs_repair.
pub const NEEDS_REPAIR: Feature = (Set::Incompatible, 0x10, "needs-repair");
/// Inodes know 32 bits of names; all of them have been of version 2 for long.
pub const LINKS: Feature = (Set::Version, 0x20, "nlink");
/// There are attributes.
pub const ATTRIBUTES: Feature = (Set::Version, 0x10, "attr");
/// The log has records of version 2.
pub const LOG_2: Feature = (Set::Version, 0x400, "logv2");
/// Chunks of inodes are aligned.
pub const ALIGNED: Feature = (Set::Version, 0x80, "align");
/// Free blocks are counted by the groups alone while the file system is mounted.
pub const LAZY_COUNT: Feature = (Set::Second, 0x2, "lazy-count");
/// The attribute fork begins where there is room.
pub const ATTRIBUTES_2: Feature = (Set::Second, 0x8, "attr2");
/// Chunks with free inodes have a tree of their own.
pub const FINOBT: Feature = (Set::ReadOnly, 0x1, "finobt");
/// Each group knows whose its blocks are.
pub const RMAPBT: Feature = (Set::ReadOnly, 0x2, "rmapbt");
/// Files may share blocks.
pub const REFLINK: Feature = (Set::ReadOnly, 0x4, "reflink");
/// Groups count the blocks of their trees of inodes.
pub const INOBTCOUNT: Feature = (Set::ReadOnly, 0x8, "inobtcount");
/// A chunk of inodes may be there in part.
pub const SPARSE: Feature = (Set::Incompatible, 0x2, "sparse");
/// Times until 2486.
pub const BIGTIME: Feature = (Set::Incompatible, 0x8, "bigtime");
/// Large counts of extents.
pub const NREXT64: Feature = (Set::Incompatible, 0x20, "nrext64");
/// Objects know the directories that name them.
pub const PARENT: Feature = (Set::Incompatible, 0x80, "parent");
/// What `sb_features_ro_compat` may hold: further bits change what has to be written.
pub const KNOWN_READ_ONLY: u32 = 0xf;
/// What `sb_features_incompat` may hold: further bits change what is read.
pub const KNOWN_INCOMPATIBLE: u32 = 0xff;

/// All features that have a name here.
pub const ALL: &[Feature] = &[
    DIRV2,
    ASCII_CI,
    FTYPE_V4,
    FTYPE,
    META_UUID,
    NEEDS_REPAIR,
    ATTRIBUTES,
    (Set::Version, 0x40, "quota"),
    LOG_2,
    LAZY_COUNT,
    ATTRIBUTES_2,
    (Set::Second, 0x80, "projid32bit"),
    FINOBT,
    RMAPBT,
    REFLINK,
    INOBTCOUNT,
    SPARSE,
    BIGTIME,
    NREXT64,
    (Set::Incompatible, 0x40, "exchange"),
    PARENT,
    (Set::Log, 0x1, "log-xattrs"),
];
