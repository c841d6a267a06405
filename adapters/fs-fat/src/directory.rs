//! One directory in memory: its slots, where they lie on the device, and changes of them.

use crate::boot::Root;
use crate::entry::{self, DELETED, Entry, SLOT, Slot};
use crate::name::{self, Short};
use crate::volume::Volume;
use std::collections::BTreeSet;
use std::ops::Range;
use wherry_sdk::bytes::put;
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result};

/// 65,536 slots (fatgen103, "FAT Directory Structure"); Linux stops there, too.
pub const BYTES_MOST: u64 = 2 << 20;

/// A directory's slots.
pub struct Directory {
    /// Clusters of this directory and of those above it, outermost first; zero is the root directory.
    pub path: Vec<u32>,
    /// Empty for the root directory of FAT12 and FAT16.
    clusters: Vec<u32>,
    bytes: Vec<u8>,
}

impl Directory {
    pub fn root(volume: &mut Volume<'_>) -> Result<Self> {
        match volume.geometry.root {
            Root::Chain(first) => Self::load(volume, vec![0], first),
            Root::Fixed { offset, length } => {
                let device = volume.device.get();
                let mut bytes = Vec::with_capacity(length as usize);
                while (bytes.len() as u64) < length {
                    let piece = (length - bytes.len() as u64).min(u64::from(READ_MOST));
                    bytes.extend(device.read(offset + bytes.len() as u64, piece as u32)?);
                }
                Ok(Self { path: vec![0], clusters: Vec::new(), bytes }.cut())
            }
        }
    }

    /// The directory of an entry of this one.
    pub fn child(&self, volume: &mut Volume<'_>, entry: &Entry) -> Result<Self> {
        let first = entry.slot.first(volume.geometry.bits);
        let is_root = volume.geometry.root == Root::Chain(first);
        if self.path.contains(&first) || is_root {
            let message = format!("directory {} lies within itself", entry.name);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let path = self.path.iter().copied().chain([first]).collect();
        Self::load(volume, path, first).map_err(|e| e.within(&format!("directory {}", entry.name)))
    }

    /// The directory whose chain starts at `first`; `path` as in [`Directory::path`].
    pub fn load(volume: &mut Volume<'_>, path: Vec<u32>, first: u32) -> Result<Self> {
        let size = volume.geometry.cluster;
        let clusters = volume.chain(first, BYTES_MOST.div_ceil(size))?;
        let (length, mut bytes) = (clusters.len() as u64 * size, Vec::new());
        while (bytes.len() as u64) < length {
            let piece = (length - bytes.len() as u64).min(u64::from(READ_MOST));
            bytes.extend(volume.read(first, bytes.len() as u64, piece as u32)?);
        }
        Ok(Self { path, clusters, bytes }.cut())
    }

    /// What lies behind the first unused slot means nothing.
    fn cut(mut self) -> Self {
        let end = self.bytes.chunks_exact(SLOT).position(|slot| slot.first() == Some(&0));
        if let Some(rest) = end.and_then(|end| self.bytes.get_mut(end * SLOT..)) {
            rest.fill(0);
        }
        self
    }

    /// What `..` of its children says.
    pub fn first(&self) -> u32 {
        self.path.last().copied().unwrap_or_default()
    }

    pub fn entries(&self) -> Vec<Entry> {
        entry::entries(&self.bytes)
    }

    pub fn label(&self) -> Option<String> {
        entry::label(&self.bytes)
    }

    pub fn find(&self, name: &str) -> Option<Entry> {
        // Names shown with U+FFFD stand for others that no path can hold.
        let folded = Some(name).filter(|name| !name.contains('\u{fffd}')).map(name::folded)?;
        self.entries().into_iter().find(|entry| entry.is_called(&folded))
    }

    /// Byte of the device where a slot lies.
    pub fn offset(&self, volume: &Volume<'_>, slot: usize) -> Result<u64> {
        let at = (slot * SLOT) as u64;
        if let Root::Fixed { offset, .. } = volume.geometry.root
            && self.clusters.is_empty()
        {
            return Ok(offset + at);
        }
        let index = (at / volume.geometry.cluster) as usize;
        let cluster = self.clusters.get(index).copied().unwrap_or_default();
        Ok(volume.offset(cluster)? + at % volume.geometry.cluster)
    }

    /// Frees slots in memory; [`Directory::store`] writes them.
    pub fn erase(&mut self, slots: Range<usize>) {
        for slot in slots {
            put(&mut self.bytes, slot * SLOT, &[DELETED]);
        }
    }

    /// Replaces a slot in memory.
    pub fn replace(&mut self, place: usize, slot: &Slot) {
        put(&mut self.bytes, place * SLOT, &slot.0);
    }

    /// Writes slots as they are in memory.
    pub fn store(&self, volume: &Volume<'_>, slots: Range<usize>) -> Result<()> {
        for slot in slots {
            let Some(bytes) = self.bytes.get(slot * SLOT..(slot + 1) * SLOT) else { break };
            volume.device.get().write(self.offset(volume, slot)?, bytes)?;
        }
        Ok(())
    }

    /// Adds an entry and writes it: nothing has changed where that fails. Returns what it is now.
    pub fn insert(&mut self, volume: &mut Volume<'_>, name: &str, slot: &Slot) -> Result<Entry> {
        name::check(name)?;
        let taken: BTreeSet<Short> = self.entries().iter().map(|entry| entry.slot.short()).collect();
        let (short, long) = name::short(name, &taken)?;
        let mut slot = *slot;
        slot.set_short(&short);
        let new = entry::slots(name, long, &slot);
        let count = new.len() / SLOT;
        let start = match self.room(count) {
            Some(start) => start,
            None => self.grow(volume, count)?,
        };
        put(&mut self.bytes, start * SLOT, &new);
        // One more: where the entry took the place of the end, the end is behind it now.
        self.store(volume, start..start + count + 1)?;
        Ok(Entry { name: name.into(), slot, slots: start..start + count })
    }

    /// The first of `count` free slots in a row.
    fn room(&self, count: usize) -> Option<usize> {
        let mut free = 0;
        for (index, slot) in self.bytes.chunks_exact(SLOT).enumerate() {
            free = if matches!(slot.first(), Some(&(0 | DELETED))) { free + 1 } else { 0 };
            if free == count {
                return Some(index + 1 - count);
            }
        }
        None
    }

    /// Adds clusters of zeroes, so that `count` slots find room; returns the first of them.
    fn grow(&mut self, volume: &mut Volume<'_>, count: usize) -> Result<usize> {
        let full = |why: &str| Err(Error::new(ErrorKind::NoSpace, format!("the directory is full: {why}")));
        let used =
            self.bytes.chunks_exact(SLOT).rposition(|slot| !matches!(slot.first(), Some(&(0 | DELETED))));
        let start = used.map_or(0, |last| last + 1);
        let size = volume.geometry.cluster;
        let length = ((start + count) * SLOT) as u64;
        let Some(last) = self.clusters.last().copied() else {
            return full("the root directory of FAT12 and FAT16 cannot grow");
        };
        if length > BYTES_MOST {
            return full("it has 65536 slots");
        }
        let more = length.div_ceil(size).saturating_sub(self.clusters.len() as u64);
        let taken = volume.take(Some(last), more)?;
        volume.write(&taken, 0, &vec![0; (more * size) as usize])?;
        self.bytes.resize(self.bytes.len() + (more * size) as usize, 0);
        self.clusters.extend(taken);
        Ok(start)
    }
}
