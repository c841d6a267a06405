//! A disk as a tree of two levels: leaves list the ids of 1024 consecutive chunks, the root lists the leaves. Where nothing
//! changed, snapshots share leaves.

use crate::chunk::{Id, Kind};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Chunks in a leaf.
pub(crate) const LEAF: usize = 1024;

/// A disk in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskRecord {
    /// As the source named it.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a logical sector.
    pub sector_size: u32,
    /// Bytes of a chunk.
    pub chunk_size: u32,
    /// 64 hexadecimal digits: the chunk that lists the leaves; all 0 for a disk of zeroes.
    pub root: String,
    /// Bytes in chunks that are not zero.
    pub data: u64,
}

impl DiskRecord {
    /// Chunks, the last one perhaps short.
    pub(crate) fn chunks(&self) -> u64 {
        self.size.div_ceil(self.chunk_size.into())
    }
    pub(crate) fn leaves(&self) -> usize {
        self.chunks().div_ceil(LEAF as u64) as usize
    }
    /// Bytes of a chunk.
    pub(crate) fn length(&self, chunk: u64) -> usize {
        let size = u64::from(self.chunk_size);
        size.min(self.size.saturating_sub(chunk.saturating_mul(size))) as usize
    }
    /// Chunks that a leaf lists.
    pub(crate) fn slots(&self, leaf: usize) -> usize {
        LEAF.min(self.chunks().saturating_sub((leaf * LEAF) as u64) as usize)
    }

    pub(crate) fn check(&self) -> Result<Id> {
        let wrong = |what: &str| Error::corrupt(format!("disk {}: {what}", self.name));
        let size = u64::from(self.chunk_size);
        if !self.chunk_size.is_power_of_two() || !(16 << 10..=4 << 20).contains(&self.chunk_size) {
            return Err(wrong("its chunks have no size that can be"));
        }
        if self.size > size * LEAF as u64 * (crate::chunk::PLAIN_MOST as u64 / 32) {
            return Err(wrong("it is larger than any disk that can be archived"));
        }
        if !self.sector_size.is_power_of_two() || !(512..=4096).contains(&self.sector_size) {
            return Err(wrong("its sectors have no size that can be"));
        }
        crate::pack::name_of(&self.root).map(Id).ok_or_else(|| wrong("its root is no id"))
    }
}

/// A list as the bytes of a chunk.
pub(crate) fn bytes(ids: &[Id]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0).collect()
}

/// The list that such bytes are.
pub(crate) fn ids(bytes: &[u8]) -> Vec<Id> {
    bytes.as_chunks::<32>().0.iter().map(|id| Id(*id)).collect()
}

/// Reads lists: whoever can read chunks.
pub(crate) trait Lists {
    /// The plain bytes of a chunk of this length.
    fn chunk(&self, id: &Id, kind: Kind, into: &mut [u8]) -> Result<()>;

    /// A list with this many ids; a list of zeroes is not stored.
    fn list(&self, id: &Id, kind: Kind, count: usize) -> Result<Vec<Id>> {
        if *id == Id::ZERO {
            return Ok(vec![Id::ZERO; count]);
        }
        let mut list = vec![0; count * 32];
        self.chunk(id, kind, &mut list)?;
        Ok(ids(&list))
    }
}
