//! The log replayed, exactly or not at all (Linux: fs/xfs/xfs_log_recover.c, xfs_buf_item_recover.c,
//! xfs_inode_item_recover.c, xfs_icreate_item.c). It is read twice: first for what may not be replayed since
//! its blocks were freed, and for what is not known here; then block by block and inode by inode, unless what is on the disk
//! is newer. What was begun and not ended is ended (`log_intent.rs`).

use crate::Xfs;
use crate::bytes::{Own, be16_at, be32_at, be64_at, field, part, put, put_be16, put_be32, put_be64, stamp};
use crate::content::LINK_OWN as LINK;
use crate::da_block::OWN as HASHES;
use crate::device::Disk;
use crate::directory::OWN as NAMES;
use crate::extent::{HEADER, OWN as LONG_TREE, RECORD};
use crate::features;
use crate::inode::{self, Inode, Which};
use crate::log::{Log, Span};
use crate::log_intent::{Intents, is_intent};
use crate::log_item::{Item, Pending, Transaction};
use crate::superblock::Superblock;
use crate::tree::OWN as SHORT_TREE;
use std::collections::{BTreeMap, HashMap};
use wherry_sdk::bytes::{u16_at, u32_at, u64_at};
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result};

/// Kinds of items.
const INODE: u16 = 0x123b;
const BUFFER: u16 = 0x123c;
const QUOTA: u16 = 0x123d;
const QUOTA_OFF: u16 = 0x123e;
const CREATE: u16 = 0x123f;

/// Flags of a buffer: of inodes, no longer in use, of quotas.
const INODES: u16 = 1;
const CANCELLED: u16 = 2;
const QUOTAS: u16 = 0x1c;
/// Bytes that one bit of a buffer's map stands for, and of the sectors it is counted in.
const CHUNK: usize = 128;
const SECTOR: u64 = 512;
const BUFFER_HEADER: usize = 20;
/// Fields of an inode that were logged.
const DATA: u32 = 0x2;
const EXTENTS: u32 = 0x4;
const ROOT: u32 = 0x8;
const DEVICE: u32 = 0x10;
const ATTRIBUTE_DATA: u32 = 0x40;
const ATTRIBUTE_EXTENTS: u32 = 0x80;
const ATTRIBUTE_ROOT: u32 = 0x100;
const OWNER: u32 = 0x200 | 0x400;
/// Buffers that were freed, and changes that were begun.
const TABLE_MOST: usize = 1 << 18;
/// Bytes of inodes that are read and written together, in version 5, for each 256 of an inode.
const CLUSTER: u32 = 8 << 10;

/// Where version 5 keeps checksum, change and UUID of blocks, by how these begin.
struct Stamp {
    magic: &'static [u8],
    /// where the magic number is, in bytes
    at: usize,
    own: Own,
    /// bytes that the checksum is of, where it is not all
    is_sector: bool,
}

const fn mark(magic: &'static [u8], at: usize, own: Own, is_sector: bool) -> Stamp {
    Stamp { magic, at, own, is_sector }
}

const STAMPS: &[Stamp] = &[
    mark(b"AB3B", 0, SHORT_TREE, false),
    mark(b"AB3C", 0, SHORT_TREE, false),
    mark(b"IAB3", 0, SHORT_TREE, false),
    mark(b"FIB3", 0, SHORT_TREE, false),
    mark(b"RMB3", 0, SHORT_TREE, false),
    mark(b"R3FC", 0, SHORT_TREE, false),
    mark(b"BMA3", 0, LONG_TREE, false),
    mark(b"XAGF", 0, Own { checksum: 216, sector: 0, uuid: 64, owner: 0, change: 208 }, true),
    mark(b"XAFL", 0, Own { checksum: 32, sector: 0, uuid: 8, owner: 0, change: 24 }, true),
    mark(b"XAGI", 0, Own { checksum: 312, sector: 0, uuid: 296, owner: 0, change: 320 }, true),
    mark(b"XFSB", 0, Own { checksum: 224, sector: 0, uuid: 32, owner: 0, change: 240 }, true),
    mark(b"XDB3", 0, NAMES, false),
    mark(b"XDD3", 0, NAMES, false),
    mark(b"XDF3", 0, NAMES, false),
    mark(b"XSLM", 0, LINK, false),
    mark(&[0x3d, 0xf1], 8, HASHES, false),
    mark(&[0x3d, 0xff], 8, HASHES, false),
    mark(&[0x3e, 0xbe], 8, HASHES, false),
    mark(&[0x3b, 0xee], 8, HASHES, false),
];
/// Blocks of inodes and of quotas have the numbers of changes in each of them, blocks of values have none.
const WITHOUT: [&[u8]; 2] = [b"IN", b"XARM"];

