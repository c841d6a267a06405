//! The master boot record: four entries of 16 bytes at 446 and the mark 55 AA at 510 (UEFI specification 2.10,
//! section 5.2.1); an extended partition holds a chain of such sectors. Numbers are given as the Linux kernel does
//! (block/partitions/msdos.c), because a guest's `/dev/sda5` must be this table's partition 5.

use crate::add::{self, Purpose};
use crate::{Entry, Table, sector_size, types};
use std::collections::BTreeSet;
use std::ops::Range;
use wherry_sdk::bytes::little;
use wherry_sdk::volume::{Added, Addition};
use wherry_sdk::{Blob, Error, Patch, Result, Severity, concern, fact};

/// More logical partitions than any system numbers.
const LOGICAL_MOST: u32 = 256;
/// Types of extended partitions: CHS, LBA, Linux.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const PROTECTIVE: u8 = 0xee;
const ESP: u8 = 0xef;
/// New partitions begin here at the earliest, since boot code is before it.
const ALIGNED: u64 = 1 << 20;
/// Boot code ends here at the latest.
const GAP_END: u64 = 1 << 20;

/// An entry as it is stored; `start` and `sectors` count sectors.
struct Raw {
    boot: u8,
    kind: u8,
    start: u64,
    sectors: u64,
}

impl Raw {
    fn used(&self) -> bool {
        self.kind != 0 && self.sectors > 0
    }
    fn extended(&self) -> bool {
        EXTENDED.contains(&self.kind)
    }
}

fn entries(sector: &[u8]) -> [Raw; 4] {
    [446, 462, 478, 494].map(|at| Raw {
        boot: little(sector, at, 1) as u8,
        kind: little(sector, at + 4, 1) as u8,
        start: little(sector, at + 8, 4),
        sectors: little(sector, at + 12, 4),
    })
}

fn marked(sector: &[u8]) -> bool {
    sector.get(510..512) == Some(&[0x55, 0xaa])
}

/// A partition table, and not the boot sector of a file system, which bears the same mark: boot flags are 00 or 80,
/// and at least one entry is in use. A sector that names a file system has to make sense as a table in full, because
/// GRUB keeps an old parameter block when it installs itself over one.
pub fn is_table(sector: &[u8], device: &dyn Blob) -> bool {
    let entries = entries(sector);
    let flags = entries.iter().all(|entry| entry.boot & 0x7f == 0);
    let sectors = device.size() / sector_size(device);
    let fits = |entry: &&Raw| entry.start > 0 && entry.start.saturating_add(entry.sectors) <= sectors;
    let sensible =
        || entries.iter().filter(|entry| entry.kind != 0).all(|entry| entry.used() && fits(&entry));
    let used = entries.iter().any(Raw::used);
    marked(sector) && flags && used && (!names_file_system(sector) || sensible())
}

/// FAT, NTFS, exFAT, ReFS or BitLocker, by the name in the boot sector.
fn names_file_system(sector: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b"NTFS    ", b"EXFAT   ", b"ReFS\0\0\0\0", b"-FVE-FS-"];
    let fat = [54..57, 82..85].into_iter().any(|at| sector.get(at) == Some(b"FAT"));
    fat || sector.get(3..11).is_some_and(|name| names.contains(&name))
}

/// An entry of type EE says that the disk has a GPT, also in a hybrid MBR.
pub fn is_protective(sector: &[u8]) -> bool {
    entries(sector).iter().any(|entry| entry.kind == PROTECTIVE)
}

/// Numbers of the entries that a hybrid MBR has besides the protective one.
pub fn hybrid(sector: &[u8]) -> Vec<u32> {
    let numbered = entries(sector).into_iter().zip(1..);
    numbered.filter(|(entry, _)| entry.used() && entry.kind != PROTECTIVE).map(|(_, number)| number).collect()
}

/// The first sector after the protective entry, unless it is the "all that can be said" of a large disk.
pub fn protected_end(sector: &[u8]) -> Option<u64> {
    let entry = entries(sector).into_iter().find(|entry| entry.kind == PROTECTIVE)?;
    (entry.sectors != u64::from(u32::MAX)).then_some(entry.start + entry.sectors)
}

/// Reads the table and the chains of logical partitions.
pub fn read(device: &dyn Blob, sector: &[u8]) -> Result<Table> {
    let unit = sector_size(device);
    let id = format!("{:08x}", little(sector, 440, 4));
    let gap = gap(sector, unit);
    let mut table = Table { kind: "mbr", id, floor: unit, gap, entries: Vec::new(), concerns: Vec::new() };
    let mut logical = 5;
    for (raw, number) in entries(sector).into_iter().zip(1..) {
        if raw.extended() {
            read_logical(device, raw.start, &mut logical, &mut table)?;
        } else if raw.kind != 0 {
            let entry = entry(&table.id, number, &raw, raw.start, unit);
            table.entries.push(entry);
        }
    }
    table.entries.sort_by_key(|entry| entry.number);
    Ok(table)
}

