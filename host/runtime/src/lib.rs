//! The only user of wasmtime: finds adapters, checks and loads them, bounds them, and hides them behind plain types.

mod adapters;
mod check;
mod error;
mod instance;
mod job;
mod limits;
mod manifest;
mod state;
mod wit;

pub use adapters::{Adapter, Adapters};
pub use error::{Error, ErrorKind, Result};
pub use instance::{Definition, FileSystem, FormatReader, FormatWriter, Source, Target, Volumes};
pub use job::{Cost, Job};
pub use limits::Limits;
pub use manifest::{Asks, Kind, Manifest, origin};
pub use state::{Answer, Lent, Output, Tree, Web, refusal};

/// The contract's records, as the host sees them.
pub mod contract {
    pub use crate::wit::disk_format::exports::wherry::adapter::format::{
        Codec, Ending, Extent, ImageFacts, Part as ImagePart, Place, Shape, Unit,
    };
    pub use crate::wit::filesystem_driver::exports::wherry::adapter::filesystem::Identity;
    pub use crate::wit::machine_definition::exports::wherry::adapter::definition::{
        Digest, Disk as DefinedDisk, Machine as DefinedMachine, Member, Nic as DefinedNic,
        Place as MemberPlace,
    };
    pub use crate::wit::shared::wherry::adapter::files::{Entry, EntryPage, Kind, Meta, Room};
    pub use crate::wit::shared::wherry::adapter::http::{Request, Response};
    pub use crate::wit::shared::wherry::adapter::tree::{Change, Volume};
    pub use crate::wit::shared::wherry::adapter::types::{
        Concern, DeviceProfile, Error, ErrorKind, Fact, Patch, Range, Severity,
    };
    pub use crate::wit::source_os::exports::wherry::adapter::source::{
        Adaptation, OperatingSystem, Partition,
    };
    pub use crate::wit::target_platform::exports::wherry::adapter::target::{
        DiskNeed, FileSink, Machine, NicNeed, Offer, Shipment, Sink, Upload,
    };
    pub use crate::wit::volume_map::exports::wherry::adapter::volume::{
        Added, Addition, DevicePatch, Layout, Part, Segment,
    };

    /// The device of segments whose bytes are zeroes that lie nowhere.
    pub const ZEROES: u32 = u32::MAX;
}