fn stamp_of(bytes: &[u8]) -> Option<&'static Stamp> {
    STAMPS.iter().find(|one| part(bytes, one.at, one.magic.len()) == one.magic)
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Corrupt, format!("the log has {why}")))
}

/// What the first reading of the log finds.
#[derive(Default)]
struct Plan {
    /// by first sector and number of sectors, how often they were freed
    freed: HashMap<(u64, u32), u32>,
    /// what was begun and not ended
    intents: Intents,
    /// There are quotas whose counts are not replayed: Linux counts again.
    quotas: bool,
}

/// A buffer that was logged.
struct Buffer<'i> {
    item: &'i Item,
    flags: u16,
    sectors: u32,
    first: u64,
}

impl<'i> Buffer<'i> {
    fn of(item: &'i Item) -> Self {
        let head = item.region(0);
        Self { item, flags: u16_at(head, 4), sectors: u32::from(u16_at(head, 6)), first: u64_at(head, 8) }
    }

    fn key(&self) -> (u64, u32) {
        (self.first, self.sectors)
    }

    fn bytes(&self, disk: &mut Disk) -> Result<(u64, Vec<u8>)> {
        let length = u64::from(self.sectors) * SECTOR;
        let place = self
            .first
            .checked_mul(SECTOR)
            .filter(|place| place.checked_add(length).is_some_and(|end| end <= disk.superblock.size()));
        match place {
            Some(place) if length > 0 && length <= u64::from(READ_MOST) => {
                Ok((place, disk.device.get(place, length as u32)?))
            }
            _ => refuse("a block beyond the end"),
        }
    }

    /// Where in the buffer each of its regions goes.
    fn regions(&self) -> Result<Vec<(usize, &'i [u8])>> {
        let head = self.item.region(0);
        let words = u32_at(head, 16) as usize;
        let map = part(head, BUFFER_HEADER, words.saturating_mul(4));
        let set = |bit: usize| u32_at(map, bit / 32 * 4) >> (bit % 32) & 1 == 1;
        let (mut list, mut bit, end) = (Vec::new(), 0, map.len() * 8);
        for region in self.item.regions.iter().skip(1) {
            while bit < end && !set(bit) {
                bit += 1;
            }
            let run = (bit..end).take_while(|bit| set(*bit)).count();
            let length = region.len() / CHUNK;
            if length == 0 || length > run || region.len() % CHUNK != 0 {
                return refuse("a block whose parts do not fit");
            }
            list.push((bit * CHUNK, region.as_slice()));
            bit += length;
        }
        if (bit..end).any(set) {
            return refuse("a block with parts missing");
        }
        Ok(list)
    }
}

impl Plan {
    fn note(&mut self, transaction: &Transaction) -> Result<()> {
        for item in &transaction.items {
            let (kind, head) = (item.kind(), item.region(0));
            match kind {
                BUFFER => {
                    let buffer = Buffer::of(item);
                    if buffer.flags & CANCELLED != 0 {
                        *self.freed.entry(buffer.key()).or_default() += 1;
                    } else {
                        buffer.regions()?;
                    }
                    self.quotas |= buffer.flags & QUOTAS != 0;
                }
                INODE if u32_at(head, 4) & OWNER != 0 => {
                    return refuse("files that exchanged their extents");
                }
                INODE | CREATE => {}
                QUOTA | QUOTA_OFF => self.quotas = true,
                kind if is_intent(kind) => self.intents.note(head)?,
                kind => return refuse(&format!("changes of a kind that is not known here ({kind:#x})")),
            }
        }
        if self.freed.len() > TABLE_MOST {
            return Err(Error::new(ErrorKind::Limit, "the log has more than is kept in memory"));
        }
        Ok(())
    }
}

/// The second reading.
struct Replay<'d> {
    disk: &'d mut Disk,
    plan: Plan,
    /// the number of the transactions that are replayed, and the blocks that they change, which get it when all of them are done
    number: u64,
    changed: BTreeMap<u64, usize>,
}

