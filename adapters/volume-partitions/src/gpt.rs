//! The GUID partition table (UEFI specification 2.10, section 5.3): a header in sector 1 and a backup in the last
//! sector, each with a CRC-32 of itself and of its array of entries.

use crate::add::{self, Purpose};
use crate::{Entry, Table, mbr, sector_size, types};
use wherry_sdk::bytes::{field, little, put};
use wherry_sdk::checksum::crc32;
use wherry_sdk::image::Uuid;
use wherry_sdk::volume::{Added, Addition};
use wherry_sdk::{Blob, Error, Patch, READ_MOST, Result, Severity, concern, fact};

/// The specification asks for room for at least 128 entries; tools make no more than this.
const ENTRIES_MOST: u64 = 1024;
const ENTRY_MOST: u64 = 4096;
/// Logical sectors are of one of these sizes.
const UNITS: [u64; 2] = [512, 4096];

/// A header and its entries, both with the right checksum.
struct Copy {
    unit: u64,
    /// The sector of the other copy.
    other: u64,
    disk: String,
    header: Vec<u8>,
    array: Vec<u8>,
    entry: usize,
}

/// Reads the primary table, or the backup with a concern.
pub fn read(device: &dyn Blob, sector: &[u8]) -> Result<Table> {
    let own = sector_size(device);
    let mut concerns = Vec::new();
    let mut warn = |severity, id: &str, message: String, remedy: &str| {
        concerns.push(concern(severity, id, message, Some(remedy)));
    };
    let copy = match primary(device) {
        Ok(copy) => {
            if let Some(problem) = backup_problem(device, &copy) {
                let remedy =
                    "nothing needs it to start the machine; sgdisk --move-second-header writes it anew";
                warn(Severity::Information, "partitions.backup-gpt", problem, remedy);
            }
            copy
        }
        Err(damage) => {
            let copy = backup(device, &damage)?;
            let message = format!("the primary GPT is damaged ({}); the backup was used", damage.message);
            let remedy = "repair it on the source with gdisk's recovery menu";
            warn(Severity::Warning, "partitions.primary-gpt", message, remedy);
            copy
        }
    };
    if copy.unit != own {
        let message = format!("the GPT counts sectors of {} bytes, and its disk has {own}", copy.unit);
        let next =
            format!("if that is an image of a disk with such sectors, name it with ,sector={}", copy.unit);
        let remedy = format!("{next}; with others the new machine will find no partition");
        warn(Severity::Warning, "partitions.sector-size", message, &remedy);
    }
    let hybrid = mbr::hybrid(sector);
    if !hybrid.is_empty() {
        let message = format!("a hybrid MBR repeats GPT partitions as {hybrid:?}; the GPT was read");
        warn(
            Severity::Information,
            "partitions.hybrid-mbr",
            message,
            "keep it only if the guest boots by it",
        );
    }
    let sectors = device.size() / copy.unit;
    if let Some(end) = mbr::protected_end(sector).filter(|end| *end > sectors) {
        let message = format!("the protective MBR covers {end} sectors, and the disk has {sectors}");
        let remedy = "see whether the disk was cut short when it was copied";
        warn(Severity::Information, "partitions.protective-mbr", message, remedy);
    }
    let Copy { unit, disk, array, entry: length, .. } = copy;
    let entries = array.chunks_exact(length).zip(1..);
    let entries = entries.filter_map(|(bytes, number)| entry(bytes, number, unit)).collect();
    Ok(Table { kind: "gpt", id: disk, floor: 2 * unit, gap: None, entries, concerns })
}

/// The primary copy, in sectors of the device's size or, on an image of a disk with others, of the other size.
fn primary(device: &dyn Blob) -> Result<Copy> {
    let own = sector_size(device);
    let error = match copy(device, 1, own) {
        Ok(copy) => return Ok(copy),
        Err(e) => e,
    };
    let others = UNITS.into_iter().filter(|unit| *unit != own);
    others.into_iter().find_map(|unit| copy(device, 1, unit).ok()).ok_or(error)
}

/// The backup where the damaged primary header says, or else in the last sector.
fn backup(device: &dyn Blob, primary: &Error) -> Result<Copy> {
    let mut found = Err(Error::corrupt(0, "no backup"));
    for unit in UNITS {
        let header = device.read(unit, 512).unwrap_or_default();
        let named = (header.get(..8) == Some(b"EFI PART")).then(|| little(&header, 32, 8));
        for sector in named.into_iter().chain([last(device, unit)]) {
            match copy(device, sector, unit) {
                Ok(copy) => return Ok(copy),
                Err(e) if unit == sector_size(device) => found = Err(e),
                Err(_) => {}
            }
        }
    }
    found.map_err(|e| {
        let message = format!("neither GPT is usable: {}; backup: {}", primary.message, e.message);
        Error::corrupt(sector_size(device), message)
    })
}

