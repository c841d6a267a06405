//! LVM2 volume groups: labels and metadata areas on the physical volumes, the newest text of each group, and what its
//! linear and striped logical volumes map to. Everything else is named and refused.
//!
//! Sources: lvm2's `lib/label/label.h`, `lib/format_text/layout.h`, `lib/format_text/flags.c`, `libdm/libdm-config.c`,
//! the manual pages lvm(8) and vgcfgbackup(8), checked against lvm2 2.03.16.

mod area;
mod group;
mod label;
mod map;
mod text;
mod volumes;

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

/// The little-endian number of `length` bytes at `at`; zero where the bytes are missing.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// LVM's checksum: the polynomial of CRC-32 with an initial value of its own and no inversion at the end
/// (`lib/misc/crc.h`, `INITIAL_CRC`).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc: u32, byte| {
        let index = (crc as u8 ^ byte) as usize;
        crc >> 8 ^ CRC_TABLE.get(index).copied().unwrap_or_default()
    })
}

wherry_sdk::register_volume_map!(Lvm2, "../adapter.toml");
