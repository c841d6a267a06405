//! What a superblock says of its device and the others (Linux: `include/uapi/linux/btrfs_tree.h`, struct btrfs_super_block).

use wherry_sdk::bytes::{field, part, u16_at, u64_at};
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{Blob, Result};

const AT: u64 = 64 << 10;
const LENGTH: u32 = 4096;
const MAGIC: &[u8] = b"_BHRfS_M";
const CRC32C: u16 = 0;

/// One device of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    pub uuid: [u8; 16],
    pub generation: u64,
    /// How many devices there are.
    pub devices: u64,
    /// This one's number, and its bytes.
    pub number: u64,
    pub size: u64,
}

/// The superblock of a device that is one of several.
pub fn read(device: &dyn Blob) -> Result<Option<Superblock>> {
    if device.size() < AT + u64::from(LENGTH) {
        return Ok(None);
    }
    let raw = device.read(AT, LENGTH)?;
    if field(&raw, 64, 8) != MAGIC || u64_at(&raw, 48) != AT {
        return Ok(None);
    }
    // Sums of the other kinds are compared by the driver, which does not begin without a sound superblock either.
    let sum = !crc32c(!0, part(&raw, 32, raw.len()));
    if u16_at(&raw, 196) == CRC32C && sum.to_le_bytes() != field(&raw, 0, 4) {
        return Ok(None);
    }
    let found = Superblock {
        uuid: field(&raw, 32, 16).try_into().unwrap_or_default(),
        generation: u64_at(&raw, 72),
        devices: u64_at(&raw, 136),
        number: u64_at(&raw, 201),
        size: u64_at(&raw, 209),
    };
    Ok((found.devices > 1).then_some(found))
}

impl Superblock {
    pub fn shown_uuid(&self) -> String {
        let digits: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let group = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32))
    }
}
