//! Replay of `$LogFile`: what was logged and is not yet on the volume is done (redo), then what belongs to transactions
//! that were not committed is undone, newest first. All of it happens in memory.
//!
//! Everything must be understood exactly, and fit what is there; otherwise nothing is replayed. Sources: Linux'
//! `fs/ntfs3/fslog.c` and ntfs-3g's `ntfsrecover` for what the records mean; where the two differ, the records that
//! Windows wrote decide (sizes of attributes, names of open attributes).

use crate::attribute::{ALLOCATION, DATA};
use crate::bytes::{part, put, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use crate::fixup;
use crate::index::{BLOCK_HEADER, is_block_size};
use crate::log_block::{Node, is_block};
use crate::log_change::{Change, operation};
use crate::log_pages::{Area, Pages, refusal};
use crate::log_record::RecordTarget;
use crate::log_tables::{Opened, Tables};
use crate::overlay::Changes;
use crate::volume::{MFT, Volume};
use std::collections::BTreeSet;
use wherry_sdk::Result;
use wherry_sdk::bits::fill;

/// Bytes of a bitmap that one record changes: as much as Windows logs at once.
const BITS_MOST: usize = 64 << 10;

/// Records that are undone at most.
const UNDONE_MOST: usize = 1 << 20;
/// Where a file record or an index block keeps the number of its newest change.
const NEWEST: usize = 8;

/// What a replay did.
#[derive(Default)]
pub struct Replayed {
    pub changes: Changes,
    /// file records, by number
    pub records: BTreeSet<u64>,
    /// indexes, by the number of their file's record, and their name
    pub indexes: BTreeSet<(u64, Vec<u16>)>,
    /// the newest record of the log
    pub newest: u64,
}

/// What an operation changes.
enum Kind {
    /// a file record
    Record,
    /// an index block
    Block,
    /// bits
    Bits(bool),
    /// bytes of an attribute, which may be those of an index block
    Bytes,
}

impl Kind {
    /// Of an operation; none where nothing on the volume is changed.
    fn of(code: u16) -> Option<Self> {
        use operation as op;
        match code {
            op::INITIALIZE_RECORD
            | op::FREE_RECORD
            | op::CREATE_ATTRIBUTE
            | op::DELETE_ATTRIBUTE
            | op::UPDATE_RESIDENT
            | op::UPDATE_PAIRS
            | op::SET_SIZES
            | op::ADD_ROOT_ENTRY
            | op::DELETE_ROOT_ENTRY
            | op::SET_ROOT_CHILD
            | op::UPDATE_ROOT_NAME
            | op::UPDATE_ROOT_DATA
            | op::ZERO_RECORD_END => Some(Self::Record),
            op::ADD_BLOCK_ENTRY
            | op::DELETE_BLOCK_ENTRY
            | op::WRITE_BLOCK_END
            | op::SET_BLOCK_CHILD
            | op::UPDATE_BLOCK_NAME
            | op::UPDATE_BLOCK_DATA => Some(Self::Block),
            op::SET_BITS => Some(Self::Bits(true)),
            op::CLEAR_BITS => Some(Self::Bits(false)),
            op::UPDATE_STORED => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// A replay in the making.
struct Replay<'v, 'a> {
    volume: &'v mut Volume<'a>,
    pages: &'v Pages,
    tables: Tables,
    done: Replayed,
}

/// Where bytes of a structure are on the volume.
type Places = Vec<(u64, usize)>;

/// Replays a log, which `pages` hold, for the state that `area` tells of.
pub fn replay(volume: &mut Volume<'_>, area: &Area, pages: &Pages) -> Result<Replayed> {
    if pages.newest < area.newest {
        return Err(refusal("the log's newest records are missing"));
    }
    let mut tables = Tables::read(pages, area.checkpoint, volume.boot.cluster)?;
    let start = tables.start;
    let behind = pages.follow(start)?;
    if !behind.contains(&area.checkpoint) {
        return Err(refusal("the log's checkpoint lies before its own beginning"));
    }
    for number in behind.iter().skip(1) {
        let record = pages.record(*number)?;
        if !record.checkpoint {
            tables.carry_on(&Change::parse(&record)?)?;
        }
    }
    let oldest = tables.dirty.values().map(|page| page.oldest);
    let first = tables.transactions.values().map(|transaction| transaction.first);
    let from = oldest.chain(first).filter(|number| *number != 0).min().unwrap_or(start).min(start);
    let list = if from < start { pages.follow(from)? } else { behind };
    if !list.contains(&start) {
        return Err(refusal("the log's records do not lead to its checkpoint"));
    }
    let done = Replayed { newest: pages.newest, ..Replayed::default() };
    let mut replay = Replay { volume, pages, tables, done };
    replay.redo(&list)?;
    replay.undo()?;
    Ok(replay.done)
}

impl Replay<'_, '_> {
    fn redo(&mut self, list: &[u64]) -> Result<()> {
        for number in list {
            let record = self.pages.record(*number)?;
            if record.checkpoint {
                continue;
            }
            let change = Change::parse(&record)?;
            let Some(kind) = Kind::of(change.redo) else { continue };
            let Some((page, _)) = self.tables.page(change.attribute, change.vcn) else { continue };
            if change.number >= page.oldest {
                self.apply(&change, &kind, true)?;
            }
        }
        Ok(())
    }

    /// Undoes what was not committed, whichever transaction it is of, from the newest to the oldest.
    fn undo(&mut self) -> Result<()> {
        let open = self.tables.transactions.values().filter(|transaction| transaction.active);
        let mut next: BTreeSet<u64> = open.map(|transaction| transaction.undo_next).collect();
        for _ in 0..UNDONE_MOST {
            let Some(number) = next.pop_last().filter(|number| *number != 0) else { return Ok(()) };
            let record = self.pages.record(number)?;
            let change = Change::parse(&record)?;
            if let Some(kind) = Kind::of(change.undo) {
                self.apply(&change, &kind, false)?;
            }
            if change.undo_next >= number {
                return Err(change.mismatch("leads to a newer one"));
            }
            next.insert(change.undo_next);
        }
        Err(refusal("too much of the log is to be undone"))
    }

    /// Does one change, or undoes it.
    fn apply(&mut self, change: &Change<'_>, kind: &Kind, redo: bool) -> Result<()> {
        let opened = self.tables.opened.get(&change.attribute).cloned();
        let opened = opened.ok_or_else(|| change.mismatch("is for an attribute that is not open"))?;
        let table = opened.number() == MFT && opened.kind == DATA && opened.name.is_empty();
        match kind {
            Kind::Record if table => self.change_record(change, redo),
            Kind::Block if opened.kind == ALLOCATION => self.change_block(change, &opened, redo),
            Kind::Bytes if opened.kind == ALLOCATION => self.write_block(change, &opened, redo),
            Kind::Bits(set) if !table && opened.kind != ALLOCATION => self.change_bits(change, *set, redo),
            Kind::Bytes if !table => self.write_bytes(change, redo),
            _ => Err(change.mismatch("is for an attribute of another kind")),
        }
    }

    /// Where `length` bytes from `offset` on are, behind the first cluster of a change; none where they were given back.
    fn locate(&self, change: &Change<'_>, offset: usize, length: usize) -> Result<Option<Places>> {
        let cluster = self.volume.boot.cluster;
        let page = self.tables.page(change.attribute, change.vcn);
        let (mut places, mut gone) = (Places::new(), 0);
        let (mut at, end) = (offset as u64, (offset + length) as u64);
        while at < end {
            let index = (at / cluster) as usize;
            let lcn = change.lcns.get(index).filter(|lcn| (1..self.volume.boot.clusters).contains(*lcn));
            let lcn = *lcn.ok_or_else(|| change.mismatch("is for clusters that it does not name"))?;
            let now = page.and_then(|(page, first)| page.lcns.get(first + index));
            match now {
                Some(0) => gone += 1,
                Some(now) if *now == lcn => {}
                // What is undone may be older than all dirty pages.
                None => {}
                Some(_) => return Err(change.mismatch("is for clusters that are elsewhere now")),
            }
            let next = ((at / cluster + 1) * cluster).min(end);
            places.push((lcn * cluster + at % cluster, (next - at) as usize));
            at = next;
        }
        match gone {
            0 => Ok(Some(places)),
            gone if gone == places.len() => Ok(None),
            _ => Err(change.mismatch("is for clusters of which some were given back")),
        }
    }

    fn read(&mut self, places: &Places) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (place, length) in places {
            let mut piece = self.volume.device.read(*place, *length)?;
            self.done.changes.cover(*place, &mut piece);
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    fn write(&mut self, places: &Places, bytes: &[u8]) -> Result<()> {
        let mut at = 0;
        for (place, length) in places {
            let device = &mut self.volume.device;
            self.done
                .changes
                .write(*place, part(bytes, at, *length), &mut |piece| device.read(piece, 512))?;
            at += length;
        }
        Ok(())
    }

    /// A structure with an update sequence, resolved; empty where it is none that begins with `word`.
    fn read_structure(&mut self, places: &Places, word: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = self.read(places)?;
        let right = bytes.starts_with(word) && fixup::apply(&mut bytes);
        Ok(if right { bytes } else { Vec::new() })
    }

    /// Whether a structure needs no change: it has it already. One that is newer than the log belongs to another log, and
    /// what is undone must have been done.
    fn is_settled(&self, change: &Change<'_>, structure: &[u8], redo: bool) -> Result<bool> {
        let newest = u64_at(structure, NEWEST);
        let done = newest >= change.number;
        if newest > self.pages.newest {
            return Err(change.mismatch("is for a structure that is newer than the log"));
        }
        if !redo && !done && Kind::of(change.redo).is_some() {
            return Err(change.mismatch("is to be undone and was not done"));
        }
        Ok(redo && done)
    }

    fn write_structure(
        &mut self,
        places: &Places,
        mut bytes: Vec<u8>,
        change: &Change<'_>,
        redo: bool,
    ) -> Result<()> {
        if redo {
            put_u64(&mut bytes, NEWEST, change.number);
        }
        if !fixup::protect(&mut bytes) {
            return Err(change.mismatch("leaves a structure without an update sequence"));
        }
        self.write(places, &bytes)
    }

    fn change_record(&mut self, change: &Change<'_>, redo: bool) -> Result<()> {
        let size = self.volume.boot.record;
        let Some(places) = self.locate(change, change.cluster_offset, size)? else { return Ok(()) };
        let code = if redo { change.redo } else { change.undo };
        let mut bytes = self.read_structure(&places, b"FILE")?;
        if bytes.is_empty() {
            match code {
                operation::INITIALIZE_RECORD if change.length(redo) > 0x30 => bytes = vec![0; size],
                // It was never made: there is nothing to free.
                operation::FREE_RECORD => return Ok(()),
                _ => return Err(change.mismatch("is for a file record that is none")),
            }
        } else if self.is_settled(change, &bytes, redo)? {
            return Ok(());
        }
        let mut target = RecordTarget { change, redo, clusters: self.volume.boot.clusters, bytes };
        target.apply(code)?;
        let bytes = target.bytes;
        let cluster = self.volume.boot.cluster;
        let offset =
            change.vcn.checked_mul(cluster).and_then(|at| at.checked_add(change.cluster_offset as u64));
        let offset = offset.filter(|at| at % size as u64 == 0);
        let number = offset.ok_or_else(|| change.mismatch("is not for a file record"))? / size as u64;
        self.done.records.insert(number);
        self.write_structure(&places, bytes, change, redo)
    }

    /// Bytes of a block of an index.
    fn block_size(&self, change: &Change<'_>, opened: &Opened) -> Result<usize> {
        let size = if opened.block == 0 { self.volume.boot.block } else { opened.block };
        is_block_size(size)
            .then_some(size)
            .ok_or_else(|| change.mismatch("is for blocks of an impossible size"))
    }

    fn change_block(&mut self, change: &Change<'_>, opened: &Opened, redo: bool) -> Result<()> {
        let size = self.block_size(change, opened)?;
        let from = change.cluster_offset + change.record_offset;
        let Some(places) = self.locate(change, from, size)? else { return Ok(()) };
        let bytes = self.read_structure(&places, b"INDX")?;
        if bytes.is_empty() || !is_block(&bytes) {
            return Err(change.mismatch("is for an index block that is none"));
        }
        if self.is_settled(change, &bytes, redo)? {
            return Ok(());
        }
        let mut node = Node { change, redo, bytes, header: BLOCK_HEADER };
        match if redo { change.redo } else { change.undo } {
            operation::ADD_BLOCK_ENTRY => node.add()?,
            operation::DELETE_BLOCK_ENTRY => node.delete()?,
            operation::WRITE_BLOCK_END => node.write_end()?,
            operation::SET_BLOCK_CHILD => node.set_child()?,
            operation::UPDATE_BLOCK_NAME => node.update_name()?,
            operation::UPDATE_BLOCK_DATA => node.update_data()?,
            _ => return Err(change.mismatch("is of an unknown operation")),
        }
        let mut bytes = node.bytes;
        let end = BLOCK_HEADER as u64 + u64::from(u32_at(&bytes, BLOCK_HEADER + 4));
        if end > size as u64 {
            return Err(change.mismatch("makes the index block too long"));
        }
        bytes.resize(size, 0);
        self.done.indexes.insert((opened.number(), opened.name.clone()));
        self.write_structure(&places, bytes, change, redo)
    }

    /// Writes an index block from its beginning on.
    fn write_block(&mut self, change: &Change<'_>, opened: &Opened, redo: bool) -> Result<()> {
        let size = self.block_size(change, opened)?;
        let data = change.bytes(redo).filter(|data| data.len() <= size && is_block(data));
        let data = data.filter(|_| change.record_offset == 0 && change.attribute_offset == 0);
        let data = data.ok_or_else(|| change.mismatch("does not hold the whole index block"))?;
        let Some(places) = self.locate(change, change.cluster_offset, size)? else { return Ok(()) };
        let mut bytes = self.read_structure(&places, b"INDX")?;
        if !bytes.is_empty() && self.is_settled(change, &bytes, redo)? {
            return Ok(());
        }
        bytes.resize(size, 0);
        put(&mut bytes, 0, data);
        self.done.indexes.insert((opened.number(), opened.name.clone()));
        self.write_structure(&places, bytes, change, redo)
    }

    fn write_bytes(&mut self, change: &Change<'_>, redo: bool) -> Result<()> {
        let data = change.bytes(redo).filter(|_| change.attribute_offset == 0);
        let data = data.ok_or_else(|| change.mismatch("has no content"))?;
        let from = change.cluster_offset + change.record_offset;
        match self.locate(change, from, data.len())? {
            Some(places) => self.write(&places, data),
            None => Ok(()),
        }
    }

    fn change_bits(&mut self, change: &Change<'_>, set: bool, redo: bool) -> Result<()> {
        let data = change.bytes(redo).filter(|data| data.len() == 8);
        let data = data.filter(|_| change.record_offset == 0 && change.attribute_offset == 0);
        let data = data.ok_or_else(|| change.mismatch("changes bits in an unknown way"))?;
        let (first, count) = (u64::from(u32_at(data, 0)), u64::from(u32_at(data, 4)));
        let all = self.volume.boot.cluster * 8 * change.lcns.len() as u64;
        if count == 0 || first + count > all {
            return Err(change.mismatch("changes bits beyond its clusters"));
        }
        let (from, end) = ((first / 8) as usize, (first + count).div_ceil(8) as usize);
        if end - from > BITS_MOST {
            return Err(change.mismatch("changes more bits than one record does"));
        }
        let Some(places) = self.locate(change, change.cluster_offset + from, end - from)? else {
            return Ok(());
        };
        let mut bytes = self.read(&places)?;
        fill(&mut bytes, first % 8, count, set);
        self.write(&places, &bytes)
    }
}

/// A log's restart page, changed to say that nothing is left to be done, and that new records follow `newest`.
pub fn closed(page: &[u8], newest: u64) -> Vec<u8> {
    /// The volume was left complete.
    const COMPLETE: u16 = 2;
    const NO_CLIENT: u16 = 0xffff;
    let mut page = page.to_vec();
    let area = usize::from(u16_at(&page, 0x18));
    put_u64(&mut page, area, newest);
    put_u16(&mut page, area + 10, 0);
    put_u16(&mut page, area + 12, NO_CLIENT);
    put_u16(&mut page, area + 14, COMPLETE);
    put_u32(&mut page, area + 0x20, 0);
    fixup::protect(&mut page);
    page
}