impl Replay<'_> {
    fn transaction(&mut self, transaction: &Transaction) -> Result<()> {
        if transaction.number != self.number {
            self.settle()?;
            self.number = transaction.number;
        }
        let flags = |item: &Item| if item.kind() == BUFFER { Buffer::of(item).flags } else { 0 };
        let first = |item: &&Item| match item.kind() {
            BUFFER => flags(item) & (INODES | CANCELLED) == 0,
            kind => kind == CREATE,
        };
        let items = &transaction.items;
        for item in items.iter().filter(first) {
            if item.kind() == CREATE { self.create(item)? } else { self.buffer(&Buffer::of(item))? }
        }
        for item in items.iter().filter(|item| item.kind() == INODE) {
            self.inode(item)?;
        }
        for wanted in [INODES, CANCELLED] {
            let last = |item: &&Item| {
                let flags = flags(item);
                flags & wanted != 0 && (wanted == CANCELLED || flags & CANCELLED == 0)
            };
            for item in items.iter().filter(last) {
                self.buffer(&Buffer::of(item))?;
            }
        }
        Ok(())
    }

    /// Gives the blocks of the last transactions their number and their checksums.
    fn settle(&mut self) -> Result<()> {
        for (place, length) in std::mem::take(&mut self.changed) {
            let mut bytes = self.disk.device.get(place, length as u32)?;
            let Some(found) = stamp_of(&bytes) else {
                if WITHOUT.iter().any(|magic| bytes.starts_with(magic)) {
                    continue;
                }
                return refuse("a block of an unknown kind");
            };
            put_be64(&mut bytes, found.own.change, self.number);
            if found.is_sector {
                let sector = (self.disk.superblock.sector_size as usize).min(bytes.len());
                let (head, _) = bytes.split_at_mut(sector);
                stamp(head, found.own.checksum);
            } else {
                stamp(&mut bytes, found.own.checksum);
            }
            self.disk.device.put(place, &bytes)?;
        }
        Ok(())
    }

    fn buffer(&mut self, buffer: &Buffer<'_>) -> Result<()> {
        if let Some(count) = self.plan.freed.get_mut(&buffer.key()) {
            if buffer.flags & CANCELLED != 0 {
                *count -= 1;
                if *count == 0 {
                    self.plan.freed.remove(&buffer.key());
                }
            }
            return Ok(());
        }
        // Quotas are counted again.
        if buffer.flags & (CANCELLED | QUOTAS) != 0 {
            return Ok(());
        }
        let (place, mut bytes) = buffer.bytes(self.disk)?;
        if self.is_newer(&bytes) {
            return Ok(());
        }
        let regions = buffer.regions()?;
        if regions.iter().any(|(at, region)| at + region.len() > bytes.len()) {
            return refuse("a block with parts beyond its end");
        }
        if buffer.flags & INODES != 0 {
            self.orphans(&mut bytes, &regions)?;
        } else {
            regions.iter().for_each(|(at, region)| put(&mut bytes, *at, region));
            if self.disk.superblock.version == 5 {
                self.changed.insert(place, bytes.len());
            }
        }
        self.disk.device.put(place, &bytes)
    }

    /// Whether a block on the disk is as new as what is replayed.
    fn is_newer(&self, bytes: &[u8]) -> bool {
        if self.disk.superblock.version < 5 {
            return false;
        }
        let Some(found) = stamp_of(bytes) else { return false };
        let uuid = if bytes.starts_with(b"XFSB") {
            self.disk.superblock.own_uuid()
        } else {
            self.disk.superblock.meta_uuid
        };
        let change = be64_at(bytes, found.own.change);
        field(bytes, found.own.uuid, 16) == uuid && !matches!(change, 0 | u64::MAX) && change >= self.number
    }

    /// Of buffers of inodes only the links between inodes without names are taken.
    fn orphans(&self, bytes: &mut [u8], regions: &[(usize, &[u8])]) -> Result<()> {
        for inode in bytes.chunks_mut(self.disk.superblock.inode_size as usize).enumerate() {
            let (index, raw) = inode;
            let at = index * self.disk.superblock.inode_size as usize + inode::NEXT;
            let region = regions.iter().find(|(start, region)| (*start..start + region.len()).contains(&at));
            let Some((start, region)) = region else { continue };
            let next = part(region, at - start, 4);
            if be32_at(next, 0) == 0 {
                return refuse("an inode that leads nowhere");
            }
            put(raw, inode::NEXT, next);
            if self.disk.superblock.version == 5 {
                stamp(raw, inode::CHECKSUM);
            }
        }
        Ok(())
    }

    /// New inodes.
    fn create(&mut self, item: &Item) -> Result<()> {
        let head = item.region(0);
        let superblock = &self.disk.superblock;
        let (group, block, count) = (be32_at(head, 4), be32_at(head, 8), be32_at(head, 12));
        let (size, blocks, generation) = (be32_at(head, 16), be32_at(head, 20), be32_at(head, 24));
        let place = superblock.place_in(group, u64::from(block), u64::from(blocks));
        let unit = u64::from(superblock.block_size);
        let right = size == superblock.inode_size
            && u64::from(count) * u64::from(size) == u64::from(blocks) * unit
            && count > 0
            && u64::from(blocks) * unit <= u64::from(READ_MOST);
        let Some(place) = place.filter(|_| right) else { return refuse("new inodes in an impossible place") };
        // They were freed again if one of their buffers was.
        let wide = CLUSTER * (superblock.inode_size / 256);
        let aligned = superblock.inode_alignment() >= u64::from(wide) / unit;
        let cluster = if superblock.version == 5 && aligned { wide } else { CLUSTER };
        let sectors = u64::from(cluster).max(unit) / SECTOR;
        let (first, end) = (place / SECTOR, (place + u64::from(blocks) * unit) / SECTOR);
        let mut buffers = (first..end).step_by(sectors as usize);
        if buffers.any(|first| self.plan.freed.contains_key(&(first, sectors as u32))) {
            return Ok(());
        }
        let bits = superblock.group_bits + superblock.inode_bits;
        let number = u64::from(group) << bits | u64::from(block) << superblock.inode_bits;
        let mut bytes = Vec::new();
        for number in number..number + u64::from(count) {
            bytes.extend(Inode::blank(self.disk, number, generation));
        }
        self.disk.device.put(place, &bytes)
    }

    fn inode(&mut self, item: &Item) -> Result<()> {
        let head = item.region(0);
        let (fields, wide) = (u32_at(head, 4), head.len() >= 56);
        let shift = if wide { 4 } else { 0 };
        let number = u64_at(head, 12 + shift);
        let (device, first) = (u32_at(head, 20 + shift), u64_at(head, 36 + shift));
        let sectors = u32_at(head, 44 + shift);
        if self.plan.freed.contains_key(&(first, sectors)) {
            return Ok(());
        }
        let place = self.disk.superblock.inode_place(number)?;
        let old = self.disk.device.get(place, self.disk.superblock.inode_size)?;
        let core = item.region(1);
        let Some(mut raw) = inode::from_log(&self.disk.superblock, &old, core, self.number) else {
            return Ok(());
        };
        if be16_at(&old, 0) != inode::MAGIC || be16_at(&raw, 0) != inode::MAGIC {
            return refuse("an inode in an impossible place");
        }
        if fields & DEVICE != 0 {
            let core = inode::core_of(&raw);
            put_be32(&mut raw, core, device);
        }
        let mut next = 2;
        for (which, local, root) in [
            (Which::Data, DATA | EXTENTS, ROOT),
            (Which::Attributes, ATTRIBUTE_DATA | ATTRIBUTE_EXTENTS, ATTRIBUTE_ROOT),
        ] {
            if fields & (local | root) == 0 {
                continue;
            }
            let (at, room) = inode::area(&raw, which);
            let region = item.region(next);
            next += 1;
            let bytes = if fields & root != 0 { self.root(region, room)? } else { region.to_vec() };
            if bytes.len() > room {
                return refuse("an inode that is larger than its place");
            }
            put(&mut raw, at, &bytes);
        }
        if self.disk.superblock.version == 5 {
            stamp(&mut raw, inode::CHECKSUM);
        }
        self.disk.device.put(place, &raw)
    }

    /// The root of a tree of extents as it is in an inode, from what it is in memory.
    fn root(&self, bytes: &[u8], room: usize) -> Result<Vec<u8>> {
        let header = HEADER[self.disk.superblock.form()];
        let (level, count) = (be16_at(bytes, 4), usize::from(be16_at(bytes, 6)));
        let most = bytes.len().saturating_sub(header) / RECORD;
        let fits = room.saturating_sub(4) / RECORD;
        if count > most || count > fits || level == 0 {
            return refuse("a tree of extents that does not fit");
        }
        let mut root = vec![0; 4];
        put_be16(&mut root, 0, level);
        put_be16(&mut root, 2, count as u16);
        root.extend_from_slice(part(bytes, header, count * 8));
        root.resize(4 + fits * 8, 0);
        root.extend_from_slice(part(bytes, header + most * 8, count * 8));
        Ok(root)
    }
}

