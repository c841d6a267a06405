//! An allocation group that is being changed: its headers, its trees, its list of blocks for trees (XFS Algorithms & Data
//! Structures, "Allocation Groups"; Linux: fs/xfs/libxfs/xfs_ag.h, xfs_alloc.c, xfs_format.h).

use crate::bytes::{be32_at, damaged, field, is_summed, put_be32, stamp};
use crate::device::Disk;
use crate::features;
use crate::record::{Kind, Record};
use crate::tree::Tree;
use wherry_sdk::{Error, ErrorKind, Result};

/// The group itself owns its trees of free space and of owners, and the list.
pub const OWNER_GROUP: u64 = -5i64 as u64;
/// Trees of inodes, inodes, the tree of shared blocks.
pub const OWNER_CHUNKS: u64 = -6i64 as u64;
pub const OWNER_INODES: u64 = -7i64 as u64;
pub const OWNER_SHARES: u64 = -8i64 as u64;

/// A header: its magic number, and where its checksum and its UUID are.
struct Header {
    magic: u32,
    checksum: usize,
    uuid: usize,
}

const SPACE: Header = Header { magic: 0x5841_4746, checksum: 216, uuid: 64 };
const INODES: Header = Header { magic: 0x5841_4749, checksum: 312, uuid: 296 };
/// The list of blocks: magic number, checksum and first entry in version 5.
const LIST_MAGIC: u32 = 0x5841_464c;
const LIST_CHECKSUM: usize = 32;
const LIST_UUID: usize = 8;
const LIST_START: [usize; 2] = [0, 36];
/// Blocks in the list beyond those that Linux wants before it allocates anything.
const LIST_MORE: usize = 8;
/// Blocks of each group that stay free, so that its trees can grow: a new root and some splits of each.
pub const RESERVE: u64 = 64;
/// Blocks of them that the trees may need before they are written.
pub const WANTS_MOST: u64 = 16;
/// Attempts to find as many blocks as the trees need, each of which changes the trees.
const ROUNDS_MOST: usize = 1000;

/// One group.
pub struct Group {
    pub number: u32,
    space: Vec<u8>,
    inodes: Vec<u8>,
    list: Vec<u32>,
    pub by_place: Tree,
    pub by_size: Tree,
    pub owners: Option<Tree>,
    pub shares: Option<Tree>,
    pub chunks: Tree,
    pub free_chunks: Option<Tree>,
    /// blocks in the trees of free space
    pub free: u64,
    /// Something of it has to be written.
    pub changed: bool,
}

fn sector_at(disk: &Disk, group: u32, sector: u64) -> Result<u64> {
    let place = disk.superblock.place_in(group, 0, 1);
    let place = place.ok_or_else(|| damaged(0, &format!("there is no allocation group {group}")))?;
    Ok(place + sector * u64::from(disk.superblock.sector_size))
}

fn header(disk: &mut Disk, group: u32, sector: u64, about: &Header) -> Result<Vec<u8>> {
    let place = sector_at(disk, group, sector)?;
    let bytes = disk.device.get(place, disk.superblock.sector_size)?;
    let own = disk.superblock.version == 4
        || is_summed(&bytes, about.checksum) && field(&bytes, about.uuid, 16) == disk.superblock.meta_uuid;
    let right = be32_at(&bytes, 0) == about.magic
        && be32_at(&bytes, 4) == 1
        && be32_at(&bytes, 8) == group
        && be32_at(&bytes, 12) == disk.superblock.blocks_of(group);
    if own && right {
        return Ok(bytes);
    }
    Err(damaged(place, &format!("a header of allocation group {group} is damaged")))
}

