//! A disk is length + extents + read + write + flush.

use std::fmt;

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

/// Random-access bytes of fixed length.
pub trait Disk: Send + Sync {
    /// Bytes.
    fn length(&self) -> u64;
    /// Fills `buffer` from `offset`; the range lies within the disk.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Writes `bytes` at `offset`; the range lies within the disk.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Err(Error { context: format!("write {} bytes at {offset}: this disk is read-only", bytes.len()), source: None })
    }
    /// Makes what was written durable.
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
