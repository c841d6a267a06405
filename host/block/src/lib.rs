//! A disk is length + extents + read + write + flush.

mod aes;
mod buffer;
pub mod changes;
mod codec;
mod encrypted;
mod extents;
mod file;
mod mapped;
mod masked;
mod memory;
mod mirrored;
mod overlay;
mod ranges;
mod sealed;
mod sectored;
mod segments;
mod walk;
mod zeroes;

pub use buffer::{ALIGN, Buffer};
pub use codec::Codec;
pub use encrypted::Encrypted;
pub use extents::{Extent, Kind, is_zero, push};
pub use file::FileDisk;
pub use mapped::{ExtentMap, MapExtent, MappedDisk, Place};
pub use masked::Masked;
pub use memory::MemoryDisk;
pub use mirrored::Mirrored;
pub use overlay::Overlay;
pub use ranges::Ranges;
pub use sealed::{Key, Sealed};
pub use sectored::Sectored;
pub use segments::{Piece, Segments};
pub use walk::{Step, Walk, fill};
pub use zeroes::Zeroes;

use std::fmt;

/// Bytes of a sector where nothing else is known.
pub const SECTOR: u32 = 512;

/// Zeroes that are written at once.
const ZEROES: usize = 1 << 20;

/// What could not be done with a disk.
#[derive(Debug)]
pub struct Error {
    /// What was tried, and where.
    pub context: String,
    /// The system's word.
    pub source: Option<std::io::Error>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that the system has no word on.
    pub fn new(context: impl Into<String>) -> Self {
        Self { context: context.into(), source: None }
    }
    fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Self { context: format!("{}: {source}", context.into()), source: Some(source) }
    }
}

/// Refuses a range that does not lie within `length` bytes.
pub fn within(length: u64, offset: u64, size: usize) -> Result<()> {
    if offset.checked_add(size as u64).is_none_or(|end| end > length) {
        return Err(Error::new(format!("range {offset}+{size} lies beyond the disk's end at {length}")));
    }
    Ok(())
}

/// The end of a range, which must lie within `length` bytes.
pub fn span(length: u64, start: u64, size: u64) -> Result<u64> {
    let beyond = || Error::new(format!("range {start}+{size} lies beyond the disk's end at {length}"));
    start.checked_add(size).filter(|end| *end <= length).ok_or_else(beyond)
}

/// Random-access bytes of fixed length. Implementations check every range and never panic on one.
pub trait Disk: Send + Sync {
    /// Bytes.
    fn length(&self) -> u64;
    /// Logical sector size in bytes: what partition tables count. 512 unless the disk knows better.
    fn sector_size(&self) -> u32 {
        SECTOR
    }
    /// Whether every read compares what it reads with a digest that was made when it was stored.
    fn is_checked(&self) -> bool {
        false
    }
    /// Fills `buffer` from `offset`; a range beyond the end is an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Writes `bytes` at `offset`; a range beyond the end is an error.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Err(Error {
            context: format!("write {} bytes at {offset}: this disk is read-only", bytes.len()),
            source: None,
        })
    }
    /// Makes a range read as zeroes; a range beyond the end is an error. Disks that can do it without sending the
    /// zeroes do.
    fn zero(&self, offset: u64, length: u64) -> Result<()> {
        let end = span(self.length(), offset, length)?;
        let zeroes = vec![0; length.min(ZEROES as u64) as usize];
        (offset..end).step_by(ZEROES).try_for_each(|at| {
            let take = (end - at).min(ZEROES as u64);
            self.write_at(at, &zeroes[..take as usize])
        })
    }
    /// Makes what was written durable.
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    /// What the range holds, in order and without gaps. A disk that cannot tell says that all of it is data.
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        span(self.length(), start, length)?;
        let mut list = Vec::new();
        push(&mut list, start, length, Kind::Data);
        Ok(list)
    }
}
