//! Windows guests: what system lives in the volumes, and the edits that let it boot on other hardware without ever having run
//! there.

mod adapt;
mod adapters;
pub mod addreg;
mod arc;
mod bcd;
mod boot;
mod bootini;
pub mod cabinet;
mod cabinets;
mod cards;
pub mod database;
pub mod decoration;
pub mod directories;
mod disks;
mod drivers;
pub mod edit;
mod files;
mod firmware;
mod firstboot;
mod ghosts;
mod hal;
mod hives;
mod identify;
pub mod import;
pub mod inf;
pub mod install;
mod instance;
pub mod loading;
mod media;
mod models;
mod network;
mod nsi;
pub mod package;
mod packages;
mod packed;
mod pairs;
mod place;
mod resource;
mod roles;
mod services;
pub mod signature;
mod started;
mod storage;
mod system;
pub mod szdd;
mod tools;
mod updates;
mod version;
mod work;

use wherry_sdk::source::{Adaptation, OperatingSystem};
use wherry_sdk::{DeviceProfile, Fact, Result, SourceOs, Tree};

/// The adapter.
pub struct Windows;

impl SourceOs for Windows {
    fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
        identify::identify(guest)
    }
    fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
        adapt::adapt(guest, profile, options)
    }
}

wherry_sdk::register_source_os!(Windows, "../adapter.toml");
