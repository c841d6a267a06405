//! The newest text of each volume group, and its logical volumes as parts.

use crate::group::{self, Group, Logical, Mapping};
use crate::label::Physical;
use crate::map::{Mapper, Notes, Refusal, WORK_MOST};
use crate::{area, text};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, Fact, Result, Severity, concern, fact};

/// Pieces of all volumes in one answer: a stripe each; 32 bytes each, of the 64 MiB that an adapter may hand over.
const SEGMENTS_MOST: usize = 1 << 20;
/// As many as the host keeps devices.
const PARTS_MOST: usize = 4096;
/// As many as a RAID has images.
const COPIES_MOST: usize = 253;

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
    let mut ages: Vec<(String, u64, usize)> = Vec::new();
    for physical in physicals {
        let Some(device) = devices.get(physical.device) else { continue };
        for place in &physical.areas {
            // Every copy has the same text: one parse is enough.
            let read = area::read(device.as_ref(), place);
            let fresh = read.and_then(|text| seen.fresh(text));
            match fresh.and_then(|text| text.map(|text| group::parse(&text)).transpose()) {
                Ok(Some(group)) => {
                    ages.push((group.uuid.clone(), group.seqno, physical.device));
                    keep_newest(&mut groups, group);
                }
                Ok(None) => {}
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
    tell_older(&groups, &ages, concerns);
    groups
}

/// Names the devices whose copy of the metadata is not the newest.
fn tell_older(groups: &[Newest], ages: &[(String, u64, usize)], concerns: &mut Vec<Concern>) {
    for Newest { group, .. } in groups {
        let older = ages.iter().filter(|(uuid, seqno, _)| *uuid == group.uuid && *seqno < group.seqno);
        for (_, seqno, device) in older {
            let message = format!(
                "device {device} has the metadata of volume group {} as of sequence number {seqno}; {} is the newest and counts",
                group.name, group.seqno
            );
            let remedy = "if that disk was away for a while, look at the group on the source with vgck";
            concerns.push(concern(Severity::Information, "lvm.older-metadata", message, Some(remedy)));
        }
    }
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

/// Turns the volumes that lvs(8) lists into parts, but for thin pools, which hold no bytes of their own; refused ones have no
/// segments and a concern.
pub fn describe(devices: &[Box<dyn Blob>], physicals: &[Physical], groups: &[Newest], layout: &mut Layout) {
    let mut names = BTreeSet::new();
    let mut left = Left { segments: SEGMENTS_MOST, work: WORK_MOST };
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
        let relations = Relations::of(group);
        if let Some(refusal) = &refusal {
            layout.concerns.push(refusal.concern(&format!("volume group {}", group.name)));
        } else {
            relations.warn(group, &mut layout.concerns);
        }
        let mut mapper = Mapper::new(group, devices, physicals, left.work);
        for logical in group.logicals.iter().filter(|logical| relations.lists(logical)) {
            if layout.parts.len() >= PARTS_MOST {
                let message = format!("only the first {PARTS_MOST} logical volumes are listed");
                layout.concerns.push(concern(Severity::Warning, "lvm.too-many-volumes", message, None));
                return;
            }
            if refusal.is_some() {
                layout.parts.push(part(group, logical, Vec::new()));
            } else {
                one(&mut mapper, (group, logical), &relations, &mut left, layout);
            }
        }
        left.work = mapper.work();
    }
}

/// What the answer has room for.
struct Left {
    segments: usize,
    work: u64,
}

/// One volume, and the other places of its bytes.
fn one<'a>(
    mapper: &mut Mapper<'a>,
    (group, logical): (&'a Group, &'a Logical),
    relations: &Relations<'_>,
    left: &mut Left,
    layout: &mut Layout,
) {
    let what = format!("logical volume {}/{}", group.name, logical.name);
    let mapped = relations.allow(logical).and_then(|()| mapper.map(logical, 0, left.segments));
    let segments = match mapped {
        Ok(segments) => segments,
        Err(refusal) => {
            layout.concerns.push(refusal.concern(&what));
            return layout.parts.push(part(group, logical, Vec::new()));
        }
    };
    left.segments -= segments.len();
    let notes = std::mem::take(&mut mapper.notes);
    layout.concerns.extend(notes.warnings.iter().map(|warning| warning.warning(&what)));
    let mut whole = part(group, logical, segments);
    let id = whole.id.clone();
    whole.facts.extend(relations.facts(logical, &notes));
    layout.parts.push(whole);
    for number in 1..notes.copies.min(COPIES_MOST) {
        if layout.parts.len() >= PARTS_MOST {
            break;
        }
        match mapper.map(logical, number, left.segments) {
            Ok(segments) => {
                left.segments -= segments.len();
                layout.parts.push(copy(&id, number, segments));
            }
            Err(Refusal(_, why)) => {
                let message = format!("edits do not reach all of its copies: {why}");
                layout.concerns.push(Refusal("lvm.mirror", message).warning(&what));
                break;
            }
        }
    }
}

impl Refusal {
    fn concern(&self, what: &str) -> Concern {
        let remedy = match self.0 {
            "lvm.missing-pv" | "lvm.missing-image" => {
                "have all of the machine's disks copied, or repair it on the source first (lvconvert --repair, vgreduce --removemissing)"
            }
            "lvm.duplicate-pv" => {
                "leave all but one of these devices away, or give a copy another uuid with vgimportclone"
            }
            "lvm.cached" => {
                "take the cache away on the source: lvconvert --uncache, which writes back what is in it only"
            }
            "lvm.integrity" => "take the checksums away on the source: lvconvert --raidintegrity n",
            "lvm.vdo" => "copy its content on the source to a volume that is not of type vdo",
            "lvm.snapshot" => {
                "merge it (lvconvert --merge), or copy its content to a volume of its own, on the source"
            }
            "lvm.moving" => "let pvmove finish on the source, or give it up with pvmove --abort",
            "lvm.reshaping" | "lvm.converting" => {
                "let it finish on the source (lvs -a -o +sync_percent), then repeat the lvconvert, which frees the room"
            }
            "lvm.bad-thin-pool" => {
                "check the pool on the source with thin_check, and repair it with lvconvert --repair"
            }
            "lvm.exported" => "import the group on the source with vgimport if the machine is to use it",
            _ => "its disks are still copied whole; nothing on it is looked at or adapted",
        };
        concern(Severity::Warning, self.0, format!("{what} is left out: {}", self.1), Some(remedy))
    }

    /// Something to be known of a volume that is mapped.
    fn warning(&self, what: &str) -> Concern {
        let remedy = match self.0 {
            "lvm.degraded" => "after the migration replace what is missing with lvconvert --repair",
            _ => "after the migration run lvchange --syncaction repair",
        };
        concern(Severity::Warning, self.0, format!("{what}: {}", self.1), Some(remedy))
    }
}

fn part(group: &Group, logical: &Logical, segments: Vec<Segment>) -> Part {
    Part {
        id: format!("lvm:{}/{}", group.name, logical.name),
        kind: "logical-volume".into(),
        segments,
        facts: vec![fact("lvm.vg", &group.name), fact("lvm.lv", &logical.name)],
    }
}

/// Another place of a volume's bytes.
fn copy(of: &str, number: usize, segments: Vec<Segment>) -> Part {
    Part { id: format!("{of}/copy{number}"), kind: "copy".into(), segments, facts: vec![fact("copy-of", of)] }
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

/// Which volumes share bytes with others.
struct Relations<'a> {
    /// Volumes that hold a snapshot's changes, and the origin.
    stores: BTreeMap<&'a str, &'a str>,
    /// Origins, and whether a snapshot is being merged back.
    origins: BTreeMap<&'a str, bool>,
    /// What thin volumes have their first content from.
    externals: BTreeMap<&'a str, &'a str>,
}

impl<'a> Relations<'a> {
    fn of(group: &'a Group) -> Self {
        let mut all = Self { stores: BTreeMap::new(), origins: BTreeMap::new(), externals: BTreeMap::new() };
        for logical in &group.logicals {
            for stretch in &logical.segments {
                match &stretch.mapping {
                    Mapping::Snapshot { origin, store, merging } => {
                        all.stores.insert(store, origin);
                        *all.origins.entry(origin).or_default() |= merging;
                    }
                    Mapping::Thin { external: Some(origin), .. } => {
                        all.externals.insert(origin, &logical.name);
                    }
                    _ => {}
                }
            }
        }
        all
    }

    /// Whether lvs(8) lists this volume and it has bytes: a pool and what ties a snapshot have none of their own; the store of a snapshot has no VISIBLE flag but stands for the snapshot.
    fn lists(&self, logical: &Logical) -> bool {
        let bare = |mapping: &Mapping| matches!(mapping, Mapping::Pool { .. } | Mapping::Snapshot { .. });
        let bare = logical.segments.iter().any(|stretch| bare(&stretch.mapping));
        !bare && (logical.visible || self.stores.contains_key(logical.name.as_str()))
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

    /// What the host has to know of a volume.
    fn facts(&self, logical: &Logical, notes: &Notes) -> Vec<Fact> {
        let (mut keep, mut edits) = (notes.keep.clone(), notes.edits.clone());
        if self.origins.contains_key(logical.name.as_str()) {
            keep = Some("its snapshots share it".into());
        }
        if let Some(child) = self.externals.get(logical.name.as_str()) {
            keep = Some(format!("the thin volume {} shares it", text::shown(child)));
            edits = Some(format!("it is the external origin of the thin volume {}", text::shown(child)));
        }
        let facts = [("keep-unused", keep), ("edits", edits)];
        facts.into_iter().filter_map(|(key, value)| Some(fact(key, value?))).collect()
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
