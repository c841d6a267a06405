//! What snapshots reach: every list and every chunk, each list looked at once however many snapshots share it.

use crate::chunk::{Id, Kind};
use crate::chunks::Chunks;
use crate::snapshot::Snapshot;
use crate::tree::{LEAF, Lists};
use crate::{Error, Result};
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

/// Tells `chunk` of every id that the snapshots reach, once for each list that names it.
pub(crate) fn mark(
    chunks: &Chunks,
    snapshots: &[Snapshot],
    seen: &mut HashSet<Id>,
    chunk: &mut dyn FnMut(&Id) -> Result<()>,
) -> Result<()> {
    for disk in snapshots.iter().flat_map(|snapshot| &snapshot.disks) {
        let root = disk.check()?;
        if root == Id::ZERO || !seen.insert(root) {
            continue;
        }
        chunk(&root)?;
        for (number, leaf) in chunks.list(&root, Kind::Root, disk.leaves())?.iter().enumerate() {
            if *leaf == Id::ZERO || !seen.insert(*leaf) {
                continue;
            }
            chunk(leaf)?;
            let list = chunks.list(leaf, Kind::Leaf, disk.slots(number))?;
            list.iter().filter(|id| **id != Id::ZERO).try_for_each(&mut *chunk)?;
        }
    }
    Ok(())
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
        Err(Error { kind: crate::ErrorKind::Corrupt, .. }) => Ok(None),
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
