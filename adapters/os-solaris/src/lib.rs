//! Solaris and illumos guests: what system lives in the volumes, and the edits that let it boot on other hardware.

mod adapt;
mod aliases;
pub mod archive;
mod boot;
pub mod cpio;
mod devices;
mod files;
pub mod filestat;
pub mod gzip;
pub mod hsfs;
mod identify;
pub mod image;
mod instances;
mod menu;
mod metadevices;
mod mounts;
mod names;
mod network;
mod place;
pub mod probe;
mod release;
mod storage;
mod tables;
mod vfstab;
mod work;
mod zfs;
mod zones;

use wherry_sdk::source::{Adaptation, OperatingSystem};
use wherry_sdk::{DeviceProfile, Fact, Result, SourceOs, Tree};

/// The adapter.
pub struct Solaris;

impl SourceOs for Solaris {
    fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
        identify::identify(guest)
    }
    fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
        adapt::adapt(guest, profile, options)
    }
}

wherry_sdk::register_source_os!(Solaris, "../adapter.toml");