fn last(device: &dyn Blob, unit: u64) -> u64 {
    (device.size() / unit).saturating_sub(1)
}

/// What is wrong with the backup of a good primary copy.
fn backup_problem(device: &dyn Blob, primary: &Copy) -> Option<String> {
    match copy(device, primary.other, primary.unit) {
        Err(e) => Some(format!("the backup GPT is not usable: {}", e.message)),
        Ok(backup) if (&backup.disk, &backup.array) != (&primary.disk, &primary.array) => {
            Some("the backup GPT differs from the primary, which was used".into())
        }
        Ok(_) if primary.other != last(device, primary.unit) => {
            Some("the backup GPT is not at the end of the disk, which must have grown".into())
        }
        Ok(_) => None,
    }
}

/// The copy whose header is in this sector, if all of it holds.
fn copy(device: &dyn Blob, sector: u64, unit: u64) -> Result<Copy> {
    let at = sector.saturating_mul(unit);
    let header = device.read(at, unit as u32)?;
    let size = little(&header, 12, 4);
    if header.get(..8) != Some(b"EFI PART") || !(92..=unit).contains(&size) {
        return Err(Error::corrupt(at, format!("no GPT header at byte {at}")));
    }
    let mut summed = header.get(..size as usize).unwrap_or_default().to_vec();
    summed.get_mut(16..20).unwrap_or_default().fill(0);
    if u64::from(!crc32(!0, &summed)) != little(&header, 16, 4) {
        return Err(Error::corrupt(at, format!("the checksum of the GPT header at byte {at} is wrong")));
    }
    let own = little(&header, 24, 8);
    if own != sector {
        return Err(Error::corrupt(at, format!("the GPT header in sector {sector} is of sector {own}")));
    }
    let (count, length) = (little(&header, 80, 4), little(&header, 84, 4));
    let credible = (128..=ENTRY_MOST).contains(&length) && length.is_power_of_two();
    if !credible || !(1..=ENTRIES_MOST).contains(&count) || count * length > u64::from(READ_MOST) {
        return Err(Error::corrupt(at, format!("{count} GPT entries of {length} bytes are not credible")));
    }
    let array = device.read(little(&header, 72, 8).saturating_mul(unit), (count * length) as u32)?;
    if u64::from(!crc32(!0, &array)) != little(&header, 88, 4) {
        return Err(Error::corrupt(at, "the checksum of the GPT entries is wrong"));
    }
    let (other, disk) = (little(&header, 32, 8), guid(&header, 56));
    Ok(Copy { unit, other, disk, header, array, entry: length as usize })
}

/// A partition in the first free entry. Both copies are written, the backup at the end of the disk, wherever it was before.
pub fn add(device: &dyn Blob, sector: &[u8], purpose: Purpose, addition: &Addition) -> Result<Added> {
    let Copy { unit, other, header, mut array, entry: length, .. } = primary(device)
        .map_err(|e| Error::unsupported(format!("the primary GPT is damaged: {}", e.message)))?;
    add::unit(device, unit)?;
    let rows = array.chunks_exact(length);
    let free =
        rows.clone().position(|row| row.get(..16).is_some_and(|kind| kind.iter().all(|byte| *byte == 0)));
    let free = free.ok_or_else(|| Error::unsupported("all entries of its GPT are used"))?;
    let last = last(device, unit);
    let array_sectors = (array.len() as u64).div_ceil(unit);
    let array_at = little(&header, 72, 8);
    let first_usable = little(&header, 40, 8).max(array_at.saturating_add(array_sectors));
    let end_usable = last.saturating_sub(array_sectors);
    let bytes = |sectors: u64| sectors.saturating_mul(unit);
    let used = rows.filter(|row| row.get(..16).is_some_and(|kind| kind.iter().any(|byte| *byte != 0)));
    let taken = used.map(|row| bytes(little(row, 32, 8))..bytes(little(row, 40, 8).saturating_add(1)));
    let space = bytes(first_usable)..bytes(end_usable.max(first_usable));
    let found = add::room(space, taken.collect(), unit, addition)?;
    let row = row(purpose, &header, found.start / unit, (found.end / unit).saturating_sub(1));
    put(&mut array, free.saturating_mul(length), &row);
    let ends =
        Ends { first: first_usable, last: end_usable.saturating_sub(1), disk: last, array: end_usable };
    let mut patches = copies(&header, &array, array_at, &ends, unit);
    patches.extend(protective(sector, last));
    // the old backup is not to be found again
    let forgotten = (other != last && other > first_usable && other < last)
        .then(|| Patch { offset: bytes(other), bytes: vec![0; unit as usize] });
    patches.extend(forgotten.filter(|_| !(found.start..found.end).contains(&bytes(other))));
    Ok(Added { offset: found.start, length: found.end - found.start, patches })
}

