//! Changes. Each first makes sure that it will find room; where it fails, the volume is as it was.

use crate::directory::Directory;
use crate::entry::{ARCHIVE, DIRECTORY, Entry, SLOT, Slot};
use crate::volume::Volume;
use crate::{Place, invalid};
use std::ops::Range;
use wherry_sdk::bytes::put;
use wherry_sdk::{Blob, Error, ErrorKind, Meta, Result, now_unix};

/// Writes an entry's slot back.
pub fn store(volume: &Volume<'_>, parent: &mut Directory, entry: &Entry) -> Result<()> {
    parent.replace(entry.place(), &entry.slot);
    parent.store(volume, entry.place()..entry.place() + 1)
}

/// Frees an entry's slots.
fn erase(volume: &Volume<'_>, parent: &mut Directory, slots: Range<usize>) -> Result<()> {
    parent.erase(slots.clone());
    parent.store(volume, slots)
}

fn now() -> i64 {
    now_unix().min(i64::MAX as u64) as i64
}

/// A file's size must fit 32 bits.
fn size(bytes: u64) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| Error::unsupported(format!("a file on FAT cannot have {bytes} bytes")))
}

fn as_new(attributes: u8, like: Option<&Meta>) -> Slot {
    let mut slot = Slot::new(attributes, now());
    if let Some(like) = like {
        slot.set_mode(like.mode);
        slot.set_mtime(like.mtime);
    }
    slot
}

/// Creates a file or replaces its content.
pub fn write(volume: &mut Volume<'_>, place: Place, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
    let Place { mut parent, name, entry } = place;
    size(content.size())?;
    if let Some(mut entry) = entry {
        if entry.slot.is_directory() {
            return Err(invalid(format!("{name} is a directory")));
        }
        entry.slot.set_mtime(now());
        return replace(volume, &mut parent, entry, content);
    }
    let entry = parent.insert(volume, &name, &as_new(ARCHIVE, like))?;
    let slots = entry.slots.clone();
    let written = replace(volume, &mut parent, entry, content);
    if written.is_err() {
        erase(volume, &mut parent, slots)?;
    }
    written
}

