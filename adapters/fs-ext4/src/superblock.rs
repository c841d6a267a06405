//! The superblock: geometry, features, counters (Linux: Documentation/filesystems/ext4, "Super Block").

use crate::bytes::{byte_at, join, part, put, put_u32, text, u16_at, u32_at};
use crate::checksum::crc32c;
use crate::features::{self, Feature, Set, Support};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// Where the superblock begins, in bytes, and its length.
pub const START: u64 = 1024;
const LENGTH: usize = 1024;
const MAGIC: u16 = 0xef53;

const FREE_BLOCKS: usize = 0xc;
const FREE_INODES: usize = 0x10;
const WRITE_TIME: usize = 0x30;
const STATE: usize = 0x3a;
const UUID: usize = 0x68;
const LAST_ORPHAN: usize = 0xe8;
const FREE_BLOCKS_HIGH: usize = 0x158;
const CHECKSUM: usize = 0x3fc;

/// Bits of the state.
const STATE_VALID: u16 = 1;
const STATE_ERRORS: u16 = 2;

/// The superblock with what follows from it.
pub struct Superblock {
    raw: Vec<u8>,
    /// bytes, a power of two from 1024 to 65536
    pub block_size: u32,
    /// blocks of the file system
    pub blocks: u64,
    /// the block where group 0 begins
    pub first_block: u64,
    /// blocks of a group, the last one may have fewer
    pub blocks_per_group: u64,
    /// blocks for one bit of a bitmap; 1 without `bigalloc`
    pub cluster: u64,
    /// inodes of the file system
    pub inodes: u32,
    /// inodes of each group
    pub inodes_per_group: u32,
    /// bytes
    pub inode_size: u32,
    /// bytes: 32, or 64 and more with `64bit`
    pub descriptor_size: u32,
    /// groups
    pub groups: u32,
    /// start value of checksums
    pub seed: u32,
}

/// The superblock's bytes, or none when the device cannot hold an ext file system or does not look like one.
pub fn read(device: &dyn Blob) -> Result<Option<Vec<u8>>> {
    if device.size() < START + LENGTH as u64 {
        return Ok(None);
    }
    let raw = device.read(START, LENGTH as u32)?;
    let plausible = u16_at(&raw, 0x38) == MAGIC && u32_at(&raw, 0x4c) <= 1 && u32_at(&raw, 0x18) <= 6;
    Ok(plausible.then_some(raw))
}

fn require(right: bool, message: &str) -> Result<()> {
    if right {
        return Ok(());
    }
    let message = format!("the ext superblock {message}: run e2fsck, which can use a backup");
    Err(Error::corrupt(START, message))
}

impl Superblock {
    /// Checks everything that later arithmetic relies on; `size` is the device's in bytes.
    pub fn parse(raw: Vec<u8>, size: u64) -> Result<Self> {
        let word = |at| u32_at(&raw, at);
        let revision = word(0x4c);
        let long = raw.len() == LENGTH && word(0x18) <= 6;
        require(long, "has an impossible block size")?;
        let block_size = 1024u32 << word(0x18);
        let incompatible = word(0x60);
        let wide = incompatible & features::BITS64.bit != 0;
        let big = word(0x64) & features::BIGALLOC.bit != 0;
        let ratio = word(0x1c).checked_sub(word(0x18)).filter(|ratio| *ratio <= 16 && (big || *ratio == 0));
        require(ratio.is_some(), "has an impossible cluster size")?;
        let mut superblock = Self {
            block_size,
            blocks: join(word(0x4), if wide { word(0x150) } else { 0 }),
            first_block: u64::from(word(0x14)),
            blocks_per_group: u64::from(word(0x20)),
            cluster: 1 << ratio.unwrap_or(0),
            inodes: word(0),
            inodes_per_group: word(0x28),
            inode_size: if revision == 0 { 128 } else { u32::from(u16_at(&raw, 0x58)) },
            descriptor_size: if wide { u32::from(u16_at(&raw, 0xfe)) } else { 32 },
            groups: 0,
            seed: crc32c(!0, part(&raw, UUID, 16)),
            raw,
        };
        if superblock.has(features::CSUM_SEED) {
            superblock.seed = u32_at(&superblock.raw, 0x270);
        }
        if superblock.has(features::METADATA_CSUM) {
            require(byte_at(&superblock.raw, 0x175) == 1, "has an unknown checksum type")?;
            let sum = crc32c(!0, part(&superblock.raw, 0, CHECKSUM));
            require(sum == u32_at(&superblock.raw, CHECKSUM), "has a wrong checksum")?;
        }
        superblock.check_geometry(size)?;
        Ok(superblock)
    }

