//! One error for everything that can go wrong with an adapter.

use std::fmt;

/// What went wrong, as the host branches on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No adapter has this id.
    Unknown,
    /// The file is not an adapter, or not one for this host.
    Unfit,
    /// A right was missing.
    Denied,
    /// The adapter trapped.
    Trap,
    /// A call took too long.
    Deadline,
    /// A limit of the sandbox is exhausted.
    Limit,
    /// The adapter answered something that cannot be.
    Answer,
    /// The adapter returned an error: not its fault.
    Refused,
    /// The host could not read or write.
    Io,
}

/// Names the adapter, the call and the reason.
#[derive(Debug)]
pub struct Error {
    /// For branching.
    pub kind: ErrorKind,
    /// The adapter's id, or the file's name.
    pub adapter: String,
    /// `filesystem.mount`, or `load`.
    pub call: &'static str,
    /// What, where and what next.
    pub message: String,
    /// The contract's own error kind, where the adapter returned one: `not-found`, `dirty` ...
    pub code: Option<&'static str>,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        adapter: &str,
        call: &'static str,
        message: impl fmt::Display,
    ) -> Self {
        Self { kind, adapter: adapter.into(), call, message: message.to_string(), code: None }
    }

    /// The host's own word about a call, not an adapter's.
    pub fn host(call: &'static str, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Io, "host", call, message)
    }

    /// Whether the adapter itself is at fault (trap, timeout, limit, nonsense): exit code 4.
    pub fn is_fault(&self) -> bool {
        !matches!(self.kind, ErrorKind::Refused | ErrorKind::Io | ErrorKind::Denied | ErrorKind::Unknown)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "adapter {}, {}: {}", self.adapter, self.call, self.message)
    }
}

impl std::error::Error for Error {}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;
