//! What can go wrong with a transfer.

use std::fmt;

/// What the caller branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub source: Option<std::io::Error>,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that the system has no word on.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }
    pub(crate) fn io(context: impl fmt::Display, source: std::io::Error) -> Self {
        Self { kind: ErrorKind::Io, context: format!("{context}: {source}"), source: Some(source) }
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
        Self { kind: ErrorKind::Io, context: e.context, source: e.source }
    }
}
