//! Who is a dynamic disk: its partition table says so, and its private header says of which group, and where the volumes'
//! bytes and the database are.

use wherry_sdk::bytes::{big, field, little};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Concern, Error, Result, Severity, concern};

/// The type of the partition that covers a dynamic disk with a master boot record.
const DYNAMIC: u8 = 0x42;
/// The type of the entry that protects a GPT.
const PROTECTIVE: u8 = 0xee;
/// The partition with the database on a disk with a GPT.
const METADATA: &str = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3";
/// The sector of the private header on a disk with a master boot record; a copy is in the last one.
const HEADER: u64 = 6;
/// Entries of a GPT that are looked at, and bytes of one.
const ENTRIES_MOST: u64 = 1024;
const ENTRY_MOST: u64 = 512;
/// Versions of the private header: those up to Windows Server 2003, and later ones.
const VERSIONS: [(u64, u64); 2] = [(2, 11), (2, 12)];

/// A disk, in bytes.
pub struct Disk {
    /// Position in the list of devices.
    pub device: usize,
    /// Bytes of a sector, in which everything is counted.
    pub sector: u64,
    /// Identifiers in lower case, of itself and of its group.
    pub id: String,
    pub group: String,
    /// The group's name.
    pub name: String,
    /// Where volumes can be.
    pub data: core::ops::Range<u64>,
    /// Where the database is.
    pub database: core::ops::Range<u64>,
}

/// All dynamic disks; damaged ones become concerns.
pub fn find_all(devices: &[Box<dyn Blob>], concerns: &mut Vec<Concern>) -> Vec<Disk> {
    let mut found = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        match find(index, device.as_ref()) {
            Ok(disk) => found.extend(disk),
            Err(e) => {
                let message = format!("device {index} is a dynamic disk that cannot be read: {}", e.message);
                let remedy = "look at it in the source's Disk Management, and rescan or reactivate it there";
                concerns.push(concern(Severity::Warning, "ldm.bad-disk", message, Some(remedy)));
            }
        }
    }
    found
}

fn find(index: usize, device: &dyn Blob) -> Result<Option<Disk>> {
    let sector = if device.sector_size() == 4096 { 4096 } else { 512 };
    if device.size() < 64 * sector {
        return Ok(None);
    }
    let head = device.read(0, 512)?;
    let types = [446usize, 462, 478, 494].map(|at| head.get(at + 4).copied().unwrap_or(0));
    if field(&head, 510, 2) != [0x55, 0xaa] {
        return Ok(None);
    }
    let places = if types.contains(&DYNAMIC) {
        vec![HEADER, device.size() / sector - 1]
    } else if types.contains(&PROTECTIVE) {
        gpt(device, sector)?.into_iter().collect()
    } else {
        Vec::new()
    };
    let mut damage = None;
    for place in places {
        match read(index, device, place.saturating_mul(sector), sector) {
            Ok(disk) => return Ok(Some(disk)),
            Err(error) => damage = damage.or(Some(error)),
        }
    }
    damage.map_or(Ok(None), Err)
}

/// The last sector of the partition with the database. Tables that cannot be read are another adapter's concern.
fn gpt(device: &dyn Blob, sector: u64) -> Result<Option<u64>> {
    for at in [1, device.size() / sector - 1] {
        let header = device.read(at * sector, 512)?;
        let (first, count, length) = (little(&header, 72, 8), little(&header, 80, 4), little(&header, 84, 4));
        let sensible =
            header.starts_with(b"EFI PART") && count <= ENTRIES_MOST && (128..=ENTRY_MOST).contains(&length);
        let start =
            first.checked_mul(sector).filter(|start| sensible && fits(device, *start, count * length));
        let Some(start) = start else { continue };
        let entries = device.read(start, (count * length) as u32)?;
        let wanted = |entry: &&[u8]| Uuid::from_guid(field(entry, 0, 16)).to_string() == METADATA;
        return Ok(entries.chunks_exact(length as usize).find(wanted).map(|entry| little(entry, 40, 8)));
    }
    Ok(None)
}

fn fits(device: &dyn Blob, start: u64, length: u64) -> bool {
    start.checked_add(length).is_some_and(|end| end <= device.size())
}

/// The private header (`PRIVHEAD`).
fn read(index: usize, device: &dyn Blob, at: u64, sector: u64) -> Result<Disk> {
    if !fits(device, at, 512) {
        return Err(Error::corrupt(at, "its private header lies beyond its end"));
    }
    let header = device.read(at, 512)?;
    if !header.starts_with(b"PRIVHEAD") {
        return Err(Error::corrupt(at, format!("there is no private header at byte {at}")));
    }
    if !is_whole(&header) {
        return Err(Error::corrupt(at, "the checksum of its private header is wrong"));
    }
    let version = (big(&header, 0x0c, 2), big(&header, 0x0e, 2));
    if !VERSIONS.contains(&version) {
        return Err(Error::unsupported(format!(
            "its private header has the unknown version {}.{}",
            version.0, version.1
        )));
    }
    let area = |at: usize, what: &str| {
        let start = big(&header, at, 8).checked_mul(sector);
        let length = big(&header, at + 8, 8).checked_mul(sector);
        let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
        let range = start.zip(end).filter(|(_, end)| *end <= device.size());
        let range =
            range.ok_or_else(|| Error::corrupt(at as u64, format!("its {what} lies beyond its end")))?;
        Ok(range.0..range.1)
    };
    Ok(Disk {
        device: index,
        sector,
        id: text(field(&header, 0x30, 64)).to_lowercase(),
        group: text(field(&header, 0xb0, 64)).to_lowercase(),
        name: text(field(&header, 0xf0, 32)),
        data: area(0x11b, "data")?,
        database: area(0x12b, "database")?,
    })
}

/// Whether the number at 8 is the sum of all other bytes of a sector (found so on disks of Windows Server 2003 and 2008).
pub fn is_whole(sector: &[u8]) -> bool {
    let sum: u64 = sector.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = field(sector, 8, 4).iter().map(|byte| u64::from(*byte)).sum();
    sum - own == big(sector, 8, 4)
}

/// Text up to the first zero, without what could confuse who reads it.
pub fn text(bytes: &[u8]) -> String {
    let text = wherry_sdk::bytes::text(bytes);
    text.chars().map(|one| if one.is_control() { '?' } else { one }).collect()
}
