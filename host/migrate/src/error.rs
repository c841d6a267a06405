//! One error for the verbs, with the kind that decides the exit code.

use std::fmt;

/// What the caller branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for makes no sense.
    Usage,
    /// A blocking concern; nothing was written.
    Blocked,
    /// An adapter trapped, ran into a limit or answered nonsense.
    Fault,
    /// The operator stopped the run; the same command goes on.
    Stopped,
    /// Anything else.
    Failed,
}

/// What went wrong: what, where and what next.
#[derive(Debug)]
pub struct Error {
    /// What the caller branches on.
    pub kind: ErrorKind,
    /// What, where and what next.
    pub message: String,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<runtime::Error> for Error {
    fn from(e: runtime::Error) -> Self {
        Self::new(if e.is_fault() { ErrorKind::Fault } else { ErrorKind::Failed }, e.to_string())
    }
}

impl From<block::Error> for Error {
    fn from(e: block::Error) -> Self {
        Self::failed(e.to_string())
    }
}
