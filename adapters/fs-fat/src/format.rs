//! An empty FAT32: boot sector, information sector, copies of both, tables, and a root directory with the label.
//!
//! Source: Microsoft's FAT specification (fatgen103), sections "Boot Sector and BPB", "FAT32 FSInfo Sector Structure and Backup
//! Boot Sector", "FAT Data Structure"; FAT32 alone, since UEFI asks for it on disks (UEFI specification 2.10, 13.3.1.1).

use wherry_sdk::bytes::{put, put_u16, put_u32};
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result, now_unix};

/// Sectors before the first table, as every tool has it for FAT32.
const RESERVED: u64 = 32;
const TABLES: u64 = 2;
/// What has fewer clusters is read as FAT16 by Microsoft's rule; the specification asks to keep away from the limit.
const CLUSTERS_LEAST: u64 = 65_525 + 16;
const CLUSTERS_MOST: u64 = 0x0fff_fff4;
/// Larger clusters than this gain nothing for a few files.
const PER_CLUSTER_MOST: u64 = 8;
/// Sectors of the first copy: information, second boot sector.
const INFO: u64 = 1;
const BACKUP: u64 = 6;
const MEDIA: u8 = 0xf8;

/// How a device is divided, in sectors.
#[derive(Debug, PartialEq)]
struct Shape {
    sector: u64,
    total: u64,
    per_cluster: u64,
    table: u64,
    clusters: u64,
}

impl Shape {
    /// The largest clusters with which it is a FAT32.
    fn of(size: u64, sector: u64) -> Option<Self> {
        let total = (size / sector).min(u64::from(u32::MAX));
        let shape = |per_cluster: u64| {
            let most = total.checked_sub(RESERVED)? / per_cluster;
            // one table entry for each cluster and the two that have none
            let table = (most + 2).checked_mul(4)?.div_ceil(sector);
            let clusters = total.checked_sub(RESERVED + TABLES * table)? / per_cluster;
            (CLUSTERS_LEAST..=CLUSTERS_MOST).contains(&clusters).then_some(Self {
                sector,
                total,
                per_cluster,
                table,
                clusters,
            })
        };
        let sizes =
            std::iter::successors(Some(PER_CLUSTER_MOST), |size| Some(size / 2).filter(|size| *size > 0));
        sizes.chain([16, 32, 64]).find_map(shape)
    }

    /// The first sector of cluster 2, which is the root directory.
    fn data(&self) -> u64 {
        RESERVED + TABLES * self.table
    }
}

/// Makes it; `label` is at most 11 of the characters that a short name can have.
pub fn format(device: &dyn Blob, label: &str) -> Result<()> {
    let sector = if device.sector_size() == 4096 { 4096 } else { 512 };
    let shape = Shape::of(device.size(), sector).ok_or_else(|| {
        let least = (CLUSTERS_LEAST + RESERVED) * sector + TABLES * (CLUSTERS_LEAST + 2) * 4;
        Error::unsupported(format!(
            "a FAT32 with sectors of {sector} bytes needs about {least} bytes or more, here are {}",
            device.size()
        ))
    })?;
    let label = padded(label)?;
    let boot = boot_sector(&shape, label);
    let info = info_sector(&shape);
    zero(device, 0, shape.data() * sector)?;
    for first in [0, BACKUP] {
        device.write(first * sector, &boot)?;
        device.write((first + INFO) * sector, &info)?;
    }
    // the media byte, "shut down properly" with the end of a chain, the root directory's one cluster
    let table: Vec<u8> = [0x0fff_ff00 | u32::from(MEDIA), 0x0fff_ffff, 0x0fff_ffff]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    for copy in 0..TABLES {
        device.write((RESERVED + copy * shape.table) * sector, &table)?;
    }
    let root = shape.data() * sector;
    zero(device, root, shape.per_cluster * sector)?;
    let mut entry = vec![0; 32];
    put(&mut entry, 0, &label);
    put(&mut entry, 11, &[8]);
    device.write(root, &entry)
}

fn padded(label: &str) -> Result<[u8; 11]> {
    let known = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || b" _-".contains(&c);
    let mut padded = [b' '; 11];
    if label.len() > padded.len() || label.is_empty() || !label.bytes().all(known) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{label:?} is no label of a FAT")));
    }
    put(&mut padded, 0, label.as_bytes());
    Ok(padded)
}

fn boot_sector(shape: &Shape, label: [u8; 11]) -> Vec<u8> {
    let mut boot = vec![0; shape.sector as usize];
    put(&mut boot, 0, &[0xeb, 0x58, 0x90]);
    put(&mut boot, 3, b"WHERRY  ");
    put_u16(&mut boot, 11, shape.sector as u16);
    put(&mut boot, 13, &[shape.per_cluster as u8]);
    put_u16(&mut boot, 14, RESERVED as u16);
    put(&mut boot, 16, &[TABLES as u8]);
    put(&mut boot, 21, &[MEDIA]);
    put_u16(&mut boot, 24, 63);
    put_u16(&mut boot, 26, 255);
    put_u32(&mut boot, 32, shape.total as u32);
    put_u32(&mut boot, 36, shape.table as u32);
    put_u32(&mut boot, 44, 2);
    put_u16(&mut boot, 48, INFO as u16);
    put_u16(&mut boot, 50, BACKUP as u16);
    put(&mut boot, 64, &[0x80, 0, 0x29]);
    put_u32(&mut boot, 67, serial());
    put(&mut boot, 71, &label);
    put(&mut boot, 82, b"FAT32   ");
    // nothing starts from here: a jump to itself
    put(&mut boot, 90, &[0xeb, 0xfe]);
    put(&mut boot, 510, &[0x55, 0xaa]);
    boot
}

/// From the run's time, as all tools do it; never zero, which means none.
fn serial() -> u32 {
    (now_unix() as u32).rotate_left(16) | 1
}

fn info_sector(shape: &Shape) -> Vec<u8> {
    let mut info = vec![0; shape.sector as usize];
    put(&mut info, 0, b"RRaA");
    put(&mut info, 484, b"rrAa");
    // all but the root directory's
    put_u32(&mut info, 488, shape.clusters.saturating_sub(1) as u32);
    put_u32(&mut info, 492, 3);
    put(&mut info, 508, &[0, 0, 0x55, 0xaa]);
    info
}

fn zero(device: &dyn Blob, offset: u64, length: u64) -> Result<()> {
    let mut done = 0;
    while done < length {
        let piece = (length - done).min(u64::from(READ_MOST));
        device.write(offset + done, &vec![0; piece as usize])?;
        done += piece;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_as_large_as_fat32_allows() {
        let per_cluster = |mib: u64, sector| Shape::of(mib << 20, sector).map(|shape| shape.per_cluster);
        assert_eq!(
            (per_cluster(32, 512), per_cluster(33, 512), per_cluster(64, 512)),
            (None, Some(1), Some(1))
        );
        assert_eq!((per_cluster(100, 512), per_cluster(512, 512)), (Some(2), Some(8)));
        assert_eq!((per_cluster(256, 4096), per_cluster(300, 4096)), (None, Some(1)));
        assert_eq!(per_cluster(2 << 20, 512), Some(16), "2 TiB");
    }
}
