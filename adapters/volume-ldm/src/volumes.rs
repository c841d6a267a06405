//! The volumes of each group as parts.

use crate::database::Group;
use crate::disk::Disk;
use crate::map::{Kind, Mapper, Refusal};
use crate::record::{Object, Volume};
use std::collections::BTreeSet;
use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Blob, Concern, Severity, concern, fact};

/// Pieces of all volumes in one answer: 32 bytes each, of the 64 MiB that an adapter may hand over.
const SEGMENTS_MOST: usize = 1 << 20;
/// As many as the host keeps devices.
const PARTS_MOST: usize = 4096;

/// Turns volumes into parts; refused ones have no segments and a concern.
pub fn describe(devices: &[Box<dyn Blob>], disks: &[Disk], groups: &[Group], layout: &mut Layout) {
    let mut room = SEGMENTS_MOST;
    let mut names = BTreeSet::new();
    for group in groups {
        let doubt = group.doubt.clone().or_else(|| overlap(group));
        let mapper = Mapper { group, disks, room };
        for (number, volume) in group.objects.iter().filter_map(|(number, object)| match object {
            Object::Volume(volume) => Some((*number, volume)),
            _ => None,
        }) {
            let id = format!("ldm:{}/{}", group.name, volume.name);
            if layout.parts.len() >= PARTS_MOST || !names.insert(id.clone()) {
                let message =
                    format!("volume {id} is not listed: too many, or one of that name is there already");
                layout.concerns.push(concern(Severity::Warning, "ldm.not-listed", message, None));
                continue;
            }
            let mapped = match &doubt {
                Some(doubt) => Err(Refusal("ldm.doubtful", doubt.clone())),
                None => Mapper { room, ..mapper }.map(number, volume),
            };
            let (kind, segments) = match mapped {
                Ok((kind, segments)) => {
                    layout.concerns.extend(warning(kind, &id));
                    (Some(kind), segments)
                }
                Err(refusal) => {
                    layout.concerns.push(refusal.concern(&id));
                    (None, Vec::new())
                }
            };
            room = room.saturating_sub(segments.len());
            layout.parts.push(part(id, group, volume, kind, segments));
        }
    }
    layout.concerns.extend(unused(devices, disks, groups));
}

impl Refusal {
    fn concern(&self, what: &str) -> Concern {
        let remedy = "its disks are still copied whole; nothing on it is looked at or adapted";
        concern(Severity::Warning, self.0, format!("{what} is left out: {}", self.1), Some(remedy))
    }
}

fn part(id: String, group: &Group, volume: &Volume, kind: Option<Kind>, segments: Vec<Segment>) -> Part {
    let mut facts =
        vec![fact("ldm.group", &group.name), fact("ldm.volume", &volume.name), fact("ldm.id", &volume.id)];
    facts.extend(kind.map(|kind| fact("ldm.type", kind.name())));
    if !volume.hint.is_empty() {
        facts.push(fact("ldm.drive", &volume.hint));
    }
    Part { id, kind: "logical-volume".into(), segments, facts }
}

/// What edits of a volume do not reach.
fn warning(kind: Kind, id: &str) -> Option<Concern> {
    let (what, which) = match kind {
        Kind::Mirrored => {
            ("ldm.mirror", "one copy of the mirror is read and changed; edits do not reach the others")
        }
        Kind::Raid5 => ("ldm.parity", "edits do not reach the parity"),
        _ => return None,
    };
    let remedy = "before the migration remove the mirror; or afterwards have the volume resynchronised in Disk Management";
    Some(concern(Severity::Warning, what, format!("{id}: {which}"), Some(remedy)))
}

/// Dynamic disks whose database was not found anywhere.
fn unused(devices: &[Box<dyn Blob>], disks: &[Disk], groups: &[Group]) -> Vec<Concern> {
    let lost = disks
        .iter()
        .filter(|disk| disk.device < devices.len() && groups.iter().all(|one| one.id != disk.group));
    let message = |disk: &Disk| format!("nothing is known of the volumes on dynamic disk {}", disk.device);
    lost.map(|disk| concern(Severity::Warning, "ldm.no-database", message(disk), None)).collect()
}

/// Two partitions in the same sectors: nobody can say whose bytes those are.
fn overlap(group: &Group) -> Option<String> {
    let mut areas: Vec<(u64, u64, u64)> = Vec::new();
    for object in group.objects.values() {
        if let Object::Partition(one) = object {
            areas.push((one.disk, one.start, one.start.saturating_add(one.size)));
        }
    }
    areas.sort_unstable();
    let shared = areas.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0 && b.1 < a.2));
    shared.map(|_| "two partitions lie in the same sectors".into())
}
