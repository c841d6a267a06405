//! What an adapter author sees: one trait for each world, a `register_*!` macro that turns an implementation into a
//! component, and the same traits natively, so that an adapter is tested with `cargo test` before it is ever Wasm.
//!
//! An adapter is a library crate: `crate-type = ["cdylib", "rlib"]`, its logic against [`Blob`], [`Tree`] or
//! [`Output`], and one line such as `wherry_sdk::register_disk_format!(Raw, "../adapter.toml");`.

pub mod bindings;
pub mod bits;
pub mod bytes;
pub mod checksum;
pub mod claim;
mod device;
pub mod guest;
mod host;
pub mod image;
mod locked;
pub mod others;
pub mod path;
pub mod platform;
pub mod raid;
mod ranges;
mod register;
mod segments;
#[cfg(unix)]
pub mod testing;
mod traits;
mod writing;

pub use bindings::imports::wherry::adapter::files::{Entry, EntryPage, Kind, Meta, Room};
pub use bindings::imports::wherry::adapter::tree::{Change, Volume};
pub use bindings::imports::wherry::adapter::types::{
    Concern, DeviceProfile, Error, ErrorKind, Fact, Patch, Range, Severity,
};
pub use device::Device;
pub use host::{HostHttp, HostOutput, Level, NoHttp, cancelled, log, now_unix, progress};
pub use locked::{Encrypted, Locked};
pub use ranges::Ranges;
pub use register::*;
pub use traits::*;
pub use writing::Writing;

/// Types of the `disk-format` world.
pub mod format {
    pub use crate::bindings::disk_format::exports::wherry::adapter::format::{
        Codec, Ending, Extent, ImageFacts, Part, Patch, Place, Shape, Unit,
    };
}
/// Types of the `volume-map` world.
pub mod volume {
    pub use crate::bindings::volume_map::exports::wherry::adapter::volume::{
        Added, Addition, DevicePatch, Layout, Part, Segment,
    };
    pub use crate::segments::{ZEROES, join, slice, total};
}
/// Types of the `filesystem-driver` world.
pub mod filesystem {
    pub use crate::bindings::filesystem_driver::exports::wherry::adapter::filesystem::Identity;
}
/// Types of the `machine-definition` world.
pub mod definition {
    pub use crate::bindings::machine_definition::exports::wherry::adapter::definition::{
        Digest, Disk, Machine, Member, Nic, Place,
    };
}
/// Types of the `source-os` world.
pub mod source {
    pub use crate::bindings::source_os::exports::wherry::adapter::source::{
        Adaptation, OperatingSystem, Partition,
    };
}
/// Types of the `target-platform` world.
pub mod target {
    pub use crate::bindings::target_platform::exports::wherry::adapter::target::{
        DiskNeed, FileSink, Machine, NicNeed, Offer, Shipment, Sink, Upload,
    };
}
/// Requests and answers.
pub mod http {
    pub use crate::bindings::imports::wherry::adapter::http::{Request, Response};
}

/// What every call returns.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// An error without a place; `message` is a lower-case phrase: what, where and what next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), at: None }
    }

    /// The bytes contradict their format, at byte `at` of the object that was being read.
    pub fn corrupt(at: u64, message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Corrupt, message: message.into(), at: Some(at) }
    }

    /// Understood, but not something this adapter does.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn within(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

/// A fact from anything that prints.
pub fn fact(key: impl Into<String>, value: impl ToString) -> Fact {
    Fact { key: key.into(), value: value.to_string() }
}

/// The value of the first fact called `key`.
pub fn find<'a>(facts: &'a [Fact], key: &str) -> Option<&'a str> {
    facts.iter().find(|fact| fact.key == key).map(|fact| fact.value.as_str())
}

/// A concern; `id` is stable, such as `linux.fstab.unknown-device`.
pub fn concern(severity: Severity, id: &str, message: impl Into<String>, remedy: Option<&str>) -> Concern {
    Concern { id: id.into(), severity, message: message.into(), remedy: remedy.map(Into::into) }
}