fn read_list(disk: &mut Disk, group: u32, space: &[u8]) -> Result<Vec<u32>> {
    let place = sector_at(disk, group, 3)?;
    let refuse =
        || damaged(place, &format!("the list of free blocks of allocation group {group} is damaged"));
    let bytes = disk.device.get(place, disk.superblock.sector_size)?;
    let form = disk.superblock.form();
    let own = form == 0
        || be32_at(&bytes, 0) == LIST_MAGIC
            && is_summed(&bytes, LIST_CHECKSUM)
            && field(&bytes, LIST_UUID, 16) == disk.superblock.meta_uuid;
    let start = LIST_START[form];
    let most = (bytes.len() - start) / 4;
    let (first, last) = (be32_at(space, 40) as usize, be32_at(space, 44) as usize);
    let count = be32_at(space, 48) as usize;
    let right =
        first < most && last < most && count <= most && (count == 0 || (first + count - 1) % most == last);
    if !own || !right {
        return Err(refuse());
    }
    let list: Vec<u32> =
        (0..count).map(|index| be32_at(&bytes, start + (first + index) % most * 4)).collect();
    let inside = |block: &u32| disk.superblock.place_in(group, u64::from(*block), 1).is_some() && *block > 0;
    if !list.iter().all(inside) {
        return Err(refuse());
    }
    Ok(list)
}

impl Group {
    /// Reads the headers and the nodes of the trees.
    pub fn read(disk: &mut Disk, number: u32) -> Result<Self> {
        let space = header(disk, number, 1, &SPACE)?;
        let inodes = header(disk, number, 2, &INODES)?;
        let list = read_list(disk, number, &space)?;
        let mut tree = |kind, bytes: &[u8], root, levels| {
            Tree::read(disk, kind, number, be32_at(bytes, root), be32_at(bytes, levels))
        };
        let by_place = tree(Kind::Place, &space, 16, 28)?;
        let by_size = tree(Kind::Size, &space, 20, 32)?;
        let chunks = tree(Kind::Chunks, &inodes, 20, 24)?;
        let has = |disk: &Disk, feature| disk.superblock.has(feature);
        let mut some = |feature, kind, bytes: &[u8], root, levels| {
            if !has(disk, feature) {
                return Ok(None);
            }
            Tree::read(disk, kind, number, be32_at(bytes, root), be32_at(bytes, levels)).map(Some)
        };
        let owners = some(features::RMAPBT, Kind::Owners, &space, 24, 36)?;
        let shares = some(features::REFLINK, Kind::Shares, &space, 88, 92)?;
        let free_chunks = some(features::FINOBT, Kind::FreeChunks, &inodes, 328, 332)?;
        let free = u64::from(be32_at(&space, 52));
        let changed = false;
        Ok(Self {
            number,
            space,
            inodes,
            list,
            by_place,
            by_size,
            owners,
            shares,
            chunks,
            free_chunks,
            free,
            changed,
        })
    }

    /// Why the group's trees cannot be believed.
    pub fn damaged(&self, why: &str) -> Error {
        damaged(0, &format!("allocation group {}: {why}", self.number))
    }

    /// Blocks that its trees will need when they are written.
    pub fn wants(&self) -> u64 {
        self.trees().map(Tree::wants).sum()
    }

    /// Whether it should be written before it is changed again.
    pub fn is_heavy(&self) -> bool {
        self.changed && (self.wants() > WANTS_MOST || self.trees().any(Tree::is_heavy))
    }

    /// Blocks that can be used for other things.
    pub fn spare(&self) -> u64 {
        self.free.saturating_sub(RESERVE + self.wants())
    }

    fn trees(&self) -> impl Iterator<Item = &Tree> {
        let some = [&self.owners, &self.shares, &self.free_chunks];
        [&self.by_place, &self.by_size, &self.chunks].into_iter().chain(some.into_iter().flatten())
    }

    /// How many inodes there are, and how many are free, more or fewer.
    pub fn count_inodes(&mut self, all: i64, free: i64) {
        for (at, more) in [(16, all), (28, free)] {
            let count = i64::from(be32_at(&self.inodes, at)) + more;
            put_be32(&mut self.inodes, at, count.clamp(0, i64::from(u32::MAX)) as u32);
        }
        self.changed = true;
    }

