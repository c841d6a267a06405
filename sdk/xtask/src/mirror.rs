//! A mirror (MD) of two partitions without the kernel's MD: superblocks of version 1.2 as `mdadm --create` writes them. Linux,
//! `include/uapi/linux/raid/md_p.h`, struct mdp_superblock_1.

use crate::disk::{MIB, open, write_at};
use anyhow::Result;
use std::path::Path;

/// Where a member's data begin.
pub const DATA: u64 = MIB;
/// Where version 1.2 has its superblock.
const PLACE: u64 = 4096;
const SECTOR: u64 = 512;

/// Makes the partitions of `size` bytes at these offsets of the disk members of one mirror.
pub fn create(disk: &Path, halves: [u64; 2], size: u64) -> Result<()> {
    let mut file = open(disk)?;
    for (number, offset) in (0..).zip(halves) {
        write_at(&mut file, offset + PLACE, &superblock(number, size - DATA))?;
    }
    Ok(())
}

fn superblock(number: u32, data: u64) -> Vec<u8> {
    let mut block = vec![0u8; 256 + 4];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xa92b_4efcu32.to_le_bytes()); // magic
    put(4, &1u32.to_le_bytes()); // major_version
    put(16, b"wherry's mirror."); // set_uuid
    put(32, b"home:0"); // set_name
    put(72, &1u32.to_le_bytes()); // level
    put(80, &(data / SECTOR).to_le_bytes()); // size
    put(92, &2u32.to_le_bytes()); // raid_disks
    put(128, &(DATA / SECTOR).to_le_bytes()); // data_offset
    put(136, &(data / SECTOR).to_le_bytes()); // data_size
    put(144, &(PLACE / SECTOR).to_le_bytes()); // super_offset
    put(160, &number.to_le_bytes()); // dev_number
    put(168, &[number as u8 + 1; 16]); // device_uuid
    put(200, &9u64.to_le_bytes()); // events
    put(208, &u64::MAX.to_le_bytes()); // resync_offset: nothing is out of sync
    put(220, &2u32.to_le_bytes()); // max_dev
    put(256, &[0, 0, 1, 0]); // dev_roles
    let words =
        block.chunks(4).map(|word| word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let sum: u64 = words.sum();
    let sum = (sum as u32).wrapping_add((sum >> 32) as u32);
    block[216..220].copy_from_slice(&sum.to_le_bytes()); // sb_csum
    block
}
