//! Inodes (XFS Algorithms & Data Structures, "On-disk Inode"; Linux: fs/xfs/libxfs/xfs_format.h, xfs_inode_buf.c).

use crate::Xfs;
use crate::bytes::{
    be16_at, be32_at, be64_at, byte_at, damaged, field, is_summed, part, put, put_be16, put_be32, put_be64,
    stamp,
};
use crate::device::Disk;
use crate::features;
use crate::superblock::Superblock;
use wherry_sdk::bytes::{u16_at, u64_at};
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{Kind, Result};

/// Its magic number, and where its checksum and the next inode without a name are, in bytes.
pub const MAGIC: u16 = 0x494e;
pub const CHECKSUM: usize = 100;
pub const NEXT: usize = 96;
/// Bytes before the forks in versions 1 and 2, and in 3.
const CORE: usize = 100;
const CORE_3: usize = 176;
/// Flags: the content is on the realtime device, new content is put there; it must not be changed, or only grow; what is
/// made in a directory gets its project.
const REALTIME: u16 = 1;
pub const IMMUTABLE: u16 = 8;
pub const APPEND_ONLY: u16 = 0x10;
const PROJECT_INHERIT: u16 = 0x200;
/// Flags of version 3.
const SHARED: u64 = 2;
const BIGTIME: u64 = 8;
const LARGE_COUNTS: u64 = 0x10;
/// Large timestamps count nanoseconds from here, in seconds before 1970.
const BIGTIME_EPOCH: i64 = 1 << 31;
/// The last second of those, since 1970.
const BIGTIME_LAST: i64 = 16_299_260_425;
/// Times: of the last reading, of the content, of anything, of birth.
const TIMES: [usize; 3] = [32, 40, 48];
const BIRTH: usize = 144;
/// No inode.
const NONE: u32 = u32::MAX;

/// How a fork is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Format {
    /// A device's number, or nothing that has a content.
    Nothing = 0,
    /// In the inode itself.
    Local = 1,
    /// A list of extents in the inode.
    Extents = 2,
    /// A tree of extents.
    Btree = 3,
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

/// The mode's bits for a type.
fn bits_of(kind: Kind) -> u16 {
    match kind {
        Kind::Directory => 0x4000,
        Kind::Symlink => 0xa000,
        Kind::File | Kind::Other => 0x8000,
    }
}

impl Inode {
    /// A free inode that was never used, in its bytes.
    pub fn blank(disk: &Disk, number: u64, generation: u32) -> Vec<u8> {
        let mut raw = vec![0; disk.superblock.inode_size as usize];
        put_be16(&mut raw, 0, MAGIC);
        put(&mut raw, 4, &[if disk.superblock.version == 5 { 3 } else { 2 }]);
        put_be32(&mut raw, 92, generation);
        put_be32(&mut raw, 96, NONE);
        if disk.superblock.version == 5 {
            put_be64(&mut raw, 152, number);
            put(&mut raw, 160, &disk.superblock.meta_uuid);
            stamp(&mut raw, CHECKSUM);
        }
        raw
    }

    /// A new inode in the place of a free one: of this kind, made now, without blocks and names.
    pub fn make(disk: &mut Disk, number: u64, kind: Kind, now: i64) -> Result<Self> {
        let place = disk.superblock.inode_place(number)?;
        let old = disk.device.get(place, disk.superblock.inode_size)?;
        if be16_at(&old, 0) != MAGIC || be16_at(&old, 2) != 0 {
            return Err(damaged(place, &format!("inode {number} is free and in use")));
        }
        let generation = crc32c(be32_at(&old, 92), &now.to_le_bytes());
        let mut inode = Self { number, place, raw: Self::blank(disk, number, generation) };
        put_be16(&mut inode.raw, 2, bits_of(kind));
        put(&mut inode.raw, 5, &[2]);
        put(&mut inode.raw, 83, &[2]);
        let mut flags = 0;
        if disk.superblock.has(features::BIGTIME) {
            flags |= BIGTIME;
        }
        if disk.superblock.has(features::NREXT64) {
            flags |= LARGE_COUNTS;
        }
        if inode.version() == 3 {
            put_be64(&mut inode.raw, 120, flags);
            inode.set_time(BIRTH, now);
        }
        TIMES.iter().for_each(|at| inode.set_time(*at, now));
        Ok(inode)
    }

