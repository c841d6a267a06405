//! Superblocks of version 0.90: numbers of four bytes in the byte order of the machine that made it, here little-endian, in
//! the last 64 KiB but one of the device that begin at a multiple of 64 KiB.

use crate::superblock::{LENGTH, Role, Superblock};
use wherry_sdk::bytes::{u32_at, u64_at};
use wherry_sdk::{Error, Result};

/// What the superblock is aligned to.
const ALIGNMENT: u64 = 64 << 10;
/// Descriptors of devices, bytes of one, and where they and this device's own start.
const DEVICES: usize = 27;
const DEVICE_LENGTH: usize = 128;
const DEVICES_AT: usize = 512;
const THIS_AT: usize = DEVICES_AT + DEVICES * DEVICE_LENGTH;
/// Bits of a device's state.
const FAULTY: u32 = 1;
const IN_SYNC: u32 = 4;
/// Minor versions: usual, and while the array is being reshaped.
const USUAL: u32 = 90;
const RESHAPING: u32 = 91;
/// Bit of the array's state.
const CLEAN: u32 = 1;

/// Where it is on a device of `end` bytes, if it fits.
pub fn place(end: u64) -> Option<u64> {
    (end & !(ALIGNMENT - 1)).checked_sub(ALIGNMENT).filter(|at| *at > 0)
}

/// A superblock at byte `at`, where the data end.
pub fn parse(block: &[u8], at: u64) -> Result<Option<Superblock>> {
    let word = |index: usize| u32_at(block, index * 4);
    if word(1) != 0 {
        return Ok(None);
    }
    if u64::from(word(38)) % 0xffff != checksum(block) % 0xffff {
        return Err(Error::corrupt(at, "its checksum is wrong"));
    }
    if ![USUAL, RESHAPING].contains(&word(2)) {
        return Err(Error::unsupported(format!("it has the unknown version 0.{}", word(2))));
    }
    let level = word(7) as i32;
    let mut uuid = [0; 16];
    for (bytes, index) in uuid.chunks_mut(4).zip([5, 13, 14, 15]) {
        bytes.copy_from_slice(&word(index).to_be_bytes());
    }
    Ok(Some(Superblock {
        version: "0.90",
        uuid,
        name: String::new(),
        made: u64::from(word(6)),
        level,
        // What it has there for striped arrays is not to be believed (md.c, super_90_validate).
        layout: (level != 0).then(|| word(64)),
        chunk: u64::from(word(65)),
        size: u64::from(word(8)) << 10,
        disks: word(10),
        events: u64_at(block, 39 * 4),
        number: u32_at(block, THIS_AT),
        roles: (0..DEVICES).map(|index| role(block, index)).collect(),
        data: 0..at,
        rebuilding: false,
        bad_blocks: false,
        reshaping: word(2) == RESHAPING,
        journal: false,
        clean: word(33) & CLEAN != 0,
        minor: Some(word(11)),
    }))
}

fn role(block: &[u8], index: usize) -> Role {
    let at = DEVICES_AT + index * DEVICE_LENGTH;
    let (place, state) = (u32_at(block, at + 12), u32_at(block, at + 16));
    if state & FAULTY != 0 {
        Role::Faulty
    } else if state & IN_SYNC != 0 {
        Role::Active(place)
    } else {
        Role::Spare
    }
}

/// The sum of all numbers but its own; Linux compares the two folded to 16 bits, since not every processor made the same.
fn checksum(block: &[u8]) -> u64 {
    let words = (0..LENGTH / 4).filter(|index| *index != 38);
    words.map(|index| u64::from(u32_at(block, index * 4))).sum()
}
