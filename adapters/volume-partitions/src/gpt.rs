//! The GUID partition table (UEFI specification 2.10, section 5.3): a header in sector 1 and a backup in the last
//! sector, each with a CRC-32 of itself and of its array of entries.

use crate::{Entry, Table, number};
use wherry_sdk::{Blob, Error, READ_MOST, Result, Severity, concern, fact};

/// The specification's minimum is 128; tools make no more than this.
const ENTRIES_MOST: u64 = 1024;
const ENTRY_MOST: u64 = 1024;

/// Reads the primary table, or the backup with a concern.
pub fn read(device: &dyn Blob) -> Result<Table> {
    let unit = u64::from(device.sector_size());
    let primary = match read_at(device, unit) {
        Ok(table) => return Ok(table),
        Err(e) => e,
    };
    let last = (device.size() / unit).saturating_sub(1).saturating_mul(unit);
    let mut table = read_at(device, last).map_err(|backup| {
        Error::corrupt(
            unit,
            format!("neither GPT is usable: {}; backup: {}", primary.message, backup.message),
        )
    })?;
    let message = format!("the primary GPT is damaged ({}); the backup was used", primary.message);
    let remedy = "repair it on the source with sgdisk --verify and gdisk's recovery menu";
    table.concerns.push(concern(Severity::Warning, "partitions.primary-gpt", message, Some(remedy)));
    Ok(table)
}

fn read_at(device: &dyn Blob, at: u64) -> Result<Table> {
    let header = device.read(at, 512)?;
    let size = number(&header, 12, 4) as usize;
    if header.get(..8) != Some(b"EFI PART") || !(92..=512).contains(&size) {
        return Err(Error::corrupt(at, "no GPT header"));
    }
    let mut summed = header.get(..size).unwrap_or_default().to_vec();
    summed.get_mut(16..20).unwrap_or_default().fill(0);
    if u64::from(crc32(&summed)) != number(&header, 16, 4) {
        return Err(Error::corrupt(at, "the GPT header's checksum is wrong"));
    }
    let (count, length) = (number(&header, 80, 4), number(&header, 84, 4));
    if !(128..=ENTRY_MOST).contains(&length) || count > ENTRIES_MOST || count * length > u64::from(READ_MOST)
    {
        return Err(Error::corrupt(at, format!("{count} GPT entries of {length} bytes are not credible")));
    }
    let unit = u64::from(device.sector_size());
    let array = device.read(number(&header, 72, 8).saturating_mul(unit), (count * length) as u32)?;
    if u64::from(crc32(&array)) != number(&header, 88, 4) {
        return Err(Error::corrupt(at, "the GPT entries' checksum is wrong"));
    }
    let entries = array.chunks_exact(length as usize).zip(1..);
    let entries = entries.filter_map(|(bytes, number)| entry(bytes, number, unit)).collect();
    Ok(Table { kind: "gpt", id: guid(&header, 56), entries, concerns: Vec::new() })
}

/// None where the type is all zeroes: not in use.
fn entry(bytes: &[u8], index: u32, unit: u64) -> Option<Entry> {
    if bytes.get(..16)?.iter().all(|byte| *byte == 0) {
        return None;
    }
    let (first, last) = (number(bytes, 32, 8), number(bytes, 40, 8));
    let name: Vec<u16> = bytes.get(56..128)?.chunks_exact(2).map(|pair| number(pair, 0, 2) as u16).collect();
    let name = String::from_utf16_lossy(name.split(|unit| *unit == 0).next().unwrap_or_default());
    let mut facts = vec![fact("partition.uuid", guid(bytes, 16)), fact("partition.type", guid(bytes, 0))];
    facts.push(fact("partition.bootable", number(bytes, 48, 8) & 4 != 0));
    if !name.is_empty() {
        facts.push(fact("partition.label", name));
    }
    let length = last.saturating_add(1).saturating_sub(first).saturating_mul(unit);
    Some(Entry { number: index, start: first.saturating_mul(unit), length, facts })
}

/// Mixed-endian, as the specification's appendix A writes it; lower case.
fn guid(bytes: &[u8], at: usize) -> String {
    let tail: String = (8..16).map(|i| format!("{:02x}", number(bytes, at + i, 1))).collect();
    let (clock, node) = tail.split_at(4);
    let (low, mid, high) = (number(bytes, at, 4), number(bytes, at + 4, 2), number(bytes, at + 6, 2));
    format!("{low:08x}-{mid:04x}-{high:04x}-{clock}-{node}")
}

/// CRC-32 (ISO 3309), bit by bit: tables are 16 KiB.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
