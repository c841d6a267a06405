//! What went wrong, and what kind of thing that is.

use std::fmt;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such archive, snapshot or object.
    Missing,
    /// It is there already.
    Exists,
    /// Bytes are not what they were when they were written.
    Corrupt,
    /// The password or key file opens nothing here, or none was given.
    Key,
    /// Made by a newer program, or beyond what the format holds.
    Unsupported,
    /// The store (file system, object store) refused.
    Store,
    /// The disk could not be read.
    Source,
    /// Another writer was in the way; the same call again will do.
    Raced,
    /// Asked to stop.
    Cancelled,
}

/// An error of the archive.
#[derive(Debug)]
pub struct Error {
    /// Its kind.
    pub kind: ErrorKind,
    /// What, where, and what next.
    pub context: String,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into() }
    }
    pub(crate) fn corrupt(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, context)
    }
    pub(crate) fn store(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Store, format!("{what}: {why}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {}

impl From<block::Error> for Error {
    fn from(e: block::Error) -> Self {
        Self::new(ErrorKind::Source, e.context)
    }
}
