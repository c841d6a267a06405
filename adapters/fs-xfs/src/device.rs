//! The device, with the metadata that was read last kept: a crossing into the host costs more than a copy. Changed
//! metadata waits here for [`Device::flush`]; the host's overlay makes the order unimportant. File content goes past it.

use crate::bytes::field;
use crate::superblock::Superblock;
use std::collections::HashMap;
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};

/// Bytes that are read together: inodes and directories lie in rows.
const WINDOW: u64 = 32 << 10;
/// Windows that are kept, 32 MiB.
const WINDOWS_MOST: usize = 1 << 10;
/// Bytes that one bit of [`Window::changed`] stands for.
const PIECE: usize = (WINDOW / 64) as usize;

#[derive(Clone)]
struct Window {
    bytes: Vec<u8>,
    /// one bit for each [`PIECE`] that the device does not have yet
    changed: u64,
}

/// The device.
pub struct Device {
    blob: Box<dyn Blob>,
    windows: HashMap<u64, Window>,
    /// Changes may be written; else they stay in memory (a log that was replayed for reading).
    writable: bool,
    changes: u64,
}

/// The device and what its superblock says, which go together everywhere.
pub struct Disk {
    pub device: Device,
    pub superblock: Superblock,
}

impl Device {
    /// A device of which nothing is known yet.
    pub fn new(blob: Box<dyn Blob>, writable: bool) -> Self {
        Self { blob, windows: HashMap::new(), writable, changes: 0 }
    }

    /// The device itself, without changes that were not written.
    pub fn blob(&self) -> &dyn Blob {
        self.blob.as_ref()
    }

    /// Forgets changes that were not written.
    pub fn forget(&mut self) {
        self.windows.clear();
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    /// Grows with every change, so that a caller can tell whether an operation that failed had begun to change things.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn make_room(&mut self) -> Result<()> {
        if self.windows.len() < WINDOWS_MOST {
            return Ok(());
        }
        self.flush()?;
        self.windows.retain(|_, window| window.changed != 0);
        if self.windows.len() >= WINDOWS_MOST {
            return Err(Error::new(
                ErrorKind::Limit,
                "the log holds more than fits into memory: mount it for writing",
            ));
        }
        Ok(())
    }

    fn window(&mut self, number: u64) -> Result<&mut Window> {
        if !self.windows.contains_key(&number) {
            self.make_room()?;
            let start = number.saturating_mul(WINDOW);
            let length = self.blob.size().saturating_sub(start).min(WINDOW);
            let bytes = self.blob.read(start, length as u32)?;
            self.windows.insert(number, Window { bytes, changed: 0 });
        }
        let lost = || Error::new(ErrorKind::Failed, "a part of the device that was just read is lost");
        self.windows.get_mut(&number).ok_or_else(lost)
    }

    fn inside(&self, offset: u64, length: usize) -> Result<()> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size()) || length > READ_MOST as usize {
            return Err(Error::corrupt(offset, format!("{length} bytes lie beyond the end of the device")));
        }
        Ok(())
    }

    /// `length` bytes of metadata, at most [`READ_MOST`].
    pub fn get(&mut self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.inside(offset, length as usize)?;
        let end = offset + u64::from(length);
        let mut bytes = Vec::with_capacity(length as usize);
        let mut at = offset;
        while at < end {
            let window = self.window(at / WINDOW)?;
            let within = at % WINDOW;
            let take = (WINDOW - within).min(end - at);
            bytes.extend_from_slice(field(&window.bytes, within as usize, take as usize));
            at += take;
        }
        Ok(bytes)
    }

    /// Gives metadata new bytes, at most [`READ_MOST`]. What is the same already is no change.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inside(offset, bytes.len())?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = (at % WINDOW) as usize;
            let piece = (PIECE - within % PIECE).min(bytes.len() - done);
            let new = field(bytes, done, piece);
            let window = self.window(at / WINDOW)?;
            if field(&window.bytes, within, piece) != new {
                crate::bytes::put(&mut window.bytes, within, new);
                window.changed |= 1 << (within / PIECE);
                self.changes += 1;
            }
            done += piece;
        }
        Ok(())
    }

    /// `length` bytes of a file's content.
    pub fn content(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.blob.read(offset, length)
    }

    /// Writes a file's content, at most [`READ_MOST`] bytes.
    pub fn put_content(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inside(offset, bytes.len())?;
        self.changes += 1;
        self.blob.write(offset, bytes)?;
        // What was metadata here before must not come back over it.
        let end = offset + bytes.len() as u64;
        for number in offset / WINDOW..end.div_ceil(WINDOW) {
            let Some(window) = self.windows.get_mut(&number) else { continue };
            let start = number * WINDOW;
            let (from, to) = (offset.max(start), end.min(start + WINDOW));
            let new = field(bytes, (from - offset) as usize, (to - from) as usize);
            crate::bytes::put(&mut window.bytes, (from - start) as usize, new);
        }
        Ok(())
    }

    /// Writes what has changed, if that may be written.
    pub fn flush(&mut self) -> Result<()> {
        if !self.writable {
            return Ok(());
        }
        let mut numbers: Vec<u64> = self
            .windows
            .iter()
            .filter(|(_, window)| window.changed != 0)
            .map(|(number, _)| *number)
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(window) = self.windows.get_mut(&number) else { continue };
            let pieces: Vec<(u64, &[u8])> = window
                .bytes
                .chunks(PIECE)
                .enumerate()
                .filter(|(index, _)| window.changed >> index & 1 == 1)
                .map(|(index, bytes)| (number * WINDOW + (index * PIECE) as u64, bytes))
                .collect();
            self.blob.write_many(&pieces)?;
            window.changed = 0;
        }
        Ok(())
    }
}
