//! Metadata blocks in memory. Changed blocks are written back by [`Device::flush`], or when the cache is full; the
//! host's overlay makes the order unimportant. File content goes past the cache.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};

/// Bytes of blocks that are kept. A crossing into the host costs more than the copy of a few blocks, see `WINDOW`.
const CACHE_MOST: usize = 32 << 20;
/// Neighbours are read together: inode tables, bitmaps and directories lie in rows.
const WINDOW: u64 = 32 << 10;
/// Bytes that a replayed journal may hold in memory when the device must not be written.
const REPLAY_MOST: usize = 64 << 20;

struct Slot {
    bytes: Rc<Vec<u8>>,
    /// Its checksum and structure have been verified.
    checked: bool,
}

/// The device as blocks.
pub struct Device {
    blob: Box<dyn Blob>,
    /// bytes
    block_size: usize,
    /// blocks of the file system
    blocks: u64,
    cache: HashMap<u64, Slot>,
    dirty: BTreeSet<u64>,
    /// Blocks from a journal replayed in memory, which stand for those on the device.
    replayed: HashMap<u64, Rc<Vec<u8>>>,
    changes: u64,
}

impl Device {
    /// `blocks` blocks of `block_size` bytes.
    pub fn new(blob: Box<dyn Blob>, block_size: u32, blocks: u64) -> Self {
        let (cache, dirty, replayed) = Default::default();
        Self { blob, block_size: block_size as usize, blocks, cache, dirty, replayed, changes: 0 }
    }

    /// Length of the whole device in bytes.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    /// Grows with every change, so that a caller can tell whether an operation that failed had begun to change things.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Where block `block` begins, in bytes.
    pub fn offset(&self, block: u64) -> u64 {
        block.saturating_mul(self.block_size as u64)
    }

    fn inside(&self, block: u64, count: u64) -> Result<()> {
        if block.checked_add(count).is_none_or(|end| end > self.blocks) {
            let message =
                format!("block {block} lies beyond the file system's {} blocks: run e2fsck", self.blocks);
            return Err(Error::corrupt(self.offset(block), message));
        }
        Ok(())
    }

    fn load(&mut self, block: u64) -> Result<()> {
        self.inside(block, 1)?;
        if self.cache.contains_key(&block) {
            return Ok(());
        }
        let row = (WINDOW / self.block_size as u64).max(1);
        if (self.cache.len() + row as usize) * self.block_size > CACHE_MOST {
            self.flush()?;
            self.cache.clear();
        }
        let first = block - block % row;
        let end = (first + row).min(self.blocks);
        let bytes = self.blob.read(self.offset(first), ((end - first) as usize * self.block_size) as u32)?;
        for (number, content) in (first..end).zip(bytes.chunks_exact(self.block_size)) {
            let stored = || self.replayed.get(&number).cloned().unwrap_or_else(|| Rc::new(content.to_vec()));
            self.cache.entry(number).or_insert_with(|| Slot { bytes: stored(), checked: false });
        }
        Ok(())
    }

    /// The content of a metadata block.
    pub fn get(&mut self, block: u64) -> Result<Rc<Vec<u8>>> {
        self.load(block)?;
        self.cache.get(&block).map(|slot| Rc::clone(&slot.bytes)).ok_or_else(lost)
    }

    /// A metadata block for changing; the caller renews its checksum.
    pub fn modify(&mut self, block: u64) -> Result<&mut Vec<u8>> {
        self.load(block)?;
        self.changes += 1;
        self.dirty.insert(block);
        self.cache.get_mut(&block).map(|slot| Rc::make_mut(&mut slot.bytes)).ok_or_else(lost)
    }

    /// Gives a metadata block new content, complete with its checksum.
    pub fn replace(&mut self, block: u64, bytes: Vec<u8>) -> Result<()> {
        self.inside(block, 1)?;
        if bytes.len() != self.block_size {
            return Err(lost());
        }
        self.changes += 1;
        if (self.cache.len() + 1) * self.block_size > CACHE_MOST {
            self.flush()?;
            self.cache.clear();
        }
        self.dirty.insert(block);
        self.cache.insert(block, Slot { bytes: Rc::new(bytes), checked: true });
        Ok(())
    }

    /// Whether [`Device::mark_checked`] was called since the block was read.
    pub fn is_checked(&self, block: u64) -> bool {
        self.cache.get(&block).is_some_and(|slot| slot.checked)
    }

    /// Remembers that the block's checksum and structure are right.
    pub fn mark_checked(&mut self, block: u64) {
        if let Some(slot) = self.cache.get_mut(&block) {
            slot.checked = true;
        }
    }

    /// Forgets blocks that are no longer metadata, changed or not.
    pub fn forget(&mut self, block: u64, count: u64) {
        if count > self.cache.len() as u64 {
            let range = block..block.saturating_add(count);
            self.cache.retain(|number, _| !range.contains(number));
            self.dirty.retain(|number| !range.contains(number));
            return;
        }
        for number in block..block.saturating_add(count) {
            self.cache.remove(&number);
            self.dirty.remove(&number);
        }
    }

    /// Forgets everything that was read, for instance after a journal was replayed.
    pub fn forget_all(&mut self) {
        self.cache.clear();
        self.dirty.clear();
    }

    /// `length` bytes of file content, `within` bytes behind the beginning of `block`.
    pub fn read_content(&mut self, block: u64, within: u64, length: u64) -> Result<Vec<u8>> {
        let size = self.block_size as u64;
        self.inside(block, within.saturating_add(length).div_ceil(size))?;
        if self.replayed.is_empty() {
            let length = u32::try_from(length).unwrap_or(u32::MAX).min(READ_MOST);
            return self.blob.read(self.offset(block) + within, length);
        }
        let (mut bytes, mut block, mut within) = (Vec::new(), block, within);
        while (bytes.len() as u64) < length {
            let content = self.get(block + within / size)?;
            within %= size;
            let take = (size - within).min(length - bytes.len() as u64);
            bytes.extend_from_slice(crate::bytes::part(&content, within as usize, take as usize));
            (block, within) = (block + 1, 0);
        }
        Ok(bytes)
    }

    /// Writes file content, whole blocks from `block` on.
    pub fn write_content(&mut self, block: u64, bytes: &[u8]) -> Result<()> {
        let count = (bytes.len() / self.block_size) as u64;
        self.inside(block, count)?;
        self.changes += 1;
        self.forget(block, count);
        self.blob.write(self.offset(block), bytes)
    }

    /// Keeps a block of the journal in memory in place of the device's.
    pub fn overlay(&mut self, block: u64, bytes: Vec<u8>) -> Result<()> {
        self.inside(block, 1)?;
        if (self.replayed.len() + 1) * self.block_size > REPLAY_MOST {
            let message = "the journal holds more than 64 MiB to replay: mount it writable instead";
            return Err(Error::new(ErrorKind::Dirty, message));
        }
        self.replayed.insert(block, Rc::new(bytes));
        Ok(())
    }

    /// Writes changed blocks back, neighbours together.
    pub fn flush(&mut self) -> Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        let piece = |block: &u64| {
            let slot = self.cache.get(block).ok_or_else(lost)?;
            Ok((self.offset(*block), slot.bytes.as_slice()))
        };
        self.blob.write_many(&dirty.iter().map(piece).collect::<Result<Vec<_>>>()?)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Failed, "a metadata block got lost in the cache: report this defect")
}
