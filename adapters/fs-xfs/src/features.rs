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
    (Set::Version, 0x10, "attr"),
    (Set::Version, 0x40, "quota"),
    (Set::Version, 0x400, "logv2"),
    (Set::Second, 0x2, "lazy-count"),
    (Set::Second, 0x8, "attr2"),
    (Set::Second, 0x80, "projid32bit"),
    (Set::ReadOnly, 0x1, "finobt"),
    (Set::ReadOnly, 0x2, "rmapbt"),
    (Set::ReadOnly, 0x4, "reflink"),
    (Set::ReadOnly, 0x8, "inobtcount"),
    (Set::Incompatible, 0x2, "sparse"),
    (Set::Incompatible, 0x8, "bigtime"),
    (Set::Incompatible, 0x20, "nrext64"),
    (Set::Incompatible, 0x40, "exchange"),
    (Set::Incompatible, 0x80, "parent"),
    (Set::Log, 0x1, "log-xattrs"),
];
