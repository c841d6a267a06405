//! What a checkpoint of the log says: which attributes were open, which of their pages were not yet on the volume, which
//! transactions were under way. The records behind it carry that on.
//!
//! Version 0 of the tables is that of Windows of 32 bits, 1 that of 64 bits. Source: Linux' `fs/ntfs3/fslog.c`.

use crate::bytes::{part, u16_at, u32_at, u64_at, units};
use crate::log_change::{CLUSTERS_MOST, Change, operation};
use crate::log_pages::{Pages, refusal};
use crate::record::NUMBER;
use std::collections::BTreeMap;
use wherry_sdk::Result;

/// What the log tells of a table's entry that is in use.
const USED: u32 = 0xffff_ffff;
/// Bytes before a table's entries.
const HEADER: usize = 0x18;
/// Entries of tables, and clusters of dirty pages, which take 8 bytes each.
const ENTRIES_MOST: usize = 1 << 20;
const SLOTS_MOST: usize = 1 << 22;
/// Clusters of dirty pages that are looked at, over all records that give clusters back.
const LOOKS_MOST: usize = 1 << 26;
/// Bytes of a page of memory.
const PAGE: u64 = 4096;
/// A transaction that was not committed.
const ACTIVE: u8 = 1;

/// An attribute that was open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// the file's reference
    pub file: u64,
    pub kind: u32,
    pub name: Vec<u16>,
    /// bytes of a block, of an index
    pub block: usize,
}

impl Opened {
    fn parse(entry: &[u8], wide: bool) -> Self {
        let [file, kind, block] = if wide { [0x10, 8, 4] } else { [8, 0x1c, 0x28] };
        let (file, kind) = (u64_at(entry, file), u32_at(entry, kind));
        Self { file, kind, name: Vec::new(), block: u32_at(entry, block) as usize }
    }

    /// Number of the file's record.
    pub fn number(&self) -> u64 {
        self.file & NUMBER
    }
}

/// Clusters that were not written yet.
#[derive(Clone, Debug)]
pub struct DirtyPage {
    /// the oldest change that is not on the volume
    pub oldest: u64,
    /// where each is on the volume; 0 where it was given back
    pub lcns: Vec<u64>,
}

/// A transaction.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    pub first: u64,
    /// the change that is to be undone next; 0 for none
    pub undo_next: u64,
    pub active: bool,
}

/// The tables.
pub struct Tables {
    /// entries are those of 64 bits
    wide: bool,
    pub opened: BTreeMap<u32, Opened>,
    /// by attribute and first cluster
    pub dirty: BTreeMap<(u32, u64), DirtyPage>,
    pub transactions: BTreeMap<u32, Transaction>,
    /// clusters of a page
    clusters: u64,
    /// clusters that were looked at to give some back
    looks: usize,
    /// where the records begin that carry the tables on
    pub start: u64,
}

/// The entries of a table that are in use, with their places.
fn entries(table: &[u8]) -> Result<Vec<(u32, &[u8])>> {
    let (size, count) = (usize::from(u16_at(table, 0)), usize::from(u16_at(table, 2)));
    if size < 0x20 || HEADER + size * count > table.len() {
        return Err(refusal("a table of the log's checkpoint is damaged"));
    }
    let places = (0..count).map(|index| HEADER + index * size);
    let list = places.map(|at| (at as u32, part(table, at, size)));
    Ok(list.filter(|(_, entry)| u32_at(entry, 0) == USED).collect())
}

