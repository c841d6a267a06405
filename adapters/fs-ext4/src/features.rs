//! Feature bits of the superblock (Linux: Documentation/filesystems/ext4, "Super Block"; fs/ext4/ext4.h).

/// Which of the superblock's three sets a bit belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// May be ignored.
    Compatible,
    /// Must be understood for reading.
    Incompatible,
    /// Must be understood for writing.
    ReadOnly,
}

/// One feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    /// Its set.
    pub set: Set,
    /// Its bit.
    pub bit: u32,
    /// The name that `tune2fs` uses.
    pub name: &'static str,
    /// What this adapter can do with it.
    pub support: Support,
}

/// What this adapter can do with a file system that has the feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// Read and write.
    Full,
    /// Read only.
    Read,
    /// Nothing.
    Refused,
}

macro_rules! features {
    ($($name:ident $set:ident $bit:literal $text:literal $support:ident;)*) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: Feature =
                Feature { set: Set::$set, bit: $bit, name: $text, support: Support::$support };
        )*
        /// All features that have a name here.
        pub const ALL: &[Feature] = &[$($name),*];
    };
}

features! {
    HAS_JOURNAL Compatible 0x4 "has_journal" Full;
    EXT_ATTR Compatible 0x8 "ext_attr" Full;
    RESIZE_INODE Compatible 0x10 "resize_inode" Full;
    DIR_INDEX Compatible 0x20 "dir_index" Full;
    SPARSE_SUPER2 Compatible 0x200 "sparse_super2" Full;
    FAST_COMMIT Compatible 0x400 "fast_commit" Full;
    STABLE_INODES Compatible 0x800 "stable_inodes" Full;
    ORPHAN_FILE Compatible 0x1000 "orphan_file" Full;
    COMPRESSION Incompatible 0x1 "compression" Refused;
    FILETYPE Incompatible 0x2 "filetype" Full;
    RECOVER Incompatible 0x4 "needs_recovery" Full;
    JOURNAL_DEV Incompatible 0x8 "journal_dev" Refused;
    META_BG Incompatible 0x10 "meta_bg" Full;
    EXTENTS Incompatible 0x40 "extent" Full;
    BITS64 Incompatible 0x80 "64bit" Full;
    MMP Incompatible 0x100 "mmp" Read;
    FLEX_BG Incompatible 0x200 "flex_bg" Full;
    EA_INODE Incompatible 0x400 "ea_inode" Full;
    DIRDATA Incompatible 0x1000 "dirdata" Refused;
    CSUM_SEED Incompatible 0x2000 "metadata_csum_seed" Full;
    LARGEDIR Incompatible 0x4000 "large_dir" Full;
    INLINE_DATA Incompatible 0x8000 "inline_data" Full;
    ENCRYPT Incompatible 0x10000 "encrypt" Read;
    CASEFOLD Incompatible 0x20000 "casefold" Read;
    SPARSE_SUPER ReadOnly 0x1 "sparse_super" Full;
    LARGE_FILE ReadOnly 0x2 "large_file" Full;
    BTREE_DIR ReadOnly 0x4 "btree_dir" Full;
    HUGE_FILE ReadOnly 0x8 "huge_file" Full;
    GDT_CSUM ReadOnly 0x10 "uninit_bg" Full;
    DIR_NLINK ReadOnly 0x20 "dir_nlink" Full;
    EXTRA_ISIZE ReadOnly 0x40 "extra_isize" Full;
    SNAPSHOT ReadOnly 0x80 "snapshot" Read;
    QUOTA ReadOnly 0x100 "quota" Read;
    BIGALLOC ReadOnly 0x200 "bigalloc" Read;
    METADATA_CSUM ReadOnly 0x400 "metadata_csum" Full;
    REPLICA ReadOnly 0x800 "replica" Read;
    READONLY ReadOnly 0x1000 "read-only" Read;
    PROJECT ReadOnly 0x2000 "project" Full;
    SHARED_BLOCKS ReadOnly 0x4000 "shared_blocks" Read;
    VERITY ReadOnly 0x8000 "verity" Read;
    ORPHAN_PRESENT ReadOnly 0x10000 "orphan_present" Full;
}
