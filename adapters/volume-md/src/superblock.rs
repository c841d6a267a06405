//! What every superblock says of its device and of the array; and how versions 1.x say it (little-endian, `struct
//! mdp_superblock_1` of md_p.h).

use core::ops::Range;
use wherry_sdk::bytes::{field, little, text, u16_at, u32_at, u64_at};
use wherry_sdk::{Error, Result};

/// Both kinds of superblock begin so.
pub const MAGIC: u32 = 0xa92b_4efc;
/// Bytes of either kind.
pub const LENGTH: usize = 4096;
/// What sizes are counted in.
const SECTOR: u64 = 512;
/// Where the table of roles starts, and how many fit.
const ROLES: usize = 256;
const ROLES_MOST: u32 = ((LENGTH - ROLES) / 2) as u32;
/// Roles that are not places.
const SPARE: u16 = 0xffff;
const FAULTY: u16 = 0xfffe;
const JOURNAL: u16 = 0xfffd;

/// Bits of `feature_map`.
mod feature {
    pub const RECOVERY_OFFSET: u32 = 2;
    pub const RESHAPE_ACTIVE: u32 = 4;
    pub const BAD_BLOCKS: u32 = 8;
    pub const REPLACEMENT: u32 = 16;
    pub const JOURNAL: u32 = 512;
    pub const RAID0_LAYOUT: u32 = 4096;
    /// All that Linux 6.12 knows.
    pub const ALL: u32 = 0x1fff;
}

/// What a device is in its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// has the place of that number
    Active(u32),
    /// waits for one, or is nothing any more
    Spare,
    /// was thrown out
    Faulty,
    /// has the array's journal
    Journal,
}

/// A superblock.
#[derive(Debug)]
pub struct Superblock {
    /// 0.90 or 1.x
    pub version: &'static str,
    /// the array's, in the order in which mdadm prints it
    pub uuid: [u8; 16],
    /// the array's, empty before 1.0
    pub name: String,
    /// seconds since 1970
    pub made: u64,
    pub level: i32,
    /// the level's own number; none where it matters and is not told
    pub layout: Option<u32>,
    /// bytes
    pub chunk: u64,
    /// bytes of each device that are used; 0 where all are
    pub size: u64,
    /// places
    pub disks: u32,
    /// counts the array's changes of state
    pub events: u64,
    /// the device's index in `roles`
    pub number: u32,
    pub roles: Vec<Role>,
    /// the data, in bytes of the device
    pub data: Range<u64>,
    /// the device does not have everything yet
    pub rebuilding: bool,
    /// blocks of the device are known to be bad
    pub bad_blocks: bool,
    pub reshaping: bool,
    /// writes go through a journal
    pub journal: bool,
    /// parity or copies agree
    pub clean: bool,
    /// the number of /dev/mdN that it prefers, before 1.0
    pub minor: Option<u32>,
}

impl Superblock {
    /// What it says itself of its device.
    pub fn role(&self) -> Role {
        self.role_of(self.number)
    }
    /// What it says of the device with this number.
    pub fn role_of(&self, number: u32) -> Role {
        self.roles.get(number as usize).copied().unwrap_or(Role::Spare)
    }
    /// As mdadm prints it.
    pub fn shown_uuid(&self) -> String {
        let words = self.uuid.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect());
        words.collect::<Vec<String>>().join(":")
    }
}

/// Bytes of so many sectors.
fn bytes(sectors: u64, what: &str, at: u64) -> Result<u64> {
    sectors.checked_mul(SECTOR).ok_or_else(|| Error::corrupt(at, format!("its {what} is beyond 2^64 bytes")))
}

/// A superblock of version 1.x at byte `at` of a device of `end` bytes; none if it is there for another place.
pub fn parse(block: &[u8], version: &'static str, at: u64, end: u64) -> Result<Option<Superblock>> {
    let number_of_roles = u32_at(block, 220);
    if u32_at(block, 4) != 1 || u64_at(block, 144) != at / SECTOR {
        return Ok(None);
    }
    if number_of_roles > ROLES_MOST {
        return Err(Error::corrupt(at, format!("it has {number_of_roles} roles, at most {ROLES_MOST} fit")));
    }
    let whole = field(block, 0, ROLES + 2 * number_of_roles as usize);
    if checksum(whole) != u32_at(block, 216) {
        return Err(Error::corrupt(at, "its checksum is wrong"));
    }
    let features = u32_at(block, 8);
    if features & !feature::ALL != 0 {
        return Err(Error::unsupported(format!("it has unknown features {features:#x}")));
    }
    let has = |feature: u32| features & feature != 0;
    let start = bytes(u64_at(block, 128), "data offset", at)?;
    let data = start..start.saturating_add(bytes(u64_at(block, 136), "data size", at)?);
    if data.end > end {
        return Err(Error::corrupt(
            at,
            format!("its data end at byte {}, the device ends at byte {end}", data.end),
        ));
    }
    if data.start < at.saturating_add(LENGTH as u64) && at < data.end {
        return Err(Error::corrupt(at, "it lies in its own data"));
    }
    let level = u32_at(block, 72) as i32;
    let told = level != 0 || has(feature::RAID0_LAYOUT);
    let roles = (0..number_of_roles as usize).map(|index| role(u16_at(block, ROLES + 2 * index)));
    Ok(Some(Superblock {
        version,
        uuid: field(block, 16, 16).try_into().unwrap_or_default(),
        name: shown(&text(field(block, 32, 32))),
        made: u64_at(block, 64) & 0xff_ffff_ffff,
        level,
        layout: told.then(|| u32_at(block, 76)),
        chunk: bytes(u64::from(u32_at(block, 88)), "chunk", at)?,
        size: bytes(u64_at(block, 80), "size", at)?,
        disks: u32_at(block, 92),
        events: u64_at(block, 200),
        number: u32_at(block, 160),
        roles: roles.collect(),
        data,
        rebuilding: has(feature::RECOVERY_OFFSET) || has(feature::REPLACEMENT),
        bad_blocks: has(feature::BAD_BLOCKS),
        reshaping: has(feature::RESHAPE_ACTIVE),
        journal: has(feature::JOURNAL),
        clean: u64_at(block, 208) == u64::MAX,
        minor: None,
    }))
}

fn role(value: u16) -> Role {
    match value {
        SPARE => Role::Spare,
        FAULTY => Role::Faulty,
        JOURNAL => Role::Journal,
        place => Role::Active(u32::from(place)),
    }
}

/// The sum of all numbers of four bytes, with zero in its own place, and what is above 32 bits added once.
fn checksum(bytes: &[u8]) -> u32 {
    let own = 216..220;
    let words = bytes.chunks(4).zip((0..).step_by(4));
    let words = words.filter(|(_, at)| !own.contains(at));
    let sum: u64 = words.map(|(word, _)| little(word, 0, word.len())).sum();
    (sum as u32).wrapping_add((sum >> 32) as u32)
}

/// A name that can be printed.
fn shown(name: &str) -> String {
    name.chars().map(|one| if one.is_control() { '?' } else { one }).collect()
}