    fn check_geometry(&mut self, size: u64) -> Result<()> {
        let bits = u64::from(self.block_size) * 8;
        let clusters = self.blocks_per_group / self.cluster;
        let whole = clusters * self.cluster == self.blocks_per_group && clusters.is_multiple_of(8);
        require(clusters > 0 && clusters <= bits && whole, "has impossible blocks per group")?;
        let inodes = self.inodes_per_group;
        require(inodes > 0 && u64::from(inodes) <= bits, "has impossible inodes per group")?;
        let fits = self.inode_size.is_power_of_two() && (128..=self.block_size).contains(&self.inode_size);
        require(fits, "has an impossible inode size")?;
        let least = if self.has(features::BITS64) { 64 } else { 32 };
        let fits = self.descriptor_size.is_power_of_two() && (least..=1024).contains(&self.descriptor_size);
        require(fits, "has an impossible descriptor size")?;
        let first = u64::from(self.block_size == 1024 && self.cluster == 1);
        require(self.first_block == first, "has an impossible first block")?;
        require(self.blocks > self.first_block, "has no blocks")?;
        let fits = self.blocks.checked_mul(u64::from(self.block_size)).is_some_and(|bytes| bytes <= size);
        require(fits, "says that the file system is longer than its device")?;
        let groups = (self.blocks - self.first_block).div_ceil(self.blocks_per_group);
        let groups = u32::try_from(groups).unwrap_or(0);
        let right = groups.checked_mul(inodes) == Some(self.inodes) && groups > 0;
        require(right, "has an inode count that does not fit its groups")?;
        self.groups = groups;
        Ok(())
    }

    fn bits(&self, set: Set) -> u32 {
        u32_at(&self.raw, bits_at(set))
    }

    /// Whether the feature is on.
    pub fn has(&self, feature: Feature) -> bool {
        self.bits(feature.set) & feature.bit != 0
    }

    /// Switches a feature on or off.
    pub fn set_feature(&mut self, feature: Feature, on: bool) {
        let bits = self.bits(feature.set);
        let bits = if on { bits | feature.bit } else { bits & !feature.bit };
        put_u32(&mut self.raw, bits_at(feature.set), bits);
    }

    /// Names of all features that are on; unknown ones as the set and the bit.
    pub fn features(&self) -> Vec<String> {
        let mut names = Vec::new();
        for set in [Set::Compatible, Set::Incompatible, Set::ReadOnly] {
            for bit in (0..32).map(|shift| 1 << shift).filter(|bit| self.bits(set) & bit != 0) {
                names.push(name_of(set, bit));
            }
        }
        names
    }

    /// The first feature on which this adapter must stop: for reading only, or for writing too.
    fn obstacle(&self, writing: bool) -> Option<String> {
        let sets: &[Set] = if writing { &[Set::Incompatible, Set::ReadOnly] } else { &[Set::Incompatible] };
        for set in sets {
            for bit in (0..32).map(|shift| 1 << shift).filter(|bit| self.bits(*set) & bit != 0) {
                let support = find(*set, bit).map_or(Support::Refused, |feature| feature.support);
                if support == Support::Refused || (writing && support == Support::Read) {
                    return Some(name_of(*set, bit));
                }
            }
        }
        None
    }