    fn set_time(&mut self, at: usize, seconds: i64) {
        if self.flags2() & BIGTIME != 0 {
            let seconds = seconds.clamp(-BIGTIME_EPOCH, BIGTIME_LAST) + BIGTIME_EPOCH;
            return put_be64(&mut self.raw, at, seconds as u64 * 1_000_000_000);
        }
        let seconds = seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        put_be64(&mut self.raw, at, (seconds as u64) << 32);
    }

    /// Last modification of the content, in seconds since 1970.
    pub fn set_mtime(&mut self, seconds: i64) {
        self.set_time(40, seconds);
    }
    /// Last modification of anything.
    pub fn set_ctime(&mut self, seconds: i64) {
        self.set_time(48, seconds);
    }
    /// User and group.
    pub fn set_owner(&mut self, uid: u32, gid: u32) {
        put_be32(&mut self.raw, 8, uid);
        put_be32(&mut self.raw, 12, gid);
    }
    /// Permissions.
    pub fn set_permissions(&mut self, mode: u32) {
        let mode = self.mode() & 0xf000 | (mode & 0o7777) as u16;
        put_be16(&mut self.raw, 2, mode);
    }
    /// Names. An inode of version 1 becomes one of version 2, as in Linux.
    pub fn set_links(&mut self, links: u32) {
        self.modernise();
        put_be32(&mut self.raw, 16, links);
    }
    fn modernise(&mut self) {
        if self.version() == 1 {
            let links = self.links();
            put(&mut self.raw, 4, &[2]);
            put(&mut self.raw, 6, &[0; 2]);
            put(&mut self.raw, 16, &[0; 16]);
            put_be32(&mut self.raw, 16, links);
        }
    }
    /// Length in bytes.
    pub fn set_size(&mut self, size: u64) {
        put_be64(&mut self.raw, 56, size);
    }
    /// Blocks of both forks and their trees.
    pub fn blocks(&self) -> u64 {
        be64_at(&self.raw, 64)
    }
    /// More (or fewer) of them.
    pub fn count_blocks(&mut self, more: i64) {
        let blocks = self.blocks().saturating_add_signed(more);
        put_be64(&mut self.raw, 64, blocks);
    }
    /// Whether one of these flags is set.
    pub fn has(&self, flags: u16) -> bool {
        be16_at(&self.raw, 90) & flags != 0
    }
    /// What an object gets from the directory that it is made in.
    pub fn inherit(&mut self, parent: &Self) {
        if !parent.has(PROJECT_INHERIT) {
            return;
        }
        let project = field(&parent.raw, 20, 4).to_vec();
        put(&mut self.raw, 20, &project);
        if self.kind() == Kind::Directory {
            let flags = be16_at(&self.raw, 90) | PROJECT_INHERIT;
            put_be16(&mut self.raw, 90, flags);
        }
    }
    /// The next inode that was removed while it was open; [`u32::MAX`] for none.
    pub fn next_orphan(&self) -> u32 {
        be32_at(&self.raw, 96)
    }
    /// Whether it has counts of 64 and 32 bits.
    fn counts_largely(&self) -> bool {
        self.flags2() & LARGE_COUNTS != 0
    }
    /// Most extents that a fork can count.
    pub fn extents_most(&self, which: Which) -> u64 {
        match (which, self.counts_largely()) {
            (Which::Data, true) => (1 << 48) - 1,
            (Which::Data, false) => i32::MAX as u64,
            (Which::Attributes, true) => u64::from(u32::MAX),
            (Which::Attributes, false) => i16::MAX as u64,
        }
    }
    /// Bytes for both forks.
    pub fn room(&self) -> usize {
        self.raw.len().saturating_sub(self.core())
    }
    /// Puts a fork into the inode: its format, its bytes, how many extents it has. The boundary has to be right.
    pub fn set_fork(&mut self, which: Which, format: Format, bytes: &[u8], extents: u64) {
        let (core, boundary, room) = (self.core(), self.boundary(), self.room());
        let (from, to) = match which {
            Which::Data => (0, if boundary == 0 { room } else { boundary }),
            Which::Attributes => (boundary, room),
        };
        if which == Which::Attributes && boundary == 0 {
            return;
        }
        if let Some(all) = self.raw.get_mut(core + from..core + to) {
            all.fill(0);
            put(all, 0, part(bytes, 0, to - from));
        }
        put(&mut self.raw, if which == Which::Data { 5 } else { 83 }, &[format as u8]);
        match (which, self.counts_largely()) {
            (Which::Data, true) => put_be64(&mut self.raw, 24, extents),
            (Which::Data, false) => put_be32(&mut self.raw, 76, extents as u32),
            (Which::Attributes, true) => put_be32(&mut self.raw, 76, extents as u32),
            (Which::Attributes, false) => put_be16(&mut self.raw, 80, extents as u16),
        }
    }
    /// Where the attribute fork begins behind the core, in bytes, a multiple of 8; 0 for none.
    pub fn set_boundary(&mut self, bytes: usize) {
        put(&mut self.raw, 82, &[(bytes / 8) as u8]);
        if bytes == 0 {
            put(&mut self.raw, 83, &[Format::Extents as u8]);
            let at = if self.counts_largely() { 76..80 } else { 80..82 };
            self.raw.get_mut(at).into_iter().for_each(|count| count.fill(0));
        }
    }

