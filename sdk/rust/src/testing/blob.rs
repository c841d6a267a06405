//! Blobs in memory and over a file.

use crate::{Blob, Error, ErrorKind, READ_MOST, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// A blob in memory. Clones share their bytes, so that a test can look at what an adapter wrote.
#[derive(Clone)]
pub struct MemoryBlob {
    bytes: Rc<RefCell<Vec<u8>>>,
    writable: bool,
}

impl MemoryBlob {
    /// A writable blob of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: Rc::new(RefCell::new(bytes.into())), writable: true }
    }
    /// A blob that refuses writes.
    pub fn read_only(bytes: impl Into<Vec<u8>>) -> Self {
        Self { writable: false, ..Self::new(bytes) }
    }
    /// A copy of the bytes as they are now.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }
}

/// The range as indices, or the error the host would give.
fn checked(size: u64, offset: u64, length: u64, most: u64) -> Result<()> {
    if length > most {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("{length} bytes in one call, at most {most} are allowed"),
        ));
    }
    if offset.checked_add(length).is_none_or(|end| end > size) {
        let message = format!("range {offset}+{length} lies beyond the end at {size}");
        return Err(Error { kind: ErrorKind::InvalidInput, message, at: Some(offset) });
    }
    Ok(())
}

impl Blob for MemoryBlob {
    fn size(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        self.writable
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        checked(self.size(), offset, u64::from(length), u64::from(READ_MOST))?;
        Ok(self.bytes.borrow()[offset as usize..][..length as usize].to_vec())
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if !self.writable {
            return Err(Error::new(ErrorKind::Denied, "this blob is read-only"));
        }
        checked(self.size(), offset, bytes.len() as u64, u64::MAX)?;
        self.bytes.borrow_mut()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

const PAGE: u64 = 4096;

/// A part of a file, opened read-only, under an overlay of pages in memory. Clones share the overlay.
#[derive(Clone)]
pub struct FileBlob {
    file: Rc<File>,
    start: u64,
    size: u64,
    pages: Rc<RefCell<BTreeMap<u64, Vec<u8>>>>,
}

impl FileBlob {
    /// The whole file.
    pub fn open(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file: Rc::new(file), start: 0, size, pages: Rc::default() })
    }
    /// `size` bytes of the file from `start`.
    pub fn part(path: impl AsRef<Path>, start: u64, size: u64) -> std::io::Result<Self> {
        Ok(Self { start, size, ..Self::open(path)? })
    }
    /// Writes the overlay's pages into `target`, a copy of the file.
    pub fn apply(&self, target: impl AsRef<Path>) -> std::io::Result<()> {
        let target = File::options().write(true).open(target)?;
        for (number, page) in self.pages.borrow().iter() {
            let length = PAGE.min(self.size - number * PAGE) as usize;
            target.write_all_at(&page[..length], self.start + number * PAGE)?;
        }
        Ok(())
    }
    /// Bytes in the overlay.
    pub fn overlay_bytes(&self) -> u64 {
        self.pages.borrow().len() as u64 * PAGE
    }
    fn page(&self, number: u64) -> Result<Vec<u8>> {
        if let Some(page) = self.pages.borrow().get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE as usize];
        let length = PAGE.min(self.size - number * PAGE) as usize;
        self.file
            .read_exact_at(&mut page[..length], self.start + number * PAGE)
            .map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        Ok(page)
    }
}

impl Blob for FileBlob {
    fn size(&self) -> u64 {
        self.size
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        checked(self.size, offset, u64::from(length), u64::from(READ_MOST))?;
        let mut bytes = Vec::with_capacity(length as usize);
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            let within = (at % PAGE) as usize;
            let take = (PAGE as usize - within).min((end - at) as usize);
            bytes.extend_from_slice(&self.page(at / PAGE)?[within..within + take]);
            at += take as u64;
        }
        Ok(bytes)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        checked(self.size, offset, bytes.len() as u64, u64::MAX)?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let take = (PAGE as usize - within).min(bytes.len() - done);
            let mut page = self.page(at / PAGE)?;
            page[within..within + take].copy_from_slice(&bytes[done..done + take]);
            self.pages.borrow_mut().insert(at / PAGE, page);
            done += take;
        }
        Ok(())
    }
}
