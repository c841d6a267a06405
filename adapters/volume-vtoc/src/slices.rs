//! Slices as parts.

use crate::label::{Kind, Label, Slice};
use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Severity, concern, fact};

/// Tags (`sys/vtoc.h`); the last ones are Linux'.
const TAGS: [(u16, &str); 19] = [
    (0x01, "boot"),
    (0x02, "root"),
    (0x03, "swap"),
    (0x04, "usr"),
    (0x05, "backup"),
    (0x06, "stand"),
    (0x07, "var"),
    (0x08, "home"),
    (0x09, "alternates"),
    (0x0a, "cache"),
    (0x0b, "reserved"),
    (0x0c, "system"),
    (0x0e, "public"),
    (0x0f, "private"),
    (0x18, "BIOS boot"),
    (0x82, "Linux swap"),
    (0x83, "Linux"),
    (0x8e, "Linux LVM"),
    (0xfd, "Linux RAID"),
];
/// Slices that say what the label covers, not what is there.
const BOOT: u16 = 0x01;
const BACKUP: u16 = 0x05;
/// Flags of a slice.
const UNMOUNTABLE: u16 = 0x01;
const READ_ONLY: u16 = 0x10;

/// Whether `label`, found on a device of `size` bytes, is that of another device with `other.1` bytes, seen through its part at
/// the very start.
pub fn shows(other: &(Label, u64), label: &Label, size: u64) -> bool {
    let (other, whole) = other;
    other.bytes == label.bytes
        && listed(other, *whole).iter().any(|slice| slice.start == 0 && slice.length == size)
}

/// The slices that share the disk among them.
fn apart(label: &Label, size: u64) -> Vec<&Slice> {
    label.slices.iter().filter(|slice| !covers(label, slice, size)).collect()
}

/// Those that become parts: all where none but the whole is there.
fn listed(label: &Label, size: u64) -> Vec<&Slice> {
    let apart = apart(label, size);
    if apart.is_empty() { label.slices.iter().collect() } else { apart }
}

/// Slices become parts; those that cannot be are left out with a concern.
pub fn describe(index: u32, size: u64, label: &Label, layout: &mut Layout) {
    let prefix = if index == 0 { String::new() } else { format!("d{index}/") };
    let apart = apart(label, size);
    for slice in listed(label, size) {
        // On x86 the label's own cylinder holds nothing else.
        if label.kind == Kind::X86 && slice.tag == BOOT && slice.start == 0 {
            continue;
        }
        let id = format!("{prefix}vtoc:{}", slice.number);
        let mut segments =
            vec![Segment { logical: 0, length: slice.length, device: index, offset: slice.start }];
        if let Some(problem) = problem(&apart, slice, size) {
            segments.clear();
            let message = format!("slice {id} {problem}; it is left out");
            let remedy = "check the label on the source with prtvtoc";
            layout.concerns.push(concern(Severity::Warning, "vtoc.bad-slice", message, Some(remedy)));
        }
        let mut facts = vec![fact("table.kind", label.kind.name()), fact("partition.number", slice.number)];
        facts.push(fact("partition.offset", slice.start));
        facts.push(fact("partition.type", format!("{:02x}", slice.tag)));
        let name = TAGS.iter().find(|(tag, _)| *tag == slice.tag);
        facts.extend(name.map(|(_, name)| fact("partition.type-name", name)));
        facts.push(fact("vtoc.mountable", slice.flag & UNMOUNTABLE == 0));
        facts.push(fact("vtoc.read-only", slice.flag & READ_ONLY != 0));
        if !label.volume.is_empty() {
            facts.push(fact("vtoc.volume", &label.volume));
        }
        layout.parts.push(Part { id, kind: "partition".into(), segments, facts });
    }
}

/// The slice for the whole disk: by its tag, or since it has everything that the other slices have.
fn covers(label: &Label, slice: &Slice, size: u64) -> bool {
    let within = |other: &Slice| other.start >= slice.start && end(other) <= end(slice);
    let overlapped =
        label.slices.iter().filter(|other| other.number != slice.number && meets(slice, other)).count();
    slice.tag == BACKUP
        || slice.start == 0
            && (slice.length >= size
                || slice.number == 2 && overlapped > 0 && label.slices.iter().all(within))
}

fn end(slice: &Slice) -> u64 {
    slice.start.saturating_add(slice.length)
}

fn meets(one: &Slice, other: &Slice) -> bool {
    other.start < end(one) && one.start < end(other)
}

/// Why a slice cannot be a part.
fn problem(apart: &[&Slice], slice: &Slice, size: u64) -> Option<String> {
    if end(slice) > size {
        return Some(format!("ends at byte {}, beyond its device's {size} bytes", end(slice)));
    }
    let mut others = apart.iter().filter(|other| other.number != slice.number);
    others.find(|other| meets(slice, other)).map(|other| format!("overlaps slice {}", other.number))
}