impl Xfs {
    /// Replays a log. Mounted for reading, all of it stays in memory.
    pub fn replay(&mut self) -> Result<()> {
        let Some(log) = Log::of(&self.disk.superblock)? else { return refuse("no place in the file system") };
        let Some(span) = log.span(self.disk.device.blob())? else { return Ok(()) };
        let mut plan = self.look(&log, span)?;
        plan.intents.check()?;
        let (intents, quotas) = (std::mem::take(&mut plan.intents), plan.quotas);
        self.apply(&log, span, plan)?;
        let raw = self.disk.device.get(0, self.disk.superblock.sector_size)?;
        self.disk.superblock = Superblock::parse(raw, self.disk.device.size())?;
        self.disk.superblock.check_readable()?;
        if quotas {
            self.disk.superblock.recount_quotas();
        }
        self.recount_groups()?;
        if self.writing.is_allowed() {
            self.disk.superblock.check_writable()?;
        }
        let begun = format!("what was begun and not ended ({})", intents.shown());
        self.end_intents(&intents).map_err(|error| error.within(&begun))?;
        self.drop_orphans().map_err(|error| error.within("what was removed while it was open"))?;
        self.drop_copies().map_err(|error| error.within("copies in the making"))?;
        self.changed = true;
        if self.writing.is_allowed() {
            log.close(&mut self.disk, span)?;
        }
        self.write_all()?;
        self.changed = false;
        Ok(())
    }