/// Puts the content into new clusters before the old ones are given back; only where there is no room for both, the
/// old ones go first.
fn replace(
    volume: &mut Volume<'_>,
    parent: &mut Directory,
    mut entry: Entry,
    content: &dyn Blob,
) -> Result<()> {
    let length = size(content.size())?;
    let needed = content.size().div_ceil(volume.geometry.cluster);
    let old = entry.slot.first(volume.geometry.bits);
    let spare = u64::from(volume.free()?);
    let both = needed <= spare;
    if !both {
        let held =
            if old == 0 { 0 } else { volume.chain(old, u64::from(volume.geometry.clusters))?.len() as u64 };
        if needed > spare + held {
            let message = format!("{length} bytes for {} are more than the volume has free", entry.name);
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        entry.slot.set_first(0);
        entry.slot.set_size(0);
        store(volume, parent, &entry)?;
        volume.give_back(old)?;
    }
    let clusters = volume.take(None, needed)?;
    let first = clusters.first().copied().unwrap_or_default();
    let filled = volume.fill(&clusters, 0, content).and_then(|()| volume.pad(&clusters, content.size()));
    if let Err(e) = filled {
        volume.give_back(first)?;
        return Err(e);
    }
    entry.slot.set_first(first);
    entry.slot.set_size(length);
    entry.slot.set_attributes(entry.slot.attributes() | ARCHIVE);
    store(volume, parent, &entry)?;
    if both { volume.give_back(old) } else { Ok(()) }
}

/// Overwrites a file from an offset on, into the rest of its last cluster, then into new ones.
pub fn modify(
    volume: &mut Volume<'_>,
    parent: &mut Directory,
    mut entry: Entry,
    (offset, content): (u64, &dyn Blob),
) -> Result<()> {
    if entry.slot.is_directory() {
        return Err(invalid(format!("{} is a directory", entry.name)));
    }
    let old = entry.slot.size();
    if offset > old {
        return Err(invalid(format!("{} has {old} bytes, so byte {offset} is beyond its end", entry.name)));
    }
    let length = size(old.max(offset.saturating_add(content.size())))?;
    let first = entry.slot.first(volume.geometry.bits);
    let mut clusters = match first {
        0 => Vec::new(),
        first => volume.chain(first, u64::from(volume.geometry.clusters))?,
    };
    let needed = u64::from(length).div_ceil(volume.geometry.cluster).saturating_sub(clusters.len() as u64);
    // Until the size says so, what is written behind the old end is not seen.
    let taken = volume.take(None, needed)?;
    let held = clusters.len();
    clusters.extend(&taken);
    let pad = || if u64::from(length) > old { volume.pad(&clusters, length.into()) } else { Ok(()) };
    if let Err(e) = volume.fill(&clusters, offset, content).and_then(|()| pad()) {
        volume.give_back(taken.first().copied().unwrap_or_default())?;
        return Err(e);
    }
    if let (Some(last), Some(next)) = (held.checked_sub(1).and_then(|last| clusters.get(last)), taken.first())
    {
        volume.join(*last, *next)?;
    }
    entry.slot.set_first(clusters.first().copied().unwrap_or_default());
    entry.slot.set_size(length);
    entry.slot.set_attributes(entry.slot.attributes() | ARCHIVE);
    entry.slot.set_mtime(now());
    store(volume, parent, &entry)
}

/// Removes a file or an empty directory.
pub fn remove(volume: &mut Volume<'_>, parent: &mut Directory, entry: &Entry) -> Result<()> {
    empty(volume, parent, entry)?;
    erase(volume, parent, entry.slots.clone())?;
    volume.give_back(entry.slot.first(volume.geometry.bits))
}

/// A directory must be empty to go.
fn empty(volume: &mut Volume<'_>, parent: &Directory, entry: &Entry) -> Result<()> {
    if entry.slot.is_directory() && !parent.child(volume, entry)?.entries().is_empty() {
        return Err(invalid(format!("directory {} is not empty", entry.name)));
    }
    Ok(())
}

/// Makes an empty directory.
pub fn make_directory(volume: &mut Volume<'_>, place: Place, like: Option<&Meta>) -> Result<()> {
    let Place { mut parent, name, entry } = place;
    if entry.is_some() {
        return Err(Error::new(ErrorKind::Exists, format!("{name} exists already")));
    }
    let mut slot = as_new(DIRECTORY, like);
    let cluster = volume.take(None, 1)?;
    let first = cluster.first().copied().unwrap_or_default();
    slot.set_first(first);
    let mut bytes = vec![0; volume.geometry.cluster as usize];
    for (index, (short, target)) in
        [(b".          ", first), (b"..         ", parent.first())].into_iter().enumerate()
    {
        let mut dots = slot;
        dots.set_short(short);
        dots.set_first(target);
        put(&mut bytes, index * SLOT, &dots.0);
    }
    volume.write(&cluster, 0, &bytes)?;
    if let Err(e) = parent.insert(volume, &name, &slot) {
        volume.give_back(first)?;
        return Err(e);
    }
    Ok(())
}

/// Moves an entry, as rename(2) does; one that is in the way goes first.
pub fn rename(volume: &mut Volume<'_>, mut from: Directory, entry: Entry, to: Place) -> Result<()> {
    let Place { parent: mut target, name, entry: other } = to;
    let same = from.first() == target.first();
    let itself = |other: &Entry| same && other.slots == entry.slots;
    if entry.name == name && other.as_ref().is_some_and(itself) {
        return Ok(());
    }
    let other = other.filter(|other| !itself(other));
    let bits = volume.geometry.bits;
    let directory = entry.slot.is_directory();
    if directory && target.path.contains(&entry.slot.first(bits)) {
        return Err(invalid(format!("directory {} cannot be moved into itself", entry.name)));
    }
    if let Some(other) = &other {
        if other.slot.is_directory() != directory {
            return Err(invalid(format!("{} and {name} are not both files or both directories", entry.name)));
        }
        empty(volume, &target, other)?;
    }
    // In memory first, so that the new name can use the old slots.
    let freed: Vec<Range<usize>> =
        other.iter().map(|other| &other.slots).chain(Some(&entry.slots).filter(|_| same)).cloned().collect();
    freed.iter().for_each(|slots| target.erase(slots.clone()));
    target.insert(volume, &name, &entry.slot)?;
    for slots in freed {
        target.store(volume, slots)?;
    }
    if !same {
        erase(volume, &mut from, entry.slots.clone())?;
    }
    if let Some(other) = other {
        volume.give_back(other.slot.first(bits))?;
    }
    if directory && !same { point_up(volume, &entry, target.first()) } else { Ok(()) }
}

/// Makes a moved directory's `..` mean its new parent; where it is missing, that slot belongs to something else.
fn point_up(volume: &mut Volume<'_>, entry: &Entry, parent: u32) -> Result<()> {
    let first = entry.slot.first(volume.geometry.bits);
    let bytes = volume.read(first, SLOT as u64, SLOT as u32)?;
    let mut slot = Slot([0; SLOT]);
    put(&mut slot.0, 0, &bytes);
    if slot.short() != *b"..         " {
        return Ok(());
    }
    slot.set_first(parent);
    volume.write(&[first], SLOT as u64, &slot.0)
}