    /// The chunk of inodes that was made last.
    pub fn note_chunk(&mut self, first: u32) {
        put_be32(&mut self.inodes, 32, first);
    }

    /// Whether a list of inodes that were removed while they were open begins here; the inode's number in the group.
    pub fn orphan(&self) -> Option<(usize, u32)> {
        (0..64).map(|slot| (slot, be32_at(&self.inodes, 40 + slot * 4))).find(|(_, inode)| *inode != u32::MAX)
    }

    /// Lets such a list begin with another inode.
    pub fn set_orphan(&mut self, slot: usize, inode: u32) {
        put_be32(&mut self.inodes, 40 + slot * 4, inode);
        self.changed = true;
    }

    /// Blocks that Linux wants in the list: one for each level of each tree that lives on it, and one for its next root.
    fn list_least(&self) -> usize {
        let owners = self.owners.as_ref().map_or(0, |tree| tree.levels() as usize + 1);
        self.by_place.levels() as usize + self.by_size.levels() as usize + 2 + owners
    }

    /// One block from the largest free run, so that there are as many runs as before.
    fn take_block(&mut self, disk: &mut Disk, owner: u64) -> Result<u32> {
        let none = || {
            Error::new(
                ErrorKind::NoSpace,
                "an allocation group has no room for its trees: make room in the guest",
            )
        };
        let run = self.by_size.last(disk)?.ok_or_else(none)?;
        self.take(disk, run.start, 1)?;
        self.own(disk, Record { start: run.start, count: 1, owner, offset: 0 })?;
        Ok(run.start as u32)
    }

    fn give_block(&mut self, disk: &mut Disk, block: u32, owner: u64) -> Result<()> {
        let start = u64::from(block);
        self.disown(disk, &Record { start, count: 1, owner, offset: 0 })?;
        self.give(disk, start, 1)
    }

    /// Gives the trees that live on free space as many blocks as they need.
    fn settle_others(&mut self, disk: &mut Disk) -> Result<()> {
        for kind in [Kind::Chunks, Kind::FreeChunks, Kind::Shares] {
            let owner = if kind == Kind::Shares { OWNER_SHARES } else { OWNER_CHUNKS };
            let Some(tree) = self.tree(kind) else { continue };
            tree.settle(disk)?;
            let (has, needs) = (tree.blocks(), tree.needs());
            for _ in has..needs {
                let block = self.take_block(disk, owner)?;
                self.tree(kind).into_iter().for_each(|tree| tree.add_block(block));
            }
            for _ in needs..has {
                let block = self.tree(kind).and_then(Tree::take_block);
                if let Some(block) = block {
                    self.give_block(disk, block, owner)?;
                }
            }
            disk.superblock.count_blocks(has as i64 - needs as i64);
        }
        Ok(())
    }

    fn tree(&mut self, kind: Kind) -> Option<&mut Tree> {
        match kind {
            Kind::Place => Some(&mut self.by_place),
            Kind::Size => Some(&mut self.by_size),
            Kind::Owners => self.owners.as_mut(),
            Kind::Shares => self.shares.as_mut(),
            Kind::Chunks => Some(&mut self.chunks),
            Kind::FreeChunks => self.free_chunks.as_mut(),
        }
    }

