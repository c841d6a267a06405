//! Each array as a part.

use crate::array::{Array, Refusal};
use crate::map;
use std::collections::BTreeSet;
use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Concern, Fact, Severity, concern, fact};

/// Pieces of all arrays in one answer: 32 bytes each, of the 64 MiB that an adapter may hand over.
const SEGMENTS_MOST: usize = 1 << 20;
/// As many as the host keeps devices.
const PARTS_MOST: usize = 4096;

/// What makes copies and parity agree with the data again.
const REPAIR: &str = "after the migration write `repair` to /sys/block/mdN/md/sync_action; or before it take the other copies away";

/// Turns arrays into parts; refused ones have no segments and a concern.
pub fn describe(arrays: &[Array], layout: &mut Layout) {
    let mut room = SEGMENTS_MOST;
    let mut ids = BTreeSet::new();
    for array in arrays {
        let id = format!("md:{}", array.superblock.shown_uuid());
        if layout.parts.len() >= PARTS_MOST || !ids.insert(id.clone()) {
            let message = format!("array {id} is not listed: too many, or one of that uuid is there already");
            layout.concerns.push(concern(Severity::Warning, "md.not-listed", message, None));
            continue;
        }
        let what = if array.superblock.name.is_empty() {
            id.clone()
        } else {
            format!("{id} ({})", array.superblock.name)
        };
        for (kind, message) in &array.left_out {
            layout.concerns.push(concern(
                Severity::Warning,
                kind,
                format!("{what}: {message}; it is not read"),
                None,
            ));
        }
        let mapped = match &array.doubt {
            Some(Refusal(kind, message)) => Err(Refusal(kind, message.clone())),
            None => map::map(array, 0, room),
        };
        let segments = match mapped {
            Ok(segments) => {
                layout.concerns.extend(warnings(array, &what));
                segments
            }
            Err(refusal) => {
                layout.concerns.push(refused(&refusal, &what));
                Vec::new()
            }
        };
        room = room.saturating_sub(segments.len());
        let mapped = !segments.is_empty();
        layout.parts.push(part(id.clone(), array, segments));
        if !mapped {
            continue;
        }
        for number in 1..map::copies(array) {
            match map::map(array, number, room) {
                Ok(segments) => {
                    room = room.saturating_sub(segments.len());
                    layout.parts.push(copy(&id, number, segments));
                }
                Err(refusal) => {
                    layout.concerns.push(unreached(&what, &refusal));
                    break;
                }
            }
        }
    }
}

/// Another place of an array's data.
fn copy(of: &str, number: usize, segments: Vec<Segment>) -> Part {
    Part { id: format!("{of}/copy{number}"), kind: "copy".into(), segments, facts: vec![fact("copy-of", of)] }
}

fn unreached(what: &str, Refusal(_, message): &Refusal) -> Concern {
    let message = format!("array {what}: edits do not reach all of its copies: {message}");
    concern(Severity::Warning, "md.mirror", message, Some(REPAIR))
}

fn refused(Refusal(kind, message): &Refusal, what: &str) -> Concern {
    let remedy = match *kind {
        "md.missing-member" => {
            "have all of the machine's disks copied, or rebuild the array on the source first"
        }
        "md.reshaping" => "let the array finish on the source (see /proc/mdstat)",
        "md.journal" => {
            "take the journal away on the source: mdadm --fail and --remove it, then --grow --consistency-policy=resync"
        }
        "md.conflict" | "md.duplicate-member" => "leave the disk that is out of date away",
        _ => "its disks are still copied whole; nothing on it is looked at or adapted",
    };
    concern(Severity::Warning, kind, format!("array {what} is left out: {message}"), Some(remedy))
}

fn level(level: i32) -> String {
    match level {
        -1 => "linear".into(),
        -4 => "multipath".into(),
        -5 => "faulty".into(),
        _ => format!("raid{level}"),
    }
}

fn part(id: String, array: &Array, segments: Vec<Segment>) -> Part {
    let superblock = &array.superblock;
    let mut facts: Vec<Fact> = vec![fact("md.uuid", superblock.shown_uuid())];
    if !superblock.name.is_empty() {
        facts.push(fact("md.name", &superblock.name));
    }
    facts.extend(superblock.minor.map(|minor| fact("md.minor", minor)));
    facts.push(fact("md.level", level(superblock.level)));
    facts.push(fact("md.version", superblock.version));
    facts.push(fact("md.members", superblock.disks));
    facts.push(fact("md.degraded", !array.is_whole()));
    facts.push(fact("md.clean", superblock.clean));
    if matches!(superblock.level, 4..=6) {
        facts.push(fact("keep-unused", "parity is made of it"));
    }
    let members: Vec<String> = array.devices.iter().map(u32::to_string).collect();
    facts.push(fact("members", members.join(",")));
    Part { id, kind: "logical-volume".into(), segments, facts }
}

/// What is to be known of an array that is mapped.
fn warnings(array: &Array, what: &str) -> Vec<Concern> {
    let mut warnings = Vec::new();
    if !array.is_whole() {
        let message =
            format!("array {what} is degraded: {} the others have all of its data", array.missing());
        let remedy = "add the missing member after the migration, or make the array smaller";
        warnings.push(concern(Severity::Warning, "md.degraded", message, Some(remedy)));
    }
    if matches!(array.superblock.level, 4..=6) {
        let message = format!("array {what}: edits do not reach the parity");
        warnings.push(concern(Severity::Warning, "md.parity", message, Some(REPAIR)));
    }
    warnings
}
