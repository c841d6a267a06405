//! The boot sector: where the tables, the root directory and the clusters lie.
//!
//! Source: Microsoft's FAT specification (fatgen103), sections "Boot Sector and BPB" and "FAT Type Determination"; where
//! it and Linux's vfat differ, Linux's reading is taken, since that is what made the volume work for its guest.

use crate::name;
use wherry_sdk::bytes::little;
use wherry_sdk::{Blob, Error, Result};

const FIXED_ROOT_ENTRY: u64 = 32;
/// More tables than any tool makes.
const TABLES_MOST: u64 = 8;
/// Fewer clusters than this are FAT12.
const FAT16_LEAST: u64 = 4085;
const FAT16_MOST: u64 = 0xfff4;
const FAT32_MOST: u64 = 0x0fff_fff4;

/// The identifier of BitLocker To Go, 4967d63b-2e29-4ad8-8399-f6a339e3d001.
const TO_GO: [u8; 16] =
    [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01];

/// Where the root directory lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    /// FAT12 and FAT16: bytes of the device.
    Fixed { offset: u64, length: u64 },
    /// FAT32: a chain like any other directory's.
    Chain(u32),
}

/// All numbers of the boot sector, in bytes of the device, checked against each other.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// 12, 16 or 32: of one table entry.
    pub bits: u32,
    pub sector: u64,
    pub cluster: u64,
    /// The tables to write; the first is the one to read.
    pub tables: Vec<u64>,
    pub table_length: u64,
    pub root: Root,
    /// First byte of cluster 2.
    pub data: u64,
    /// Clusters are numbered from 2 to `clusters + 1`.
    pub clusters: u32,
    pub size: u64,
    /// The information sector of FAT32.
    pub info: Option<u64>,
    /// Zero: none.
    pub serial: u32,
    pub label: Option<String>,
    /// The boot sector's own mark of an unclean shutdown, and where it is.
    pub dirty: bool,
    pub state_at: u64,
}

/// Reads the boot sector.
pub fn read(device: &dyn Blob) -> Result<Geometry> {
    let length = device.size().min(512);
    let sector = device.read(0, length as u32)?;
    parse(&sector, device.size())
        .map_err(|message| Error::corrupt(0, format!("no FAT file system: {message}")))
}

type Refusal = &'static str;

fn ensure(holds: bool, otherwise: Refusal) -> core::result::Result<(), Refusal> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn parse(sector: &[u8], device: u64) -> core::result::Result<Geometry, Refusal> {
    ensure(sector.get(510..512) == Some(&[0x55, 0xaa]), "the boot sector's mark is missing")?;
    let maker = sector.get(3..11).unwrap_or_default();
    ensure(
        ![b"NTFS    ", b"EXFAT   ", b"-FVE-FS-"].iter().any(|other| maker == *other),
        "another file system",
    )?;
    // 424: libbde's "BitLocker Drive Encryption (BDE) format". What looks like a FAT only holds files with the encrypted bytes.
    ensure(sector.get(424..440) != Some(&TO_GO), "a volume of BitLocker To Go")?;
    let unit = little(sector, 11, 2);
    let per_cluster = little(sector, 13, 1);
    ensure(
        [512, 1024, 2048, 4096].contains(&unit),
        "the sector size is not a power of two from 512 to 4096",
    )?;
    ensure(per_cluster.is_power_of_two(), "the sectors of a cluster are not a power of two")?;
    let media = little(sector, 21, 1);
    ensure(media == 0xf0 || media >= 0xf8, "the media byte is not one of FAT's")?;
    let (reserved, tables) = (little(sector, 14, 2), little(sector, 16, 1));
    ensure(reserved > 0 && (1..=TABLES_MOST).contains(&tables), "no reserved sector or no table")?;
    let total = either(little(sector, 19, 2), little(sector, 32, 4));
    let wide = little(sector, 22, 2) == 0;
    let table = either(little(sector, 22, 2), little(sector, 36, 4));
    let root_entries = little(sector, 17, 2);
    ensure(table > 0 && wide == (root_entries == 0), "table size and root directory contradict each other")?;
    let root_sectors = (root_entries * FIXED_ROOT_ENTRY).div_ceil(unit);
    let root_at = reserved + tables * table;
    let data = root_at + root_sectors;
    ensure(data < total, "no room for clusters")?;
    ensure(total * unit <= device, "it is longer than its device")?;
    let bits = bits(wide, (total - data) / per_cluster)?;
    let clusters = ((total - data) / per_cluster).min((table * unit * 8 / u64::from(bits)).saturating_sub(2));
    ensure(clusters > 0, "no room for clusters")?;
    let extended = if wide { 64 } else { 36 };
    let root = if wide {
        ensure(little(sector, 42, 2) == 0, "its version is unknown")?;
        let first = little(sector, 44, 4);
        ensure((2..clusters + 2).contains(&first), "the root directory's cluster does not exist")?;
        Root::Chain(first as u32)
    } else {
        Root::Fixed { offset: root_at * unit, length: root_entries * FIXED_ROOT_ENTRY }
    };
    let info = little(sector, 48, 2);
    let signed = little(sector, extended + 2, 1);
    let serial = if wide || signed == 0x28 || signed == 0x29 { little(sector, extended + 3, 4) } else { 0 };
    let label = sector.get(extended + 7..extended + 18).filter(|_| signed == 0x29).and_then(name::label);
    Ok(Geometry {
        bits,
        sector: unit,
        cluster: per_cluster * unit,
        tables: active(sector, wide, reserved, tables, table)?.iter().map(|at| at * unit).collect(),
        table_length: table * unit,
        root,
        data: data * unit,
        clusters: clusters as u32,
        size: total * unit,
        info: Some(info * unit).filter(|_| wide && info > 0 && info < reserved),
        serial: serial as u32,
        label,
        dirty: little(sector, extended + 1, 1) & 1 != 0,
        state_at: extended as u64 + 1,
    })
}

fn either(short: u64, long: u64) -> u64 {
    if short == 0 { long } else { short }
}

/// Linux tells FAT32 by the missing 16-bit table size, the others by the number of clusters.
fn bits(wide: bool, clusters: u64) -> core::result::Result<u32, Refusal> {
    match (wide, clusters) {
        (true, count) if count <= FAT32_MOST => Ok(32),
        (false, count) if count < FAT16_LEAST => Ok(12),
        (false, count) if count <= FAT16_MOST => Ok(16),
        _ => Err("too many clusters"),
    }
}

/// First sectors of the tables in use: all of them, or, on FAT32 without mirroring, the active one.
fn active(
    sector: &[u8],
    wide: bool,
    reserved: u64,
    tables: u64,
    length: u64,
) -> core::result::Result<Vec<u64>, Refusal> {
    let flags = little(sector, 40, 2);
    if !wide || flags & 0x80 == 0 {
        return Ok((0..tables).map(|index| reserved + index * length).collect());
    }
    ensure(flags & 0xf < tables, "the active table does not exist")?;
    Ok(vec![reserved + (flags & 0xf) * length])
}
