//! Linux MD arrays ("software RAID") with superblocks of the versions 0.90, 1.0, 1.1 and 1.2: what linear arrays and those of
//! the levels 0, 1, 4, 5, 6 and 10 map to. Everything else is named and refused.
//!
//! Sources: Linux' `include/uapi/linux/raid/md_p.h` for the superblocks, md(4) and mdadm(8), and `drivers/md` (`md.c`,
//! `raid0.c`, `raid5.c`, `raid10.c`) for where data lie. Checked against arrays that Linux 6.1 made and filled.

mod array;
mod early;
mod map;
mod member;
mod parity;
mod striped;
mod superblock;
mod volumes;

use wherry_sdk::volume::Layout;
use wherry_sdk::{Blob, Result, VolumeMap};

/// Linux' multiple devices.
pub struct Md;

impl VolumeMap for Md {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        let members = member::find_all(devices, &mut layout.concerns);
        volumes::describe(&array::assemble(members), &mut layout);
        Ok(layout)
    }
}

wherry_sdk::register_volume_map!(Md, "../adapter.toml");