/// What lies between the table and the first partition, extended ones included, up to the first MiB.
fn gap(sector: &[u8], unit: u64) -> Option<Range<u64>> {
    let entries = entries(sector);
    let first = entries.iter().filter(|entry| entry.kind != 0).map(|entry| entry.start).min()?;
    let end = first.saturating_mul(unit).min(GAP_END);
    (end > unit).then_some(unit..end)
}

/// A primary partition in the first free entry: UEFI firmware takes one of type EF as it takes a GPT's (UEFI specification 2.10,
/// 5.2.2). GRUB needs none here, it has the gap.
pub fn add(device: &dyn Blob, sector: &[u8], purpose: Purpose, addition: &Addition) -> Result<Added> {
    if purpose != Purpose::EfiSystem {
        return Err(Error::unsupported("boot code lies behind an MBR, not in a partition"));
    }
    let unit = sector_size(device);
    let raws = entries(sector);
    let free = raws.iter().position(|raw| raw.kind == 0).ok_or_else(|| {
        Error::unsupported(
            "all four entries of its MBR are used; remove a partition, or make two of them logical",
        )
    })?;
    let taken = raws.iter().filter(|raw| raw.kind != 0);
    let bytes = |sectors: u64| sectors.saturating_mul(unit);
    let taken = taken.map(|raw| bytes(raw.start)..bytes(raw.start.saturating_add(raw.sectors))).collect();
    // sector numbers have 32 bits
    let end = (device.size() / unit).min(u64::from(u32::MAX)) * unit;
    let found = add::room(ALIGNED..end.max(ALIGNED), taken, unit, addition)?;
    let number = |bytes: u64| u32::try_from(bytes / unit).unwrap_or(u32::MAX).to_le_bytes();
    // cylinder, head and sector say "beyond what they can say", as for every partition of today
    let mut entry = vec![0, 0xfe, 0xff, 0xff, ESP, 0xfe, 0xff, 0xff];
    entry.extend(number(found.start));
    entry.extend(number(found.end - found.start));
    let patch = Patch { offset: 446 + 16 * free as u64, bytes: entry };
    Ok(Added { offset: found.start, length: found.end - found.start, patches: vec![patch] })
}

/// Follows one chain: a partition is relative to its own sector, a link to the start of the extended partition.
/// Links may go back, since tools chain partitions in the order in which they were made.
fn read_logical(device: &dyn Blob, extended: u64, next: &mut u32, table: &mut Table) -> Result<()> {
    let unit = sector_size(device);
    let mut seen = BTreeSet::new();
    let mut at = extended;
    loop {
        let byte = at.saturating_mul(unit);
        let readable = byte.checked_add(512).is_some_and(|end| end <= device.size());
        let sector = if readable { device.read(byte, 512)? } else { Vec::new() };
        let problem = if !seen.insert(at) {
            "comes back to itself"
        } else if !marked(&sector) {
            "is broken"
        } else if *next > LOGICAL_MOST || seen.len() > LOGICAL_MOST as usize {
            "does not end"
        } else {
            ""
        };
        if !problem.is_empty() {
            let message = format!(
                "the chain of logical partitions {problem} at byte {byte}, after number {}",
                *next - 1
            );
            let remedy = "check the table on the source with sfdisk --verify; what follows is left out";
            table.concerns.push(concern(Severity::Warning, "partitions.bad-chain", message, Some(remedy)));
            return Ok(());
        }
        let raws = entries(&sector);
        // The third and the fourth entry are junk on many disks; no tool makes them.
        for raw in raws.iter().take(2).filter(|raw| raw.used() && !raw.extended()) {
            let entry = entry(&table.id, *next, raw, at.saturating_add(raw.start), unit);
            table.entries.push(entry);
            *next += 1;
        }
        let Some(link) = raws.iter().find(|raw| raw.extended() && raw.sectors > 0) else { return Ok(()) };
        at = extended.saturating_add(link.start);
    }
}

fn entry(table: &str, number: u32, raw: &Raw, start: u64, unit: u64) -> Entry {
    let mut facts = vec![
        fact("partition.uuid", format!("{table}-{number:02x}")),
        fact("partition.type", format!("{:02x}", raw.kind)),
    ];
    facts.extend(types::mbr(raw.kind).map(|name| fact("partition.type-name", name)));
    facts.push(fact("partition.bootable", raw.boot == 0x80));
    Entry { number, start: start.saturating_mul(unit), length: raw.sectors.saturating_mul(unit), facts }
}
