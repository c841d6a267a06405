//! LVM2 volume groups: labels and metadata areas on the physical volumes, the newest text of each group, and what its linear,
//! striped, mirrored, RAID and thin logical volumes map to. Everything else is named and refused.
//!
//! Sources: lvm2's `lib/label/label.h`, `lib/format_text/layout.h`, `lib/format_text/flags.c`, `lib/raid/raid.c`,
//! `libdm/libdm-config.c`, Linux' `drivers/md/dm-raid.c`, `dm-raid1.c`, `dm-thin-metadata.c` and `persistent-data`, the manual
//! pages lvm(8), lvmraid(7), lvmthin(7) and vgcfgbackup(8); checked against lvm2 2.03.16 and volumes that lvm2 2.03.31 and
//! Linux 6.12 made and filled.

mod area;
mod group;
mod label;
mod map;
mod pieces;
mod raid;
mod reader;
mod text;
mod thin;
mod tree;
mod volumes;

use wherry_sdk::checksum::crc32;
use wherry_sdk::volume::Layout;
use wherry_sdk::{Blob, Result, VolumeMap};

/// LVM2.
pub struct Lvm2;

impl VolumeMap for Lvm2 {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        let physicals = label::find_all(devices, &mut layout.concerns);
        let groups = volumes::newest_groups(devices, &physicals, &mut layout.concerns);
        volumes::describe(devices, &physicals, &groups, &mut layout);
        Ok(layout)
    }
}

/// Bytes of one sector in LVM's metadata, whatever the device's own sector size is.
const SECTOR: u64 = 512;

/// LVM's checksum: the polynomial of CRC-32 with an initial value of its own and no inversion at the end
/// (`lib/misc/crc.h`, `INITIAL_CRC`).
fn checksum(bytes: &[u8]) -> u32 {
    crc32(0xf597_a6cf, bytes)
}

wherry_sdk::register_volume_map!(Lvm2, "../adapter.toml");
