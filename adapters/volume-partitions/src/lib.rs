//! MBR and GPT partition tables.

mod gpt;
mod mbr;

use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Blob, Concern, Fact, Result, Severity, VolumeMap, concern, fact};

/// Both kinds of partition table.
pub struct Partitions;

/// One entry of a table, in bytes of its device.
struct Entry {
    number: u32,
    start: u64,
    length: u64,
    facts: Vec<Fact>,
}

/// What one device holds.
struct Table {
    kind: &'static str,
    id: String,
    entries: Vec<Entry>,
    concerns: Vec<Concern>,
}

impl VolumeMap for Partitions {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        for (index, device) in devices.iter().enumerate() {
            if let Some(table) = table(device.as_ref())? {
                describe(index as u32, device.size(), table, &mut layout);
            }
        }
        Ok(layout)
    }
}

/// A protective MBR means GPT (UEFI specification 2.10, section 5.2.3); without a readable GPT nothing is believed.
fn table(device: &dyn Blob) -> Result<Option<Table>> {
    if device.size() < 1024 {
        return Ok(None);
    }
    let sector = device.read(0, 512)?;
    if !mbr::is_table(&sector) {
        return Ok(None);
    }
    if mbr::is_protective(&sector) {
        gpt::read(device).map(Some)
    } else {
        mbr::read(device, &sector).map(Some)
    }
}

/// Entries become parts; those that overlap another or leave the device are refused with a concern.
fn describe(index: u32, size: u64, mut table: Table, layout: &mut Layout) {
    let prefix = if index == 0 { String::new() } else { format!("d{index}/") };
    layout.concerns.append(&mut table.concerns);
    let spans: Vec<(u32, u64, u64)> =
        table.entries.iter().map(|e| (e.number, e.start, e.start.saturating_add(e.length))).collect();
    for entry in table.entries {
        let id = format!("{prefix}{}:{}", table.kind, entry.number);
        let end = entry.start.saturating_add(entry.length);
        let overlaps = spans
            .iter()
            .find(|(number, from, to)| *number != entry.number && *from < end && entry.start < *to);
        let problem = if end > size {
            Some(format!("partition {id} ends at byte {end}, beyond its disk's {size} bytes"))
        } else {
            overlaps.map(|(other, ..)| format!("partition {id} overlaps partition {other}"))
        };
        let mut segments =
            vec![Segment { logical: 0, length: entry.length, device: index, offset: entry.start }];
        if let Some(message) = problem {
            segments.clear();
            let remedy = "check the table with sfdisk --verify; the partition is left out";
            layout.concerns.push(concern(Severity::Warning, "partitions.bad-entry", message, Some(remedy)));
        }
        let mut facts = vec![fact("table.kind", table.kind), fact("table.id", &table.id)];
        facts.push(fact("partition.number", entry.number));
        facts.extend(entry.facts);
        layout.parts.push(Part { id, kind: "partition".into(), segments, facts });
    }
}

/// The little-endian number of `length` bytes at `at`; zero where the bytes are missing.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

wherry_sdk::register_volume_map!(Partitions, "../adapter.toml");
