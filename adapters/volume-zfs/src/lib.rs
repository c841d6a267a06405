//! Devices of one ZFS pool as one part, for the adapter that reads pools and is given one device: mirrors' sides, raidz' columns,
//! and top-level vdevs, one after the other. Where each begins follows from its label: see
//! [`wherry_zfs::Label::member_length`]. A pool of one device needs no joining and is no part.
//!
//! Sources: those of `wherry-zfs`.

mod member;
mod pool;
mod relabel;

use wherry_sdk::volume::{DevicePatch, Layout};
use wherry_sdk::{Blob, Fact, Result, VolumeMap};

/// ZFS' pools.
pub struct Zfs;

impl VolumeMap for Zfs {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        for members in member::find_all(devices, &mut layout.concerns) {
            pool::describe(&members, &mut layout);
        }
        Ok(layout)
    }

    fn relabel(devices: &[Box<dyn Blob>], facts: &[Fact]) -> Result<Vec<DevicePatch>> {
        relabel::relabel(devices, facts)
    }
}

wherry_sdk::register_volume_map!(Zfs, "../adapter.toml");
