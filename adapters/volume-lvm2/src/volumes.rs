//! The newest text of each volume group, and its logical volumes as parts.

use crate::group::{self, Group, Logical, Mapping};
use crate::label::Physical;
use crate::map::{self, Refusal};
use crate::{area, text};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use wherry_sdk::volume::{Layout, Part};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, Result, Severity, concern, fact};

/// Pieces of all volumes in one answer: a stripe each; 32 bytes each, of the 64 MiB that an adapter may hand over.
const SEGMENTS_MOST: usize = 1 << 20;
/// As many as the host keeps devices.
const PARTS_MOST: usize = 4096;

/// A group and what speaks against all of its volumes.
pub struct Newest {
    group: Group,
    /// Another copy of the same age says something else.
    conflict: bool,
}

/// Reads every metadata area; of each group (by its uuid) the copy with the highest sequence number counts.
pub fn newest_groups(
    devices: &[Box<dyn Blob>],
    physicals: &[Physical],
    concerns: &mut Vec<Concern>,
) -> Vec<Newest> {
    let mut groups: Vec<Newest> = Vec::new();
    let mut seen = Seen::default();
    for physical in physicals {
        let Some(device) = devices.get(physical.device) else { continue };
        for place in &physical.areas {
            // Every copy has the same text: one parse is enough.
            let read = area::read(device.as_ref(), place);
            let fresh = read.and_then(|text| seen.fresh(text));
            match fresh.and_then(|text| text.map(|text| group::parse(&text)).transpose()) {
                Ok(group) => group.into_iter().for_each(|group| keep_newest(&mut groups, group)),
                Err(e) => {
                    let message = format!(
                        "metadata area at byte {} of device {}: {}",
                        place.offset, physical.device, e.message
                    );
                    let remedy = "check it on the source with pvck; another copy is used where there is one";
                    concerns.push(concern(Severity::Warning, "lvm.bad-metadata", message, Some(remedy)));
                }
            }
        }
    }
    groups
}

/// The texts that were parsed, by a hash, and their bytes in all.
#[derive(Default)]
struct Seen {
    hashes: BTreeSet<u64>,
    bytes: u64,
}

impl Seen {
    /// The text, unless it is known or all that memory is meant for has been parsed.
    fn fresh(&mut self, text: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let Some(text) = text.filter(|_| self.hashes.insert(hasher.finish())) else { return Ok(None) };
        self.bytes += text.len() as u64;
        if self.bytes > area::TEXT_MOST {
            let message =
                format!("more than {} bytes of metadata in all, this copy is not read", area::TEXT_MOST);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(Some(text))
    }
}

fn keep_newest(groups: &mut Vec<Newest>, group: Group) {
    match groups.iter_mut().find(|known| known.group.uuid == group.uuid) {
        None => groups.push(Newest { group, conflict: false }),
        Some(known) if known.group.seqno < group.seqno => *known = Newest { group, conflict: false },
        Some(known) => known.conflict |= known.group.seqno == group.seqno && known.group != group,
    }
}

/// Turns the volumes that lvs(8) lists into parts; refused ones have no segments and a concern.
pub fn describe(devices: &[Box<dyn Blob>], physicals: &[Physical], groups: &[Newest], layout: &mut Layout) {
    let sizes: Vec<u64> = devices.iter().map(|device| device.size()).collect();
    let mut names = BTreeSet::new();
    let mut room = SEGMENTS_MOST;
    for newest in groups {
        let group = &newest.group;
        if !names.insert(&group.name) {
            let uuid = text::shown(&group.uuid);
            let message = format!("a second volume group is called {} ({uuid}); it is left out", group.name);
            let remedy = "rename one on the source with vgrename UUID NEWNAME";
            layout.concerns.push(concern(Severity::Warning, "lvm.same-name", message, Some(remedy)));
            continue;
        }
        let refusal = against(newest);
        let snapshots = Snapshots::of(group);
        if let Some(refusal) = &refusal {
            layout.concerns.push(refusal.concern(&format!("volume group {}", group.name)));
        } else {
            snapshots.warn(group, &mut layout.concerns);
        }
        let seats = map::seats(group, physicals, &sizes);
        for logical in group.logicals.iter().filter(|logical| snapshots.lists(logical)) {
            if layout.parts.len() >= PARTS_MOST {
                let message = format!("only the first {PARTS_MOST} logical volumes are listed");
                layout.concerns.push(concern(Severity::Warning, "lvm.too-many-volumes", message, None));
                return;
            }
            let mapped = match refusal {
                Some(_) => Ok(Vec::new()),
                None => snapshots.allow(logical).and_then(|()| map::map(group, logical, &seats, room)),
            };
            let segments = mapped.unwrap_or_else(|refusal| {
                let what = format!("logical volume {}/{}", group.name, logical.name);
                layout.concerns.push(refusal.concern(&what));
                Vec::new()
            });
            room = room.saturating_sub(segments.len());
            layout.parts.push(part(group, logical, segments));
        }
    }
}

impl Refusal {
    fn concern(&self, what: &str) -> Concern {
        let remedy = "its disks are still copied whole; nothing on it is looked at or adapted";
        concern(Severity::Warning, self.0, format!("{what} is left out: {}", self.1), Some(remedy))
    }
}

fn part(group: &Group, logical: &Logical, segments: Vec<wherry_sdk::volume::Segment>) -> Part {
    Part {
        id: format!("lvm:{}/{}", group.name, logical.name),
        kind: "logical-volume".into(),
        segments,
        facts: vec![fact("lvm.vg", &group.name), fact("lvm.lv", &logical.name)],
    }
}

/// What speaks against all volumes of a group.
fn against(newest: &Newest) -> Option<Refusal> {
    let group = &newest.group;
    if newest.conflict {
        let message = format!("two copies of its metadata with sequence number {} differ", group.seqno);
        return Some(Refusal("lvm.conflict", message));
    }
    if group.exported {
        return Some(Refusal(
            "lvm.exported",
            "it was exported (vgexport), so the guest does not use it".into(),
        ));
    }
    overlap(group).map(|message| Refusal("lvm.bad-volume", message))
}

/// Two volumes in the same extents: nobody can say whose bytes those are.
fn overlap(group: &Group) -> Option<String> {
    let mut areas = Vec::new();
    for logical in &group.logicals {
        for stretch in &logical.segments {
            let Mapping::Striped { stripes, .. } = &stretch.mapping else { continue };
            let count = stretch.count / stripes.len().max(1) as u64;
            areas.extend(stripes.iter().map(|stripe| {
                (
                    stripe.on.as_str(),
                    stripe.extent,
                    stripe.extent.saturating_add(count),
                    logical.name.as_str(),
                )
            }));
        }
    }
    areas.sort_unstable();
    let shared = areas.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0 && b.1 < a.2));
    shared.and_then(|pair| match pair {
        [a, b] => Some(format!("{} and {} both lie in extent {} of {}", a.3, b.3, b.1, text::shown(a.0))),
        _ => None,
    })
}

