//! The device, with the metadata that was read last kept: a crossing into the host costs more than a copy.

use std::collections::HashMap;
use std::rc::Rc;
use wherry_sdk::{Blob, Error, READ_MOST, Result};

/// Bytes that are read together: inodes and directories lie in rows.
const WINDOW: u64 = 32 << 10;
/// Windows that are kept, 32 MiB.
const WINDOWS_MOST: usize = 1 << 10;

/// The device.
pub struct Device {
    blob: Box<dyn Blob>,
    windows: HashMap<u64, Rc<Vec<u8>>>,
}

impl Device {
    /// A device of which nothing is known yet.
    pub fn new(blob: Box<dyn Blob>) -> Self {
        Self { blob, windows: HashMap::new() }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    fn window(&mut self, number: u64) -> Result<Rc<Vec<u8>>> {
        if let Some(window) = self.windows.get(&number) {
            return Ok(Rc::clone(window));
        }
        if self.windows.len() >= WINDOWS_MOST {
            self.windows.clear();
        }
        let start = number.saturating_mul(WINDOW);
        let length = self.blob.size().saturating_sub(start).min(WINDOW);
        let window = Rc::new(self.blob.read(start, length as u32)?);
        self.windows.insert(number, Rc::clone(&window));
        Ok(window)
    }

    /// `length` bytes of metadata, at most [`READ_MOST`].
    pub fn get(&mut self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let end = offset.saturating_add(u64::from(length));
        if end > self.size() || length > READ_MOST {
            return Err(Error::corrupt(offset, format!("{length} bytes lie beyond the end of the device")));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        let mut at = offset;
        while at < end {
            let window = self.window(at / WINDOW)?;
            let within = at % WINDOW;
            let take = (WINDOW - within).min(end - at);
            bytes.extend_from_slice(crate::bytes::field(&window, within as usize, take as usize));
            at += take;
        }
        Ok(bytes)
    }

    /// `length` bytes of a file's content.
    pub fn content(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.blob.read(offset, length)
    }
}
