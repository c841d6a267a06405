//! Edits of labels: how a device is reached (`path`, `phys_path`, `devid`). A root pool that moved to other hardware does not
//! start before they are right: illumos imports it by the path in the label (`spa_import_rootpool`, issue 4793).

use crate::label::{NVLIST as LIST_AT, NVLIST_LENGTH, places};
use crate::nvlist::{NVLIST, NVLIST_ARRAY, STRING, bad, pair};
use crate::seal::{TRAILER, is_sealed, seal};
use wherry_sdk::bytes::{field, part, put};
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// Lists in lists.
const DEPTH_MOST: usize = 16;
/// What may be changed.
pub const KEYS: [&str; 3] = ["path", "phys_path", "devid"];

/// New text for one name of one leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The leaf's guid.
    pub guid: u64,
    /// `path`, `phys_path` or `devid`.
    pub key: &'static str,
    /// None takes the name away.
    pub value: Option<String>,
}

/// Makes changes in all labels of a device that are sound, and returns how many those are. Every label names all leaves of its
/// top-level vdev, so that a change concerns each device of that. Nothing is written where a change cannot be made in every
/// one of them.
pub fn apply(device: &dyn Blob, changes: &[Change]) -> Result<usize> {
    if let Some(change) = changes.iter().find(|change| !KEYS.contains(&change.key)) {
        let message = format!("{} in a label cannot be changed: only path, phys_path and devid", change.key);
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut blocks = Vec::new();
    for place in places(device.size()).into_iter().flatten() {
        let block = device.read(place + LIST_AT, NVLIST_LENGTH as u32)?;
        if let Some(big_endian) = is_sealed(&block, [place + LIST_AT, 0, 0, 0]) {
            blocks.push((place + LIST_AT, changed(&block, changes, (place + LIST_AT, big_endian))?));
        }
    }
    if blocks.is_empty() {
        return Err(Error::new(ErrorKind::Corrupt, "there is no sound ZFS label"));
    }
    for (at, block) in &blocks {
        device.write(*at, block)?;
    }
    Ok(blocks.len())
}

fn changed(block: &[u8], changes: &[Change], (at, big_endian): (u64, bool)) -> Result<Vec<u8>> {
    let head = part(block, 0, 4);
    let list = rewrite(part(block, 4, block.len()), changes, 0)?;
    let mut new = vec![0; NVLIST_LENGTH];
    let room = NVLIST_LENGTH - TRAILER;
    if 4 + list.bytes.len() > room {
        return Err(Error::new(ErrorKind::NoSpace, "the new paths do not fit into the ZFS label"));
    }
    if let Some(change) = changes.iter().find(|change| !list.found.contains(&change.guid)) {
        let message = format!("no vdev {} is named in this label", change.guid);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    put(&mut new, 0, head);
    put(&mut new, 4, &list.bytes);
    put(&mut new, room, field(block, room, TRAILER));
    seal(&mut new, [at, 0, 0, 0], big_endian);
    Ok(new)
}

struct Rewritten {
    bytes: Vec<u8>,
    /// Bytes of the old list.
    taken: usize,
    /// Leaves that were seen.
    found: Vec<u64>,
}

/// A list from its version on.
fn rewrite(bytes: &[u8], changes: &[Change], depth: usize) -> Result<Rewritten> {
    if depth > DEPTH_MOST {
        return Err(bad("is too deep"));
    }
    let mut new = Rewritten { bytes: part(bytes, 0, 8).to_vec(), taken: 8, found: Vec::new() };
    let own = leaf(bytes)?;
    let wanted: Vec<&Change> = changes.iter().filter(|change| Some(change.guid) == own).collect();
    new.found.extend(own);
    let mut written = Vec::new();
    while let Some(pair) = pair(bytes, new.taken)? {
        let whole = part(bytes, new.taken, pair.length);
        let change = wanted.iter().find(|change| change.key.as_bytes() == pair.name);
        match (change, pair.kind) {
            (Some(change), STRING) => {
                if let Some(value) = &change.value {
                    new.bytes.extend(string(change.key, value));
                }
                written.push(change.key);
            }
            (_, NVLIST | NVLIST_ARRAY) => {
                let mut inner = part(whole, 0, pair.head).to_vec();
                let (count, mut at) = (if pair.kind == NVLIST { 1 } else { pair.count }, 0);
                for _ in 0..count {
                    let one = rewrite(part(pair.value, at, pair.value.len()), changes, depth + 1)?;
                    inner.extend(one.bytes);
                    new.found.extend(one.found);
                    at += one.taken;
                }
                let length = inner.len() as u32;
                put(&mut inner, 0, &length.to_be_bytes());
                new.bytes.extend(inner);
            }
            _ => new.bytes.extend_from_slice(whole),
        }
        new.taken += pair.length;
    }
    for change in wanted.iter().filter(|change| !written.contains(&change.key)) {
        if let Some(value) = &change.value {
            new.bytes.extend(string(change.key, value));
        }
    }
    new.bytes.extend([0; 8]);
    new.taken += 8;
    Ok(new)
}

/// The guid of a list that is about a disk or a file.
fn leaf(bytes: &[u8]) -> Result<Option<u64>> {
    let (mut guid, mut is_leaf, mut at) = (None, false, 8);
    while let Some(pair) = pair(bytes, at)? {
        match pair.name {
            b"guid" => guid = Some(wherry_sdk::bytes::big(pair.value, 0, 8)),
            b"type" => is_leaf = matches!(part(pair.value, 4, 4), b"disk" | b"file"),
            _ => {}
        }
        at += pair.length;
    }
    Ok(guid.filter(|_| is_leaf))
}

/// A pair of a name and a text: its length here, and in memory (NVP_SIZE_CALC of nvpair_impl.h), then both.
fn string(name: &str, value: &str) -> Vec<u8> {
    let xdr = |text: &str| {
        let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let memory = (16 + name.len() + 1).next_multiple_of(8) + (value.len() + 1).next_multiple_of(8);
    let mut rest = xdr(name);
    rest.extend([STRING.to_be_bytes(), 1u32.to_be_bytes()].concat());
    rest.extend(xdr(value));
    let mut bytes = ((rest.len() + 8) as u32).to_be_bytes().to_vec();
    bytes.extend((memory as u32).to_be_bytes());
    bytes.extend(rest);
    bytes
}