/// Who is whose snapshot.
struct Snapshots<'a> {
    /// Volumes that hold a snapshot's changes, and the origin.
    stores: BTreeMap<&'a str, &'a str>,
    /// Origins, and whether a snapshot is being merged back.
    origins: BTreeMap<&'a str, bool>,
}

impl<'a> Snapshots<'a> {
    fn of(group: &'a Group) -> Self {
        let mut all = Self { stores: BTreeMap::new(), origins: BTreeMap::new() };
        for stretch in group.logicals.iter().flat_map(|logical| &logical.segments) {
            if let Mapping::Snapshot { origin, store, merging } = &stretch.mapping {
                all.stores.insert(store, origin);
                *all.origins.entry(origin).or_default() |= merging;
            }
        }
        all
    }

    /// Whether lvs(8) lists this volume: the store of a snapshot has no VISIBLE flag but stands for the snapshot.
    fn lists(&self, logical: &Logical) -> bool {
        logical.visible || self.stores.contains_key(logical.name.as_str())
    }

    /// A store holds changes and not a file system; a merging origin is spread over both.
    fn allow(&self, logical: &Logical) -> core::result::Result<(), Refusal> {
        if let Some(origin) = self.stores.get(logical.name.as_str()) {
            let message = format!("it is a snapshot of {}", text::shown(origin));
            return Err(Refusal("lvm.snapshot", message));
        }
        match self.origins.get(logical.name.as_str()) {
            Some(true) => Err(Refusal("lvm.snapshot", "a snapshot is being merged into it".into())),
            _ => Ok(()),
        }
    }

    /// The overlay's edits go past a snapshot's store, so that the snapshot would show them.
    fn warn(&self, group: &Group, concerns: &mut Vec<Concern>) {
        for (origin, _) in self.origins.iter().filter(|(_, merging)| !**merging) {
            let name = format!("{}/{}", group.name, text::shown(origin));
            let message = format!("logical volume {name} has snapshots; edits of it will show in them, too");
            let remedy = "remove the snapshots before the migration, or do not rely on them afterwards";
            concerns.push(concern(Severity::Warning, "lvm.has-snapshots", message, Some(remedy)));
        }
    }
}
