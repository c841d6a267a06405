//! What can go wrong with a transfer.

use std::fmt;
use std::io;

/// What the caller branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The target exists already.
    Exists,
    /// Another process writes this target.
    Busy,
    /// The layout asks for what this engine cannot do.
    Unsupported,
    /// The layout contradicts itself.
    Layout,
    /// The target does not hold what was written to it.
    Verify,
    /// The source could not be read.
    Source,
    /// No room left for the target.
    NoSpace,
    /// No right to write the target.
    Denied,
    /// The caller asked to stop; the same call goes on from there.
    Cancelled,
    /// The system said no.
    Io,
}

/// An error, what it concerns, and the system's word.
#[derive(Debug)]
pub struct Error {
    /// What the caller branches on.
    pub kind: ErrorKind,
    /// What, where, what next.
    pub context: String,
    /// The system's word.
    pub source: Option<io::Error>,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that the system has no word on.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }
    pub(crate) fn io(context: impl fmt::Display, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                ErrorKind::NoSpace
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
            io::ErrorKind::ResourceBusy => ErrorKind::Busy,
            _ => ErrorKind::Io,
        };
        Self { kind, context: format!("{context}: {source}"), source: Some(source) }
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
        Self { kind: ErrorKind::Source, context: e.context, source: e.source }
    }
}
