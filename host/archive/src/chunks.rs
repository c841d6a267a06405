//! Reads chunks by their ids.

use crate::archive::Archive;
use crate::chunk::{Id, Kind, Unpacker};
use crate::index::{self, Found, Index};
use crate::pack;
use crate::store::Reader;
use crate::tree::Lists;
use crate::{Error, ErrorKind, Result};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Packs that are held open.
const OPEN: usize = 64;

/// A context and a buffer for stored bytes.
struct Desk {
    unpacker: Unpacker,
    stored: Vec<u8>,
}

/// An archive's chunks.
pub(crate) struct Chunks {
    pub archive: Archive,
    pub index: Index,
    /// The archive as it was found when a prune had removed what this index names.
    newer: Mutex<Option<Arc<Chunks>>>,
    readers: Mutex<HashMap<[u8; 32], Arc<dyn Reader>>>,
    desks: Mutex<Vec<Desk>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chunks {
    pub fn open(archive: &Archive) -> Result<Self> {
        Ok(Self::new(archive, Index::open(&archive.keys, archive.store.as_ref())?))
    }

    pub fn new(archive: &Archive, index: Index) -> Self {
        let archive = archive.clone();
        Self { archive, index, newer: Mutex::default(), readers: Mutex::default(), desks: Mutex::default() }
    }

    fn reader(&self, name: &[u8; 32]) -> Result<Arc<dyn Reader>> {
        if let Some(reader) = lock(&self.readers).get(name) {
            return Ok(reader.clone());
        }
        let reader: Arc<dyn Reader> = self.archive.store.open(&pack::key(name))?.into();
        let mut readers = lock(&self.readers);
        if readers.len() >= OPEN {
            readers.clear();
        }
        readers.insert(*name, reader.clone());
        Ok(reader)
    }

    /// Fills `into` with a chunk, whose length it has; every byte is checked against the id. A chunk that is damaged in one
    /// pack is looked for in others, and one that a prune has moved meanwhile where it is now.
    pub fn read(&self, id: &Id, into: &mut [u8]) -> Result<()> {
        let newer = lock(&self.newer).clone();
        if let Some(newer) = newer {
            return newer.read(id, into);
        }
        let read = self.read_here(id, into);
        if !read.as_ref().is_err_and(|e| e.kind == ErrorKind::Corrupt) {
            return read;
        }
        match self.reopened()? {
            Some(newer) => newer.read(id, into),
            None => read,
        }
    }

    /// The archive as it is now, if its index is another than this one.
    fn reopened(&self) -> Result<Option<Arc<Self>>> {
        let mut newer = lock(&self.newer);
        if newer.is_none() {
            let (keys, store) = (&self.archive.keys, self.archive.store.as_ref());
            let known: BTreeSet<&String> = self.index.segments.iter().map(|segment| &segment.key).collect();
            if index::names(store)?.iter().collect::<BTreeSet<_>>() != known {
                *newer = Some(Arc::new(Self::new(&self.archive, Index::open(keys, store)?)));
            }
        }
        Ok(newer.clone())
    }

    fn read_here(&self, id: &Id, into: &mut [u8]) -> Result<()> {
        let Some(found) = self.index.find(id)? else {
            return Err(Error::corrupt(format!("chunk {id} is not in the archive")));
        };
        let mut read = self.read_from(&found, id, into);
        if !read.as_ref().is_err_and(|e| e.kind == ErrorKind::Corrupt) {
            return read;
        }
        let mut others = Vec::new();
        self.index.places(id, &mut |other| {
            others.push(other);
            true
        })?;
        for other in others.iter().filter(|other| other.record != found.record) {
            if self.read_from(other, id, into).is_ok() {
                read = Ok(());
                break;
            }
        }
        read
    }

    fn read_from(&self, found: &Found, id: &Id, into: &mut [u8]) -> Result<()> {
        let pack = self.index.pack(&self.archive.keys, found)?;
        let reader = self.reader(&pack.name).map_err(|e| match e.kind {
            ErrorKind::Missing => {
                Error::corrupt(format!("chunk {id} was in {}, which is missing", pack::key(&pack.name)))
            }
            _ => e,
        })?;
        let length = found.record.stored as usize;
        if length > into.len() + (64 << 10) {
            return Err(Error::corrupt(format!("chunk {id}: the index gives it {length} stored bytes")));
        }
        let desk = lock(&self.desks).pop();
        let mut desk = match desk {
            Some(desk) => desk,
            None => Desk { unpacker: Unpacker::new()?, stored: Vec::new() },
        };
        desk.stored.resize(length, 0);
        reader.read_at(found.record.offset.into(), &mut desk.stored)?;
        let read = desk.unpacker.unpack(&self.archive.keys, &pack.cipher, &mut desk.stored, id, into);
        lock(&self.desks).push(desk);
        read.map_err(|e| Error::new(e.kind, format!("{} in {}", e.context, pack::key(&pack.name))))
    }
}

impl Lists for Chunks {
    fn chunk(&self, id: &Id, _kind: Kind, into: &mut [u8]) -> Result<()> {
        self.read(id, into)
    }
}
