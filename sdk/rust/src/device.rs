//! The device, with what was read last kept: a crossing into the host costs more than a copy.

use crate::bytes::field;
use crate::{Blob, Error, READ_MOST, Result};
use std::collections::HashMap;

/// Bytes that are read together.
const WINDOW: u64 = 64 << 10;
/// Windows that are kept, 16 MiB.
const WINDOWS_MOST: usize = 1 << 8;

/// A file system's device. Writing is counted, so that a change that failed half-way is told from one that did nothing.
pub struct Device<'a> {
    blob: Box<dyn Blob + 'a>,
    windows: HashMap<u64, Vec<u8>>,
    changes: u64,
}

impl<'a> Device<'a> {
    /// A device of which nothing is known yet.
    pub fn new(blob: Box<dyn Blob + 'a>) -> Self {
        Self { blob, windows: HashMap::new(), changes: 0 }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    /// How often something was written.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn check(&self, offset: u64, length: u64) -> Result<()> {
        match offset.checked_add(length).is_some_and(|end| end <= self.size()) {
            true => Ok(()),
            false => Err(Error::corrupt(offset, format!("{length} bytes lie beyond the end of the device"))),
        }
    }

    /// `length` bytes, at most [`READ_MOST`]; they and what lies around them are kept.
    ///
    /// # Errors
    /// Bytes beyond the end, and what the device says.
    pub fn get(&mut self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.check(offset, length.into())?;
        if u64::from(length) > WINDOW || length > READ_MOST {
            return self.blob.read(offset, length.min(READ_MOST));
        }
        let (mut at, end) = (offset, offset + u64::from(length));
        let mut bytes = Vec::with_capacity(length as usize);
        while at < end {
            let number = at / WINDOW;
            if !self.windows.contains_key(&number) {
                if self.windows.len() >= WINDOWS_MOST {
                    self.windows.clear();
                }
                let start = number * WINDOW;
                let window = self.blob.read(start, (self.size() - start).min(WINDOW) as u32)?;
                self.windows.insert(number, window);
            }
            let within = at % WINDOW;
            let take = (WINDOW - within).min(end - at);
            let window = self.windows.get(&number).map(Vec::as_slice).unwrap_or_default();
            bytes.extend_from_slice(field(window, within as usize, take as usize));
            at += take;
        }
        Ok(bytes)
    }

    /// Content of files, at most [`READ_MOST`] bytes; it is not kept.
    ///
    /// # Errors
    /// As for [`Device::get`].
    pub fn pass(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.check(offset, u64::from(length.min(READ_MOST)))?;
        self.blob.read(offset, length.min(READ_MOST))
    }

    /// Writes.
    ///
    /// # Errors
    /// As for [`Device::get`].
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        self.changes += 1;
        let end = offset + bytes.len() as u64;
        self.windows.retain(|number, _| number * WINDOW >= end || (number + 1) * WINDOW <= offset);
        self.blob.write(offset, bytes)
    }
}