    fn look(&self, log: &Log, span: Span) -> Result<Plan> {
        let (mut plan, mut pending) = (Plan::default(), Pending::default());
        let mut at = Some(span);
        while let Some(here) = at {
            let (record, next) = log.step(self.disk.device.blob(), here)?;
            pending.take(&record, |transaction| plan.note(&transaction))?;
            at = next;
        }
        Ok(plan)
    }

    fn apply(&mut self, log: &Log, span: Span, plan: Plan) -> Result<()> {
        let mut pending = Pending::default();
        let mut replay = Replay { disk: &mut self.disk, plan, number: 0, changed: BTreeMap::new() };
        let mut at = Some(span);
        while let Some(here) = at {
            let (record, next) = log.step(replay.disk.device.blob(), here)?;
            pending.take(&record, |transaction| replay.transaction(&transaction))?;
            at = next;
        }
        replay.settle()
    }

    /// Removes inodes that were removed while they were open.
    fn drop_orphans(&mut self) -> Result<()> {
        for number in 0..self.disk.superblock.groups {
            loop {
                let (group, _) = self.group(number)?;
                let Some((slot, inode)) = group.orphan() else { break };
                let inode = self.any_inode(self.join_inode(number, u64::from(inode)), true)?;
                if inode.links() > 0 || inode.is_realtime() {
                    return refuse("an inode without a name that has one, or is on a realtime device");
                }
                let next = inode.next_orphan();
                // It is none any more when it is looked for again: a circle ends.
                self.free_object(inode)?;
                let (group, _) = self.group(number)?;
                group.set_orphan(slot, next);
            }
        }
        Ok(())
    }

    /// Frees blocks that were to become copies of shared ones.
    fn drop_copies(&mut self) -> Result<()> {
        if !self.disk.superblock.has(features::REFLINK) {
            return Ok(());
        }
        for number in 0..self.disk.superblock.groups {
            let (group, disk) = self.group(number)?;
            let freed = group.drop_copies(disk)?;
            disk.superblock.count_blocks(freed as i64);
        }
        Ok(())
    }

    /// Takes the counts of all groups for the superblock's, which lag behind while the file system is mounted.
    fn recount_groups(&mut self) -> Result<()> {
        if !self.disk.superblock.counts_lazily() {
            return Ok(());
        }
        let (mut inodes, mut free, mut blocks) = (0, 0, 0);
        let sector = self.disk.superblock.sector_size;
        for number in 0..self.disk.superblock.groups {
            let place = self.disk.superblock.place_in(number, 0, 1).unwrap_or(0);
            let space = self.disk.device.get(place + u64::from(sector), sector)?;
            let table = self.disk.device.get(place + 2 * u64::from(sector), sector)?;
            blocks += [52, 48, 60].iter().map(|at| u64::from(be32_at(&space, *at))).sum::<u64>();
            inodes += u64::from(be32_at(&table, 16));
            free += u64::from(be32_at(&table, 28));
        }
        self.disk.superblock.set_counts(inodes, free, blocks);
        Ok(())
    }
}
