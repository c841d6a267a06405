//! MBR and GPT partition tables.

mod add;
mod gpt;
mod mbr;
mod types;

use std::ops::Range;
use wherry_sdk::volume::{Added, Addition, Layout, Part, Segment};
use wherry_sdk::{Blob, Concern, ErrorKind, Fact, Result, Severity, VolumeMap, concern, fact, find};

/// Both kinds of partition table.
pub struct Partitions;

/// One entry of a table, in bytes of its device.
struct Entry {
    number: u32,
    start: u64,
    length: u64,
    facts: Vec<Fact>,
}

impl Entry {
    fn span(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.length)
    }
}

/// What one device holds.
struct Table {
    kind: &'static str,
    id: String,
    /// The first byte that a partition may use; the table lies before it.
    floor: u64,
    /// Bytes behind the table that no partition and no table needs, where boot loaders have their code by custom.
    gap: Option<Range<u64>>,
    entries: Vec<Entry>,
    concerns: Vec<Concern>,
}

impl VolumeMap for Partitions {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        for (index, device) in devices.iter().enumerate() {
            match table(device.as_ref()) {
                Ok(None) => {}
                Ok(Some(table)) => describe(index as u32, device.size(), table, &mut layout),
                Err(e) if matches!(e.kind, ErrorKind::Limit | ErrorKind::Cancelled) => return Err(e),
                // The other devices can still be described.
                Err(e) => {
                    let message = format!("no partition of device {index} can be found: {}", e.message);
                    let remedy = "repair the table on the source, with gdisk's recovery menu for instance";
                    layout.concerns.push(concern(
                        Severity::Blocking,
                        "partitions.unreadable",
                        message,
                        Some(remedy),
                    ));
                }
            }
        }
        Ok(layout)
    }

    fn add_partition(device: &dyn Blob, addition: &Addition) -> Result<Added> {
        add::add(device, addition)
    }
}

/// A protective MBR means GPT (UEFI specification 2.10, section 5.2.3); without a readable GPT nothing is believed.
fn table(device: &dyn Blob) -> Result<Option<Table>> {
    if device.size() < 1024 {
        return Ok(None);
    }
    let sector = device.read(0, 512)?;
    if !mbr::is_table(&sector, device) {
        return Ok(None);
    }
    if mbr::is_protective(&sector) {
        gpt::read(device, &sector).map(Some)
    } else {
        mbr::read(device, &sector).map(Some)
    }
}

/// Entries become parts; those that cannot be are left out with a concern.
fn describe(index: u32, size: u64, mut table: Table, layout: &mut Layout) {
    let prefix = if index == 0 { String::new() } else { format!("d{index}/") };
    layout.concerns.append(&mut table.concerns);
    let spans: Vec<(u32, Range<u64>)> =
        table.entries.iter().map(|entry| (entry.number, entry.span())).collect();
    for entry in table.entries {
        let id = format!("{prefix}{}:{}", table.kind, entry.number);
        let mut segments =
            vec![Segment { logical: 0, length: entry.length, device: index, offset: entry.start }];
        if let Some(problem) = problem(&entry, table.floor, size, &spans) {
            segments.clear();
            let message = format!("partition {id} {problem}; it is left out");
            let remedy = "check the table on the source with sfdisk --verify";
            layout.concerns.push(concern(Severity::Warning, "partitions.bad-entry", message, Some(remedy)));
        }
        if let Some(one) = manager(&entry, &id, &mut segments) {
            layout.concerns.push(one);
        }
        let mut facts = vec![fact("table.kind", table.kind), fact("table.id", &table.id)];
        facts.push(fact("partition.number", entry.number));
        facts.push(fact("partition.offset", entry.start));
        facts.extend(table.gap.iter().map(|gap| fact("table.gap", format!("{}-{}", gap.start, gap.end))));
        facts.extend(entry.facts);
        layout.parts.push(Part { id, kind: "partition".into(), segments, facts });
    }
}

/// What a concern says of an entry whose bytes Windows divides further. A dynamic disk's entry covers volumes, the first of
/// which would be found in it as well.
fn manager(entry: &Entry, id: &str, segments: &mut Vec<Segment>) -> Option<Concern> {
    match find(&entry.facts, "partition.type")? {
        types::DYNAMIC | types::DYNAMIC_DATA | types::DYNAMIC_METADATA => {
            segments.clear();
            let message = format!(
                "partition {id} belongs to a Windows dynamic disk; its volumes are listed by themselves"
            );
            Some(concern(Severity::Information, "partitions.dynamic", message, None))
        }
        types::STORAGE_SPACES => {
            let message = format!(
                "partition {id} belongs to a pool of Windows Storage Spaces, whose volumes cannot be read"
            );
            let remedy = "its disks are copied whole; move what is on it to an ordinary disk on the source to have it adapted";
            Some(concern(Severity::Warning, "partitions.storage-spaces", message, Some(remedy)))
        }
        _ => None,
    }
}

/// Why an entry cannot be a part.
fn problem(entry: &Entry, floor: u64, size: u64, spans: &[(u32, Range<u64>)]) -> Option<String> {
    let span = entry.span();
    if span.is_empty() {
        return Some("ends before it starts".into());
    }
    if span.start < floor {
        return Some(format!("starts at byte {}, inside the partition table", span.start));
    }
    if span.end > size {
        return Some(format!("ends at byte {}, beyond its disk's {size} bytes", span.end));
    }
    let overlaps = |(number, other): &&(u32, Range<u64>)| {
        *number != entry.number && other.start < span.end && span.start < other.end
    };
    spans.iter().find(overlaps).map(|(other, _)| format!("overlaps partition {other}"))
}

/// The device's logical sector size in bytes.
fn sector_size(device: &dyn Blob) -> u64 {
    if device.sector_size() == 4096 { 4096 } else { 512 }
}

wherry_sdk::register_volume_map!(Partitions, "../adapter.toml");
