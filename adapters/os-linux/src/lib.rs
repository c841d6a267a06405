//! Linux guests: what system lives in the volumes, and the edits that let it boot on other hardware.

mod adapt;
mod boot;
mod cards;
mod cmdline;
mod consoles;
mod deferred;
mod devices;
mod display;
mod drivers;
mod entries;
mod files;
mod firmware;
mod fstab;
mod grub;
mod identify;
mod ifcfg;
pub mod initramfs;
mod interfaces;
mod kernels;
mod lilo;
mod loaders;
mod modprobe;
mod modules;
mod mounts;
mod network;
mod pe;
mod persist;
mod release;
mod storage;
mod tools;
mod unified;
mod volumes;
mod work;

use wherry_sdk::source::{Adaptation, OperatingSystem};
use wherry_sdk::{DeviceProfile, Fact, Result, SourceOs, Tree};

/// The adapter.
pub struct Linux;

impl SourceOs for Linux {
    fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
        identify::identify(guest)
    }
    fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
        adapt::adapt(guest, profile, options)
    }
}

wherry_sdk::register_source_os!(Linux, "../adapter.toml");