    /// Makes it a free one, which has no blocks any more.
    pub fn clear(&mut self, disk: &Disk) {
        let generation = be32_at(&self.raw, 92).wrapping_add(1);
        self.raw = Self::blank(disk, self.number, generation);
        put(&mut self.raw, 5, &[2]);
        put(&mut self.raw, 83, &[2]);
    }

    /// Writes it to its place.
    pub fn store(&mut self, disk: &mut Disk) -> Result<()> {
        self.modernise();
        if self.version() == 3 {
            let changes = be64_at(&self.raw, 104).wrapping_add(1);
            put_be64(&mut self.raw, 104, changes);
            stamp(&mut self.raw, CHECKSUM);
        } else {
            disk.superblock.note(features::LINKS);
        }
        disk.device.put(self.place, &self.raw)
    }

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
    /// The bits of the mode that tell the type.
    pub fn type_bits(&self) -> u32 {
        u32::from(self.mode() & 0xf000)
    }
    /// Whether it may share blocks with others.
    pub fn is_shared(&self) -> bool {
        self.flags2() & SHARED != 0
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
    pub fn boundary(&self) -> usize {
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

/// Fields of a logged inode, in the order of the machine: where they begin and end, and their length.
const SWAPPED: [(usize, usize, usize); 11] = [
    (0, 4, 2),
    (8, 20, 4),
    (20, 24, 2),
    (24, 32, 8),
    (56, 72, 8),
    (72, 80, 4),
    (80, 82, 2),
    (84, 88, 4),
    (88, 92, 2),
    (92, 96, 4),
    (104, 112, 8),
];
/// Those of version 3 behind them.
const SWAPPED_3: [(usize, usize, usize); 3] = [(120, 128, 8), (128, 132, 4), (152, 160, 8)];
/// Bytes of a logged inode's core in version 2 and 3.
const LOGGED: [usize; 2] = [96, 176];
/// The largest count of flushes of an inode of version 2.
const FLUSHES_MOST: u16 = 0xffff;

/// An inode with what the log has of its core, over what is on the disk; none if that is newer than change `number`.
pub fn from_log(superblock: &Superblock, old: &[u8], core: &[u8], number: u64) -> Option<Vec<u8>> {
    let third = superblock.version == 5;
    let change = be64_at(old, 112);
    if third && !matches!(change, 0 | u64::MAX) && change > number {
        return None;
    }
    let (logged, stored) = (u16_at(core, 30), be16_at(old, 30));
    let wrapped = stored == FLUSHES_MOST && logged < FLUSHES_MOST >> 1;
    if !third && logged < stored && !wrapped {
        return None;
    }
    let mut raw = old.to_vec();
    let length = LOGGED[superblock.form()].min(core.len());
    let mut new = part(core, 0, length).to_vec();
    new.resize(LOGGED[superblock.form()], 0);
    let mut swap = |from: usize, to: usize, length: usize| {
        new.get_mut(from..to).unwrap_or_default().chunks_mut(length).for_each(<[u8]>::reverse);
    };
    SWAPPED.iter().for_each(|(from, to, length)| swap(*from, *to, *length));
    if third {
        SWAPPED_3.iter().for_each(|(from, to, length)| swap(*from, *to, *length));
    }
    // Large times are one number, small ones two.
    let large = third && u64_at(core, 120) & BIGTIME != 0;
    for at in TIMES.into_iter().chain(third.then_some(BIRTH)) {
        swap(at, at + 8, if large { 8 } else { 4 });
    }
    put(&mut new, 6, &[0; 2]);
    if third {
        // The links between inodes without names, and the checksum, are not the core's.
        let kept = part(old, NEXT, 8).to_vec();
        put(&mut new, NEXT, &kept);
        put_be64(&mut new, 112, number);
    } else {
        put(&mut new, 24, &[0; 8]);
    }
    put(&mut raw, 0, &new);
    Some(raw)
}

/// Where the forks of an inode begin, in bytes.
pub fn core_of(raw: &[u8]) -> usize {
    if byte_at(raw, 4) >= 3 { CORE_3 } else { CORE }
}

/// Where one of the forks begins, and its length, in bytes.
pub fn area(raw: &[u8], which: Which) -> (usize, usize) {
    let (core, boundary) = (core_of(raw), usize::from(byte_at(raw, 82)) * 8);
    let room = raw.len().saturating_sub(core);
    match which {
        Which::Data => (core, if boundary == 0 { room } else { boundary.min(room) }),
        Which::Attributes => (core + boundary, room.saturating_sub(boundary)),
    }
}

impl Xfs {
    /// Reads an inode that a directory names: its checksum is right and it is in use.
    pub fn inode(&mut self, number: u64) -> Result<Inode> {
        self.any_inode(number, false)
    }

    /// The same; an inode that was removed while it was open (`orphan`) has no name any more.
    pub fn any_inode(&mut self, number: u64, orphan: bool) -> Result<Inode> {
        let place = self.disk.superblock.inode_place(number)?;
        let raw = self.disk.device.get(place, self.disk.superblock.inode_size)?;
        let inode = Inode { number, place, raw };
        let refuse = |why: &str| Err(damaged(place, &format!("inode {number} {why}")));
        let raw = &inode.raw;
        let fifth = self.disk.superblock.version == 5;
        if be16_at(raw, 0) != MAGIC || (inode.version() == 3) != fifth || !matches!(inode.version(), 1..=3) {
            return refuse("is none");
        }
        if fifth && !is_summed(raw, CHECKSUM) {
            return refuse("has a wrong checksum");
        }
        if fifth && (be64_at(raw, 152) != number || field(raw, 160, 16) != self.disk.superblock.meta_uuid) {
            return refuse("belongs to another place");
        }
        if inode.mode() == 0 || inode.links() == 0 && !orphan {
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
