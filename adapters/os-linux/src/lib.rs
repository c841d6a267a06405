//! Linux guests: what system lives in the volumes, and the edits that let it boot on other hardware.

mod adapt;
mod bios;
mod boot;
mod cards;
mod cmdline;
mod consoles;
pub mod core_image;
mod deferred;
mod devices;
mod display;
mod drivers;
mod entries;
mod esp;
mod files;
mod firmware;
mod fstab;
mod grub;
pub mod grub_image;
mod identify;
mod ifcfg;
pub mod initramfs;
mod interfaces;
mod kernels;
mod lent;
mod lilo;
mod loaders;
mod menu;
mod modprobe;
mod modules;
mod mounts;
mod network;
mod networkd;
mod pe;
mod persist;
mod place;
mod release;
mod storage;
mod tools;
mod unified;
mod volumes;
mod work;

use wherry_sdk::source::{Adaptation, OperatingSystem, Partition};
use wherry_sdk::{DeviceProfile, Fact, Result, SourceOs, Tree};

/// The adapter.
pub struct Linux;

impl SourceOs for Linux {
    fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
        identify::identify(guest)
    }
    fn partitions(guest: &dyn Tree, profile: &DeviceProfile, _options: &[Fact]) -> Result<Vec<Partition>> {
        Ok(firmware::partitions(guest, profile))
    }
    fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
        adapt::adapt(guest, profile, options)
    }
}

wherry_sdk::register_source_os!(Linux, "../adapter.toml");
