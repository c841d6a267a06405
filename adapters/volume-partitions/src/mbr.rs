//! The master boot record: four entries of 16 bytes at 446 and the mark 55 AA at 510 (UEFI specification 2.10,
//! section 5.2.1); an extended partition holds a chain of such sectors, each with one logical partition and one link.

use crate::{Entry, Table, number};
use wherry_sdk::{Blob, Result, Severity, concern, fact};

/// More logical partitions than any tool makes; also what ends a cyclic chain.
const LOGICAL_MOST: u32 = 256;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

struct Raw {
    boot: u8,
    kind: u8,
    start: u64,
    sectors: u64,
}

fn raw(sector: &[u8], index: usize) -> Raw {
    let at = 446 + 16 * index;
    Raw {
        boot: number(sector, at, 1) as u8,
        kind: number(sector, at + 4, 1) as u8,
        start: number(sector, at + 8, 4),
        sectors: number(sector, at + 12, 4),
    }
}

/// A partition table, and not the boot sector of a file system, which bears the same mark: boot flags are 00 or 80,
/// and at least one entry is in use.
pub fn is_table(sector: &[u8]) -> bool {
    let entries: Vec<Raw> = (0..4).map(|index| raw(sector, index)).collect();
    let marked = sector.get(510..512) == Some(&[0x55, 0xaa]);
    let plausible = entries.iter().all(|e| e.boot & 0x7f == 0 && (e.kind == 0 || e.sectors > 0));
    let fat = sector.get(54..57) == Some(b"FAT") || sector.get(82..85) == Some(b"FAT");
    let ntfs = sector.get(3..7) == Some(b"NTFS");
    marked && plausible && !fat && !ntfs && entries.iter().any(|entry| entry.kind != 0)
}

/// An entry of type EE says that the disk has a GPT, also in a hybrid MBR.
pub fn is_protective(sector: &[u8]) -> bool {
    (0..4).any(|index| raw(sector, index).kind == 0xee)
}

/// Reads the table and the chain of logical partitions.
pub fn read(device: &dyn Blob, sector: &[u8]) -> Result<Table> {
    let unit = u64::from(device.sector_size());
    let id = format!("{:08x}", number(sector, 440, 4));
    let mut table = Table { kind: "mbr", id, entries: Vec::new(), concerns: Vec::new() };
    for index in 0..4 {
        let raw = raw(sector, index);
        if EXTENDED.contains(&raw.kind) {
            read_logical(device, raw.start, &mut table)?;
        } else if raw.kind != 0 {
            let entry = entry(&table.id, index as u32 + 1, &raw, raw.start, unit);
            table.entries.push(entry);
        }
    }
    table.entries.sort_by_key(|entry| entry.number);
    Ok(table)
}

/// Follows the chain: the first entry is relative to its own sector, the link to the start of the extended partition.
fn read_logical(device: &dyn Blob, extended: u64, table: &mut Table) -> Result<()> {
    let unit = u64::from(device.sector_size());
    let (mut link, mut next) = (0, 5);
    loop {
        let at = extended.saturating_add(link).saturating_mul(unit);
        let readable = at.checked_add(512).is_some_and(|end| end <= device.size());
        let sector = if readable { device.read(at, 512)? } else { Vec::new() };
        if sector.get(510..512) != Some(&[0x55, 0xaa]) || next - 5 >= LOGICAL_MOST {
            let message =
                format!("the chain of logical partitions is broken at byte {at}, after number {}", next - 1);
            table.concerns.push(concern(Severity::Warning, "partitions.broken-chain", message, None));
            return Ok(());
        }
        let (logical, onward) = (raw(&sector, 0), raw(&sector, 1));
        if logical.kind != 0 && logical.sectors > 0 {
            let start = extended.saturating_add(link).saturating_add(logical.start);
            let entry = entry(&table.id, next, &logical, start, unit);
            table.entries.push(entry);
            next += 1;
        }
        // A chain only ever goes on; one that goes back is a cycle.
        if onward.kind == 0 || onward.start <= link {
            return Ok(());
        }
        link = onward.start;
    }
}

fn entry(table: &str, number: u32, raw: &Raw, start: u64, unit: u64) -> Entry {
    let facts = vec![
        fact("partition.uuid", format!("{table}-{number:02x}")),
        fact("partition.type", format!("{:02x}", raw.kind)),
        fact("partition.bootable", raw.boot == 0x80),
    ];
    Entry { number, start: start.saturating_mul(unit), length: raw.sectors.saturating_mul(unit), facts }
}