    /// Refuses what cannot be read (`unsupported`).
    pub fn check_readable(&self) -> Result<()> {
        match self.obstacle(false) {
            Some(name) => Err(Error::unsupported(format!(
                "ext4 feature {name} is not supported: copy the volume as it is, or edit it from inside the guest"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses what cannot be written (`unsupported`), and what needs a check before it may be written (`dirty`).
    pub fn check_writable(&self) -> Result<()> {
        if let Some(name) = self.obstacle(true) {
            let message =
                format!("ext4 feature {name} is supported for reading only: edit from inside the guest");
            return Err(Error::unsupported(message));
        }
        match self.doubt() {
            Some(reason) => Err(Error::new(ErrorKind::Dirty, format!("{reason}: run e2fsck on it first"))),
            None => Ok(()),
        }
    }

    /// Why its bitmaps may be wrong, even after a journal was replayed.
    pub fn doubt(&self) -> Option<&'static str> {
        let state = u16_at(&self.raw, STATE);
        if state & STATE_ERRORS != 0 {
            return Some("the file system has recorded errors");
        }
        (state & STATE_VALID == 0)
            .then_some("the file system was not unmounted cleanly and has no journal for it")
    }

    /// Nothing to replay, to finish or to check.
    pub fn is_clean(&self) -> bool {
        self.doubt().is_none()
            && !self.has(features::RECOVER)
            && !self.has(features::ORPHAN_PRESENT)
            && self.last_orphan() == 0
    }

    /// ext2, ext3 or ext4, by the features that each of them knows.
    pub fn kind(&self) -> &'static str {
        let old = [features::FILETYPE, features::RECOVER, features::META_BG];
        let old_read_only = [features::SPARSE_SUPER, features::LARGE_FILE, features::BTREE_DIR];
        let sum = |list: &[Feature]| list.iter().fold(0, |bits, feature| bits | feature.bit);
        let newer =
            self.bits(Set::Incompatible) & !sum(&old) | self.bits(Set::ReadOnly) & !sum(&old_read_only);
        match (newer, self.has(features::HAS_JOURNAL)) {
            (0, false) => "ext2",
            (0, true) => "ext3",
            _ => "ext4",
        }
    }

    /// The UUID in its usual form, none when it is zero.
    pub fn uuid(&self) -> Option<String> {
        let uuid = <[u8; 16]>::try_from(self.uuid_bytes()).ok().map(Uuid);
        uuid.filter(|uuid| *uuid != Uuid::NIL).map(|uuid| uuid.to_string())
    }

    /// The UUID's 16 bytes.
    pub fn uuid_bytes(&self) -> &[u8] {
        part(&self.raw, UUID, 16)
    }

    /// The volume label, none when it is empty.
    pub fn label(&self) -> Option<String> {
        Some(text(part(&self.raw, 0x78, 16))).filter(|text| !text.is_empty())
    }

    /// Blocks that are free; blocks also under `bigalloc`, where the groups count clusters.
    pub fn free_blocks(&self) -> u64 {
        let high = if self.has(features::BITS64) { u32_at(&self.raw, FREE_BLOCKS_HIGH) } else { 0 };
        join(u32_at(&self.raw, FREE_BLOCKS), high)
    }

    /// Sets the number of free blocks.
    pub fn set_free_blocks(&mut self, count: u64) {
        put_u32(&mut self.raw, FREE_BLOCKS, count as u32);
        if self.has(features::BITS64) {
            put_u32(&mut self.raw, FREE_BLOCKS_HIGH, (count >> 32) as u32);
        }
    }

    /// Inodes that are free.
    pub fn free_inodes(&self) -> u32 {
        u32_at(&self.raw, FREE_INODES)
    }

    /// Sets the number of free inodes.
    pub fn set_free_inodes(&mut self, count: u32) {
        put_u32(&mut self.raw, FREE_INODES, count);
    }

    /// The first inode of the list of those to be freed or cut, 0 at its end.
    pub fn last_orphan(&self) -> u32 {
        u32_at(&self.raw, LAST_ORPHAN)
    }

    /// Empties the list of orphans.
    pub fn clear_orphans(&mut self) {
        put_u32(&mut self.raw, LAST_ORPHAN, 0);
    }

    /// The inode of the orphan file.
    pub fn orphan_file(&self) -> u32 {
        u32_at(&self.raw, 0x280)
    }

    /// The inode of the journal, 0 when it is on another device.
    pub fn journal_inode(&self) -> u32 {
        u32_at(&self.raw, 0xe0)
    }

    /// The first inode that is not reserved.
    pub fn first_inode(&self) -> u32 {
        if u32_at(&self.raw, 0x4c) == 0 { 11 } else { u32_at(&self.raw, 0x54) }
    }

    /// Blocks behind each copy of the descriptors that are kept free for growth.
    pub fn reserved_descriptor_blocks(&self) -> u64 {
        u64::from(u16_at(&self.raw, 0xce))
    }

    /// The first descriptor block that is placed by `meta_bg`.
    pub fn first_meta_group(&self) -> u32 {
        u32_at(&self.raw, 0x104)
    }

    /// The two groups with backups under `sparse_super2`.
    pub fn backup_groups(&self) -> [u32; 2] {
        [u32_at(&self.raw, 0x24c), u32_at(&self.raw, 0x250)]
    }

    /// The key of directory hashes.
    pub fn hash_seed(&self) -> [u32; 4] {
        [0xec, 0xf0, 0xf4, 0xf8].map(|at| u32_at(&self.raw, at))
    }

    /// The hash for new indexes, as stored in them.
    pub fn hash_version(&self) -> u8 {
        byte_at(&self.raw, 0xfc)
    }

    /// Whether directory hashes take characters as unsigned; nothing said means signed, as on x86.
    pub fn hash_unsigned(&self) -> bool {
        u32_at(&self.raw, 0x160) & 2 != 0
    }

    /// Bytes of the fixed fields behind the first 128 that new inodes get.
    pub fn extra_isize(&self) -> u16 {
        let room = (self.inode_size.saturating_sub(128)) as u16;
        let wanted = u16_at(&self.raw, 0x15e).max(u16_at(&self.raw, 0x15c));
        if room == 0 { 0 } else { wanted.clamp(32, room.max(32)).min(room) & !3 }
    }

    /// The bytes with `now` (seconds) as the time of writing and with a right checksum.
    pub fn stamped(&mut self, now: u64) -> &[u8] {
        put_u32(&mut self.raw, WRITE_TIME, now as u32);
        put(&mut self.raw, 0x274, &[(now >> 32) as u8]);
        if self.has(features::METADATA_CSUM) {
            let sum = crc32c(!0, part(&self.raw, 0, CHECKSUM));
            put_u32(&mut self.raw, CHECKSUM, sum);
        }
        &self.raw
    }
}

fn bits_at(set: Set) -> usize {
    match set {
        Set::Compatible => 0x5c,
        Set::Incompatible => 0x60,
        Set::ReadOnly => 0x64,
    }
}

fn find(set: Set, bit: u32) -> Option<&'static Feature> {
    features::ALL.iter().find(|feature| feature.set == set && feature.bit == bit)
}

fn name_of(set: Set, bit: u32) -> String {
    find(set, bit).map_or_else(|| format!("{set:?}-{bit:#x}").to_lowercase(), |feature| feature.name.into())
}