/// Where things are, in sectors.
struct Ends {
    first: u64,
    last: u64,
    disk: u64,
    array: u64,
}

/// Both headers and arrays, with their checksums.
fn copies(header: &[u8], array: &[u8], array_at: u64, ends: &Ends, unit: u64) -> Vec<Patch> {
    let make = |own: u64, other: u64, at: u64| {
        let mut new = header.to_vec();
        put(&mut new, 24, &own.to_le_bytes());
        put(&mut new, 32, &other.to_le_bytes());
        put(&mut new, 40, &ends.first.to_le_bytes());
        put(&mut new, 48, &ends.last.to_le_bytes());
        put(&mut new, 72, &at.to_le_bytes());
        put(&mut new, 88, &(!crc32(!0, array)).to_le_bytes());
        put(&mut new, 16, &[0; 4]);
        let summed = new.get(..little(header, 12, 4) as usize).unwrap_or_default();
        let sum = !crc32(!0, summed);
        put(&mut new, 16, &sum.to_le_bytes());
        [
            Patch { offset: own.saturating_mul(unit), bytes: new },
            Patch { offset: at.saturating_mul(unit), bytes: array.to_vec() },
        ]
    };
    [make(1, ends.disk, array_at), make(ends.disk, 1, ends.array)].into_iter().flatten().collect()
}

/// The protective MBR's entry, which covers the disk (UEFI specification 2.10, 5.2.3); that of a hybrid one stays.
fn protective(sector: &[u8], last: u64) -> Option<Patch> {
    let covered = u32::try_from(last).unwrap_or(u32::MAX);
    let alone = mbr::hybrid(sector).is_empty() && little(sector, 450, 1) == 0xee;
    let same = little(sector, 458, 4) == u64::from(covered);
    (alone && !same).then(|| Patch { offset: 458, bytes: covered.to_le_bytes().to_vec() })
}

/// An entry. Its own identity is made from the disk's, so that the same plan makes the same bytes.
fn row(purpose: Purpose, header: &[u8], first: u64, last: u64) -> Vec<u8> {
    let (kind, name) = match purpose {
        Purpose::EfiSystem => (types::ESP, "EFI System"),
        Purpose::BiosBoot => (types::BIOS_BOOT, "BIOS boot"),
    };
    let mut row = vec![0; 128];
    put(&mut row, 0, &kind);
    let disk = field(header, 56, 16);
    let mix =
        (0..4u64).flat_map(|n| crc32(!0, &[disk, &first.to_le_bytes(), &[n as u8]].concat()).to_le_bytes());
    let mut own: Vec<u8> = disk.iter().zip(mix).map(|(byte, other)| byte ^ other).collect();
    // version 4, variant 1 (RFC 4122): random, as far as anybody can tell
    for (at, keep, set) in [(7, 0x0f, 0x40), (8, 0x3f, 0x80)] {
        let old = little(&own, at, 1) as u8;
        put(&mut own, at, &[old & keep | set]);
    }
    put(&mut row, 16, &own);
    put(&mut row, 32, &first.to_le_bytes());
    put(&mut row, 40, &last.to_le_bytes());
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(&mut row, 56, &name);
    row
}

/// None where the type is all zeroes: not in use.
fn entry(bytes: &[u8], index: u32, unit: u64) -> Option<Entry> {
    if bytes.get(..16)?.iter().all(|byte| *byte == 0) {
        return None;
    }
    let (first, last) = (little(bytes, 32, 8), little(bytes, 40, 8));
    let name: Vec<u16> = bytes.get(56..128)?.chunks_exact(2).map(|pair| little(pair, 0, 2) as u16).collect();
    let name = String::from_utf16_lossy(name.split(|unit| *unit == 0).next().unwrap_or_default());
    let kind = guid(bytes, 0);
    let mut facts = vec![fact("partition.uuid", guid(bytes, 16)), fact("partition.type", &kind)];
    facts.extend(types::gpt(&kind).map(|name| fact("partition.type-name", name)));
    facts.push(fact("partition.bootable", little(bytes, 48, 8) & 4 != 0));
    if !name.is_empty() {
        facts.push(fact("partition.label", name));
    }
    let length = last.saturating_add(1).saturating_sub(first).saturating_mul(unit);
    Some(Entry { number: index, start: first.saturating_mul(unit), length, facts })
}

/// Mixed-endian, as the specification's appendix A writes it; lower case.
fn guid(bytes: &[u8], at: usize) -> String {
    Uuid::from_guid(field(bytes, at, 16)).to_string()
}