impl Tables {
    /// The tables of the checkpoint, for clusters of `cluster` bytes.
    pub fn read(pages: &Pages, checkpoint: u64, cluster: u64) -> Result<Self> {
        let record = pages.record(checkpoint)?;
        let data = &record.data;
        if !record.checkpoint || data.len() < 0x40 {
            return Err(refusal("the log's checkpoint is none"));
        }
        let version = (u32_at(data, 0), u32_at(data, 4));
        if version.0 > 1 || version.1 != 0 {
            let (major, minor) = version;
            return Err(refusal(format!("the log's checkpoint has the unknown version {major}.{minor}")));
        }
        let start = match u64_at(data, 8) {
            0 => checkpoint,
            start => start,
        };
        let clusters = (PAGE / cluster).max(1);
        let (opened, dirty, transactions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut tables =
            Self { wide: version.0 == 1, opened, dirty, transactions, clusters, looks: 0, start };
        let table = |at: usize, length: usize, operation: u16| -> Result<Option<Vec<u8>>> {
            if u32_at(data, length) == 0 {
                return Ok(None);
            }
            let record = pages.record(u64_at(data, at))?;
            let change = Change::parse(&record)?;
            match change.bytes(true) {
                Some(bytes) if change.redo == operation => Ok(Some(bytes.to_vec())),
                _ => Err(change.mismatch("is not the table that the checkpoint names")),
            }
        };
        if let Some(bytes) = table(0x10, 0x30, operation::DUMP_ATTRIBUTES)? {
            tables.read_attributes(&bytes)?;
        }
        if let Some(bytes) = table(0x18, 0x34, operation::DUMP_NAMES)? {
            tables.read_names(&bytes)?;
        }
        if let Some(bytes) = table(0x20, 0x38, operation::DUMP_PAGES)? {
            tables.read_pages(&bytes)?;
        }
        if let Some(bytes) = table(0x28, 0x3c, operation::DUMP_TRANSACTIONS)? {
            tables.read_transactions(&bytes)?;
        }
        Ok(tables)
    }

    fn entry_length(&self) -> usize {
        if self.wide { 0x28 } else { 0x2c }
    }

    fn read_attributes(&mut self, table: &[u8]) -> Result<()> {
        if usize::from(u16_at(table, 0)) != self.entry_length() {
            return Err(refusal("the log's table of open attributes has entries of an unknown length"));
        }
        for (place, entry) in entries(table)? {
            self.opened.insert(place, Opened::parse(entry, self.wide));
        }
        Ok(())
    }

    fn read_names(&mut self, table: &[u8]) -> Result<()> {
        let mut at = 0;
        while u16_at(table, at) != 0 {
            let (place, length) = (u32::from(u16_at(table, at)), usize::from(u16_at(table, at + 2)));
            let name = part(table, at + 4, length);
            let opened = self.opened.get_mut(&place).filter(|_| name.len() == length && length % 2 == 0);
            opened.ok_or_else(|| refusal("the log's table of names is damaged"))?.name = units(name);
            // Behind each stands a zero.
            at += 6 + length;
        }
        Ok(())
    }

    fn read_pages(&mut self, table: &[u8]) -> Result<()> {
        let damaged = || refusal("the log's table of dirty pages is damaged");
        let size = usize::from(u16_at(table, 0));
        let [vcn, oldest, lcns] = if self.wide { [0x10, 0x18, 0x20] } else { [0x14, 0x1c, 0x24] };
        let slots = size.checked_sub(lcns).ok_or_else(damaged)? / 8;
        if slots == 0 || slots > CLUSTERS_MOST || !slots.is_power_of_two() {
            return Err(damaged());
        }
        self.clusters = slots as u64;
        for (_, entry) in entries(table)? {
            let count = u32_at(entry, 0x0c) as usize;
            if count == 0 || count > slots {
                return Err(damaged());
            }
            let lcns = part(entry, lcns, count * 8).chunks_exact(8).map(|lcn| u64_at(lcn, 0)).collect();
            let key = (u32_at(entry, 4), u64_at(entry, vcn));
            let oldest = u64_at(entry, oldest);
            match self.dirty.get_mut(&key) {
                // Pages of memory may be smaller than clusters.
                Some(known) => known.oldest = known.oldest.min(oldest),
                None => drop(self.dirty.insert(key, DirtyPage { oldest, lcns })),
            }
        }
        Ok(())
    }

    fn read_transactions(&mut self, table: &[u8]) -> Result<()> {
        for (place, entry) in entries(table)? {
            let transaction = Transaction {
                first: u64_at(entry, 8),
                undo_next: u64_at(entry, 0x18),
                active: entry.get(4) == Some(&ACTIVE),
            };
            self.transactions.insert(place, transaction);
        }
        Ok(())
    }

    /// The dirty page that holds cluster `vcn` of an attribute, and the place of the cluster in it.
    pub fn page(&self, attribute: u32, vcn: u64) -> Option<(&DirtyPage, usize)> {
        let range = (attribute, 0)..=(attribute, vcn);
        let (&(_, first), page) = self.dirty.range(range).next_back()?;
        let at = (vcn - first) as usize;
        (vcn - first < page.lcns.len() as u64).then_some((page, at))
    }

    /// What a record behind the checkpoint changes in the tables.
    pub fn carry_on(&mut self, change: &Change<'_>) -> Result<()> {
        self.note_transaction(change);
        match change.redo {
            operation::FORGET => drop(self.transactions.remove(&change.transaction)),
            operation::COMMIT => {
                if let Some(transaction) = self.transactions.get_mut(&change.transaction) {
                    transaction.active = false;
                }
            }
            operation::OPEN_ATTRIBUTE => self.open(change)?,
            operation::DELETE_DIRTY_CLUSTERS => self.give_back(change)?,
            operation::COMPENSATION | operation::END_TOP_LEVEL => {}
            operation::DUMP_ATTRIBUTES..=operation::DUMP_TRANSACTIONS => {}
            // 4, the end of a file record written anew, was never seen, and its sources differ.
            operation::NONE..=operation::FREE_RECORD
            | operation::CREATE_ATTRIBUTE..=operation::CLEAR_BITS
            | operation::UPDATE_ROOT_DATA
            | operation::UPDATE_BLOCK_DATA
            | operation::ZERO_RECORD_END => self.note_page(change)?,
            _ => return Err(change.mismatch("is of an unknown operation")),
        }
        let slots = self.dirty.len().saturating_mul(self.clusters as usize);
        match self.opened.len() + self.transactions.len() > ENTRIES_MOST || slots > SLOTS_MOST {
            true => Err(refusal("the log's tables are too long")),
            false => Ok(()),
        }
    }

    fn note_transaction(&mut self, change: &Change<'_>) {
        let new = Transaction { first: change.number, undo_next: 0, active: true };
        let transaction = self.transactions.entry(change.transaction).or_insert(new);
        let jumps = change.undo == operation::COMPENSATION || change.redo == operation::END_TOP_LEVEL;
        transaction.undo_next = if jumps { change.undo_next } else { change.number };
    }

    fn open(&mut self, change: &Change<'_>) -> Result<()> {
        let entry = change.bytes(true).filter(|entry| entry.len() == self.entry_length());
        let entry = entry.ok_or_else(|| change.mismatch("opens an attribute in an unknown way"))?;
        let name =
            change.bytes(false).ok_or_else(|| change.mismatch("opens an attribute without its name"))?;
        let opened = Opened { name: units(name), ..Opened::parse(entry, self.wide) };
        let key = change.attribute;
        let other = self.opened.get(&key).is_some_and(|known| *known != opened);
        if other && self.dirty.range((key, 0)..=(key, u64::MAX)).next().is_some() {
            return Err(change.mismatch("opens an attribute in the place of another one that is needed"));
        }
        self.opened.insert(key, opened);
        Ok(())
    }

    fn note_page(&mut self, change: &Change<'_>) -> Result<()> {
        if change.lcns.is_empty() {
            return Ok(());
        }
        if self.page(change.attribute, change.vcn).is_none() {
            let (first, slots) = (change.vcn / self.clusters * self.clusters, self.clusters as usize);
            let new = DirtyPage { oldest: change.number, lcns: Vec::new() };
            let page = self.dirty.entry((change.attribute, first)).or_insert(new);
            page.lcns.resize(slots.max(page.lcns.len()), 0);
        }
        let range = (change.attribute, 0)..=(change.attribute, change.vcn);
        let slots = self.dirty.range_mut(range).next_back().and_then(|(&(_, first), page)| {
            let at = usize::try_from(change.vcn - first).ok()?;
            page.lcns.get_mut(at..at.checked_add(change.lcns.len())?)
        });
        let slots = slots.ok_or_else(|| change.mismatch("goes beyond a page"))?;
        slots.copy_from_slice(&change.lcns);
        Ok(())
    }

    /// Clusters that are free again need no change any more, and may be another file's.
    fn give_back(&mut self, change: &Change<'_>) -> Result<()> {
        let ranges = change.bytes(true).filter(|bytes| bytes.len() % 16 == 0);
        let ranges = ranges.ok_or_else(|| change.mismatch("gives clusters back in an unknown way"))?;
        let range = |range: &[u8]| u64_at(range, 0)..u64_at(range, 0).saturating_add(u64_at(range, 8));
        let mut gone: Vec<core::ops::Range<u64>> = ranges.chunks_exact(16).map(range).collect();
        gone.sort_unstable_by_key(|range| range.start);
        if gone.windows(2).any(|pair| matches!(pair, [one, two] if two.start < one.end)) {
            return Err(change.mismatch("gives clusters back twice"));
        }
        self.looks += self.dirty.len() * self.clusters as usize;
        if self.looks > LOOKS_MOST {
            return Err(refusal("the log gives too many clusters back"));
        }
        for lcn in self.dirty.values_mut().flat_map(|page| &mut page.lcns) {
            let before = gone.partition_point(|range| range.start <= *lcn).checked_sub(1);
            if before.and_then(|at| gone.get(at)).is_some_and(|range| range.contains(lcn)) {
                *lcn = 0;
            }
        }
        Ok(())
    }
}
