//! What snapshots reach: every list and every chunk, each list looked at once however many snapshots share it.

use crate::archive::Archive;
use crate::chunk::{Id, Kind};
use crate::chunks::Chunks;
use crate::marks::{self, LOST, Names};
use crate::snapshot::{Roots, Snapshot};
use crate::tree::{LEAF, Lists};
use crate::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, HashSet};

/// Where a chunk that is not well is needed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Affected {
    /// The snapshot's id.
    pub snapshot: String,
    /// Its machine.
    pub machine: String,
    /// The disk's name.
    pub disk: String,
    /// Where the bytes that cannot be read begin.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

/// A walk over what snapshots reach.
pub(crate) struct Reach<'a> {
    chunks: &'a Chunks,
    /// Lists that a repair has given up: what they named is lost already.
    lost: Names,
    seen: HashSet<Id>,
}

/// Told of an id and what it is.
pub(crate) type TellId<'a> = &'a mut dyn FnMut(&Id, Kind) -> Result<()>;

impl<'a> Reach<'a> {
    pub fn new(archive: &Archive, chunks: &'a Chunks) -> Result<Self> {
        Ok(Self { chunks, lost: marks::read(archive, LOST)?, seen: HashSet::new() })
    }

    /// Tells of every id that is reached, once for each list that names it. A list that cannot be read is an error: what it
    /// names would go. Only a candidate may lean on what is gone, since it will find out itself.
    pub fn mark(&mut self, roots: &Roots, tell: TellId<'_>) -> Result<()> {
        for candidate in &roots.candidates {
            match self.disks(candidate, tell) {
                Err(e) if e.kind == ErrorKind::Corrupt => {}
                marked => marked?,
            }
        }
        // What a candidate could not be followed through is looked at again.
        self.seen.clear();
        for snapshot in &roots.snapshots {
            self.disks(snapshot, tell).map_err(|e| {
                let next =
                    "nothing was removed; `wherry archive verify` says what is wrong, `repair` mends it";
                Error::new(e.kind, format!("snapshot {}: {}; {next}", snapshot.id, e.context))
            })?;
        }
        Ok(())
    }

    fn disks(&mut self, snapshot: &Snapshot, tell: TellId<'_>) -> Result<()> {
        for disk in &snapshot.disks {
            let root = disk.check()?;
            for (number, leaf) in self.list(&root, (Kind::Root, disk.leaves()), tell)?.iter().enumerate() {
                let list = self.list(leaf, (Kind::Leaf, disk.slots(number)), tell)?;
                list.iter().filter(|id| **id != Id::ZERO).try_for_each(|id| tell(id, Kind::Data))?;
            }
        }
        Ok(())
    }

    /// A list that was not seen before, else nothing.
    fn list(&mut self, id: &Id, (kind, count): (Kind, usize), tell: TellId<'_>) -> Result<Vec<Id>> {
        if *id == Id::ZERO || !self.seen.insert(*id) {
            return Ok(Vec::new());
        }
        tell(id, kind)?;
        match self.chunks.list(id, kind, count) {
            Err(e) if e.kind == ErrorKind::Corrupt && self.lost.contains(&id.0) => Ok(Vec::new()),
            list => list,
        }
    }
}

/// Every range of a snapshot's disks that cannot be read, because `bad` says so of a chunk or because a list is lost.
pub(crate) fn affected(
    chunks: &Chunks,
    snapshot: &Snapshot,
    good: &mut HashSet<Id>,
    bad: &mut dyn FnMut(&Id) -> Result<bool>,
) -> Result<Vec<Affected>> {
    let mut list = Vec::new();
    for disk in &snapshot.disks {
        let mut ranges = BTreeMap::new();
        let size = u64::from(disk.chunk_size);
        let mut lose = |first: u64, count: u64| {
            let start = first * size;
            ranges.insert(start, (count * size).min(disk.size.saturating_sub(start)));
        };
        let root = disk.check()?;
        let Some(leaves) = read(chunks, &root, (Kind::Root, disk.leaves()), bad)? else {
            lose(0, disk.chunks());
            list.extend(told(snapshot, &disk.name, &ranges));
            continue;
        };
        for (number, leaf) in leaves.iter().enumerate() {
            if *leaf == Id::ZERO || good.contains(leaf) {
                continue;
            }
            let (first, count) = ((number * LEAF) as u64, disk.slots(number));
            let Some(ids) = read(chunks, leaf, (Kind::Leaf, count), bad)? else {
                lose(first, count as u64);
                continue;
            };
            let mut whole = true;
            for (place, id) in ids.iter().enumerate() {
                if *id != Id::ZERO && bad(id)? {
                    whole = false;
                    lose(first + place as u64, 1);
                }
            }
            if whole {
                good.insert(*leaf);
            }
        }
        list.extend(told(snapshot, &disk.name, &ranges));
    }
    Ok(list)
}

fn read(
    chunks: &Chunks,
    id: &Id,
    (kind, count): (Kind, usize),
    bad: &mut dyn FnMut(&Id) -> Result<bool>,
) -> Result<Option<Vec<Id>>> {
    if *id != Id::ZERO && bad(id)? {
        return Ok(None);
    }
    match chunks.list(id, kind, count) {
        Err(e) if e.kind == ErrorKind::Corrupt => Ok(None),
        list => list.map(Some),
    }
}

/// Neighbours become one.
fn told(snapshot: &Snapshot, disk: &str, ranges: &BTreeMap<u64, u64>) -> Vec<Affected> {
    let mut list: Vec<Affected> = Vec::new();
    for (offset, length) in ranges {
        match list.last_mut() {
            Some(last) if last.offset + last.length == *offset => last.length += length,
            _ => list.push(Affected {
                snapshot: snapshot.id.clone(),
                machine: snapshot.machine.clone(),
                disk: disk.into(),
                offset: *offset,
                length: *length,
            }),
        }
    }
    list
}
