//! The image archive: whole machines as content-addressed chunks in packs, described by snapshots.
//! The format is in `docs/formats/archive.md`.

mod archive;
mod bucket;
mod capture;
mod chunk;
mod chunks;
mod cloud;
mod config;
mod copy;
mod disk;
mod error;
mod index;
mod kept;
mod keys;
mod local;
mod marks;
mod pack;
mod prune;
mod reach;
mod repair;
mod retention;
mod seal;
mod segment;
mod snapshot;
mod store;
mod tree;
mod verify;
mod writer;

pub use archive::Archive;
pub use capture::{About, Options, Progress, Source, Tell};
pub use cloud::Cloud;
pub use config::{Config, Settings};
pub use disk::ArchiveDisk;
pub use error::{Error, ErrorKind, Result};
pub use keys::{Secret, Slot};
pub use local::Local;
pub use prune::{PruneOptions, Pruned};
pub use reach::Affected;
pub use repair::Repaired;
pub use retention::{Retention, date};
pub use snapshot::{Added, Snapshot};
pub use store::{Object, Reader, Store, open};
pub use tree::DiskRecord;
pub use verify::{Damage, TellBytes, Verified, VerifyOptions};
