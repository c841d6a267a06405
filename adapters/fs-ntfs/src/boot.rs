//! The boot sector: where everything begins, and in which units it is counted.
//!
//! Source: the Linux-NTFS documentation, "$Boot" (flatcap.github.io/linux-ntfs/ntfs/files/boot.html).

use crate::bytes::{byte_at, part, u16_at, u64_at};
use wherry_sdk::{Blob, Error, Result};

/// Bytes of the boot sector that are looked at.
pub const LENGTH: u32 = 512;
/// The largest cluster that Windows makes, in bytes.
const CLUSTER_MOST: u64 = 2 << 20;

/// What the boot sector says.
#[derive(Clone, Debug)]
pub struct Boot {
    /// bytes
    pub cluster: u64,
    /// whole clusters of the volume
    pub clusters: u64,
    /// bytes of the volume, without the backup of this sector behind it
    pub size: u64,
    /// the cluster where the master file table begins
    pub mft: u64,
    /// bytes of a file record
    pub record: usize,
    /// bytes of an index block
    pub block: usize,
    /// the volume's serial number
    pub serial: u64,
}

/// The boot sector's bytes; none where there is no NTFS.
pub fn read(device: &dyn Blob) -> Result<Option<Vec<u8>>> {
    if device.size() < u64::from(LENGTH) {
        return Ok(None);
    }
    let sector = device.read(0, LENGTH)?;
    Ok((part(&sector, 3, 8) == b"NTFS    ").then_some(sector))
}

/// A size that is a count of clusters, or a power of two if it is negative.
fn encoded(value: u8, cluster: u64) -> Option<u64> {
    match value as i8 {
        1.. => u64::from(value).checked_mul(cluster),
        0 => None,
        power => 1u64.checked_shl(u32::from(power.unsigned_abs())),
    }
}

fn power_between(value: u64, least: u64, most: u64) -> bool {
    value.is_power_of_two() && (least..=most).contains(&value)
}

impl Boot {
    /// Checks the numbers against each other and against the `size` of the device in bytes.
    pub fn parse(bytes: &[u8], size: u64) -> Result<Self> {
        let corrupt =
            |at: u64, what: String| Error::corrupt(at, format!("NTFS boot sector: {what}: run chkdsk"));
        let sector = u64::from(u16_at(bytes, 0x0b));
        if !power_between(sector, 256, 4096) {
            return Err(corrupt(0x0b, format!("sectors of {sector} bytes are impossible")));
        }
        // More than 128 sectors are a negative power of two.
        let per_cluster = match byte_at(bytes, 0x0d) {
            power @ 0xe1.. => 1u64 << (256 - u32::from(power)),
            count => u64::from(count),
        };
        let cluster = per_cluster * sector;
        if !power_between(cluster, sector, CLUSTER_MOST) {
            return Err(corrupt(0x0d, format!("clusters of {cluster} bytes are impossible")));
        }
        let sectors = u64_at(bytes, 0x28);
        let volume = sectors.checked_mul(sector).filter(|volume| *volume <= size && *volume >= cluster);
        let Some(volume) = volume else {
            let message = format!("{sectors} sectors do not fit the device of {size} bytes");
            return Err(corrupt(0x28, message));
        };
        let clusters = volume / cluster;
        let (mft, mirror) = (u64_at(bytes, 0x30), u64_at(bytes, 0x38));
        if mft == 0 || mft >= clusters || mirror >= clusters {
            return Err(corrupt(0x30, "the master file table lies outside of the volume".into()));
        }
        let record = encoded(byte_at(bytes, 0x40), cluster).filter(|size| power_between(*size, 512, 4096));
        let block = encoded(byte_at(bytes, 0x44), cluster).filter(|size| power_between(*size, 512, 65536));
        let (Some(record), Some(block)) = (record, block) else {
            return Err(corrupt(0x40, "the sizes of file records and index blocks are impossible".into()));
        };
        let (record, block, serial) = (record as usize, block as usize, u64_at(bytes, 0x48));
        Ok(Self { cluster, clusters, size: volume, mft, record, block, serial })
    }

    /// Bytes that the numbers of an index's blocks count.
    pub fn index_unit(&self, block: usize) -> u64 {
        if self.cluster > block as u64 { 512 } else { self.cluster }
    }
}