    /// Gives the trees that live on the list as many blocks as they need, and the list enough of them: until nothing changes,
    /// since each block that is taken from free space changes the trees of it.
    fn settle_own(&mut self, disk: &mut Disk) -> Result<()> {
        for _ in 0..ROUNDS_MOST {
            let mut same = true;
            for kind in [Kind::Place, Kind::Size, Kind::Owners] {
                let Some(tree) = self.tree(kind) else { continue };
                tree.settle(disk)?;
                let (has, needs) = (tree.blocks(), tree.needs());
                for _ in has..needs {
                    same &= !self.list.is_empty();
                    let block = match self.list.pop() {
                        Some(block) => block,
                        None => self.take_block(disk, OWNER_GROUP)?,
                    };
                    self.tree(kind).into_iter().for_each(|tree| tree.add_block(block));
                }
                for _ in needs..has {
                    let block = self.tree(kind).and_then(Tree::take_block);
                    self.list.extend(block);
                }
            }
            let least = self.list_least();
            if self.list.len() < least {
                let block = self.take_block(disk, OWNER_GROUP)?;
                self.list.insert(0, block);
                continue;
            }
            if self.list.len() > least + LIST_MORE {
                let block = self.list.remove(0);
                self.give_block(disk, block, OWNER_GROUP)?;
                continue;
            }
            if same {
                return Ok(());
            }
        }
        Err(self.damaged("its trees come to no end"))
    }

    /// Writes everything of it.
    pub fn write(&mut self, disk: &mut Disk) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        self.settle_others(disk)?;
        self.settle_own(disk)?;
        for (kind, root, levels) in [
            (Kind::Place, 16, 28),
            (Kind::Size, 20, 32),
            (Kind::Owners, 24, 36),
            (Kind::Shares, 88, 92),
            (Kind::Chunks, 20, 24),
            (Kind::FreeChunks, 328, 332),
        ] {
            let Some(tree) = self.tree(kind).filter(|tree| tree.is_changed()) else { continue };
            let (block, height) = tree.write(disk)?;
            let of_inodes = matches!(kind, Kind::Chunks | Kind::FreeChunks);
            let bytes = if of_inodes { &mut self.inodes } else { &mut self.space };
            put_be32(bytes, root, block);
            put_be32(bytes, levels, height);
        }
        self.write_list(disk)?;
        self.write_headers(disk)?;
        self.changed = false;
        Ok(())
    }

    fn write_list(&mut self, disk: &mut Disk) -> Result<()> {
        let place = sector_at(disk, self.number, 3)?;
        let form = disk.superblock.form();
        let mut bytes = disk.device.get(place, disk.superblock.sector_size)?;
        for (index, block) in self.list.iter().enumerate() {
            put_be32(&mut bytes, LIST_START[form] + index * 4, *block);
        }
        if form == 1 {
            stamp(&mut bytes, LIST_CHECKSUM);
        }
        disk.device.put(place, &bytes)?;
        let count = self.list.len() as u32;
        for (at, value) in [(40, 0), (44, count.saturating_sub(1)), (48, count)] {
            put_be32(&mut self.space, at, value);
        }
        Ok(())
    }

    fn write_headers(&mut self, disk: &mut Disk) -> Result<()> {
        let longest = self.by_size.last(disk)?.map_or(0, |run| run.count);
        let blocks = |tree: &Option<Tree>| tree.as_ref().map_or(0, |tree| tree.blocks() as u32);
        let owners = blocks(&self.owners);
        let own = self.by_place.blocks() + self.by_size.blocks() - 2;
        put_be32(&mut self.space, 52, self.free as u32);
        put_be32(&mut self.space, 56, longest as u32);
        if disk.superblock.counts_lazily() {
            put_be32(&mut self.space, 60, own as u32 + owners.saturating_sub(1));
        }
        let (shares, chunks, free) =
            (blocks(&self.shares), self.chunks.blocks() as u32, blocks(&self.free_chunks));
        if self.owners.is_some() {
            put_be32(&mut self.space, 80, owners);
        }
        if self.shares.is_some() {
            put_be32(&mut self.space, 84, shares);
        }
        if disk.superblock.has(features::INOBTCOUNT) {
            put_be32(&mut self.inodes, 336, chunks);
            put_be32(&mut self.inodes, 340, free);
        }
        for (sector, bytes, about) in [(1, &mut self.space, &SPACE), (2, &mut self.inodes, &INODES)] {
            if disk.superblock.version == 5 {
                stamp(bytes, about.checksum);
            }
            let place = sector_at(disk, self.number, sector)?;
            disk.device.put(place, bytes)?;
        }
        Ok(())
    }
}
