//! Windows dynamic disks: the Logical Disk Manager's database on each of them, and what its simple, spanned, striped,
//! mirrored and RAID-5 volumes map to. Everything else is named and refused.
//!
//! Sources: "Linux LDM Documentation" (flatcap.org) and the notes in Linux' `block/partitions/ldm.h`; for disks with a GPT
//! and later records libldm's description. Checked against ldmtool 0.2.5. Numbers are big-endian.

mod database;
mod disk;
mod map;
mod record;
mod volumes;

use wherry_sdk::volume::Layout;
use wherry_sdk::{Blob, Result, VolumeMap};

/// The Logical Disk Manager.
pub struct Ldm;

impl VolumeMap for Ldm {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        let disks = disk::find_all(devices, &mut layout.concerns);
        let groups = database::newest(devices, &disks, &mut layout.concerns);
        volumes::describe(devices, &disks, &groups, &mut layout);
        Ok(layout)
    }
}

wherry_sdk::register_volume_map!(Ldm, "../adapter.toml");
