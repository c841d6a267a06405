//! The image archive: whole machines as content-addressed chunks in packs, described by snapshots.
//! The format is in `docs/formats/archive.md`.

mod error;
mod local;
mod store;

pub use error::{Error, ErrorKind, Result};
pub use local::Local;
pub use store::{Object, Reader, Store};
