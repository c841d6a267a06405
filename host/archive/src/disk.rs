//! A disk of a snapshot, to be read like any other: extents without a look at the data, every byte checked.

use crate::chunk::{Id, Kind};
use crate::chunks::Chunks;
use crate::tree::{DiskRecord, LEAF, Lists};
use crate::{Error, Result};
use block::{Disk, Extent};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Leaves that are kept: 32 KiB each.
const LEAVES: usize = 256;
/// Unpacked chunks that are kept, for readers of small ranges.
const CHUNKS: usize = 64;

/// A disk of a snapshot.
pub struct ArchiveDisk {
    chunks: Arc<Chunks>,
    record: DiskRecord,
    root: Vec<Id>,
    leaves: Mutex<Recent<usize, Arc<Vec<Id>>>>,
    plain: Mutex<Recent<Id, Arc<Vec<u8>>>>,
}

/// The newest few of something.
struct Recent<K, V> {
    most: usize,
    values: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + std::hash::Hash, V: Clone> Recent<K, V> {
    fn new(most: usize) -> Self {
        Self { most, values: HashMap::new(), order: VecDeque::new() }
    }
    fn get(&self, key: &K) -> Option<V> {
        self.values.get(key).cloned()
    }
    fn put(&mut self, key: K, value: V) {
        if self.values.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn disk_error(e: Error) -> block::Error {
    block::Error::new(e.context)
}

impl ArchiveDisk {
    pub(crate) fn open(chunks: Arc<Chunks>, record: &DiskRecord) -> Result<Self> {
        let root = chunks.list(&record.check()?, Kind::Root, record.leaves())?;
        let (leaves, plain) = (Mutex::new(Recent::new(LEAVES)), Mutex::new(Recent::new(CHUNKS)));
        Ok(Self { chunks, record: record.clone(), root, leaves, plain })
    }

    /// How many leaves there are.
    pub(crate) fn leaves(&self) -> usize {
        self.root.len()
    }

    /// Ids of the chunks of a leaf.
    pub(crate) fn leaf(&self, leaf: usize) -> Result<Arc<Vec<Id>>> {
        if let Some(list) = lock(&self.leaves).get(&leaf) {
            return Ok(list);
        }
        let list = Arc::new(self.chunks.list(&self.root[leaf], Kind::Leaf, self.record.slots(leaf))?);
        lock(&self.leaves).put(leaf, list.clone());
        Ok(list)
    }

    fn id(&self, chunk: u64) -> Result<Id> {
        let leaf = self.leaf((chunk / LEAF as u64) as usize)?;
        Ok(leaf[(chunk % LEAF as u64) as usize])
    }

    /// Fills `into` from a chunk's byte `from`.
    fn read_chunk(&self, chunk: u64, from: usize, into: &mut [u8]) -> Result<()> {
        let id = self.id(chunk)?;
        if id == Id::ZERO {
            into.fill(0);
            return Ok(());
        }
        let length = self.record.length(chunk);
        if into.len() == length {
            return self.chunks.read(&id, into);
        }
        let kept = lock(&self.plain).get(&id);
        let plain = match kept {
            Some(plain) => plain,
            None => {
                let mut plain = vec![0; length];
                self.chunks.read(&id, &mut plain)?;
                let plain = Arc::new(plain);
                lock(&self.plain).put(id, plain.clone());
                plain
            }
        };
        into.copy_from_slice(&plain[from..from + into.len()]);
        Ok(())
    }
}

impl Disk for ArchiveDisk {
    fn length(&self) -> u64 {
        self.record.size
    }

    fn sector_size(&self) -> u32 {
        self.record.sector_size
    }

    fn is_checked(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> block::Result<()> {
        block::within(self.length(), offset, buffer.len())?;
        let size = u64::from(self.record.chunk_size);
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let (chunk, from) = (at / size, (at % size) as usize);
            let take = (self.record.length(chunk) - from).min(buffer.len() - done);
            let into = &mut buffer[done..done + take];
            let named =
                |e: Error| Error::new(e.kind, format!("{} at byte {at}: {}", self.record.name, e.context));
            self.read_chunk(chunk, from, into).map_err(named).map_err(disk_error)?;
            done += take;
        }
        Ok(())
    }

    fn extents(&self, start: u64, length: u64) -> block::Result<Vec<Extent>> {
        let end = block::span(self.length(), start, length)?;
        let size = u64::from(self.record.chunk_size);
        let mut list = Vec::new();
        let mut at = start;
        while at < end {
            let chunk = at / size;
            let leaf = (chunk / LEAF as u64) as usize;
            let (zero, to) = match self.root[leaf] == Id::ZERO {
                true => (true, (leaf as u64 + 1) * LEAF as u64 * size),
                false => (self.id(chunk).map_err(disk_error)? == Id::ZERO, (chunk + 1) * size),
            };
            let to = to.min(end);
            let kind = if zero { block::Kind::Zero } else { block::Kind::Data };
            block::push(&mut list, at, to - at, kind);
            at = to;
        }
        Ok(list)
    }
}
