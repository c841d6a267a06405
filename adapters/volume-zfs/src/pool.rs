//! A pool of several devices as a part.

use crate::member::Member;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use wherry_sdk::volume::{Layout, Part, Segment, join};
use wherry_sdk::{Fact, Severity, concern, fact};
use wherry_zfs::{Label, Vdev};

/// What the adapter of pools takes.
const MEMBERS_MOST: usize = 256;
const MISSING: &str =
    "have all of the machine's disks copied, or bring the pool to full redundancy on the source first";
const OUT_OF_DATE: &str =
    "leave the disk that is out of date away, or run zpool online and zpool scrub on the source first";

/// The newest label of each top-level vdev, by its id.
type Tops<'m> = BTreeMap<u64, &'m Label>;

/// Turns a pool into a part, if it has more than one device.
pub fn describe(members: &[Member], layout: &mut Layout) {
    let Some(newest) = members.iter().map(|member| &member.label).max_by_key(|label| label.txg) else {
        return;
    };
    let mut tops = Tops::new();
    for label in members.iter().map(|member| &member.label) {
        let known = tops.entry(label.tree.id).or_insert(label);
        if (label.txg, label.state) > (known.txg, known.state) {
            *known = label;
        }
    }
    let leaves: usize = tops.values().map(|label| label.tree.leaves().len()).sum();
    let several = leaves > 1 || newest.tops.is_some_and(|tops| tops > 1) || members.len() > 1;
    if !several {
        return;
    }
    let id = format!("zfs:{}", newest.pool);
    let name = format!("{} ({id})", newest.name);
    let mut warn = |kind: &str, message: String, remedy| {
        layout.concerns.push(concern(
            Severity::Warning,
            kind,
            format!("pool {name}: {message}"),
            Some(remedy),
        ));
    };
    let (mut chosen, left) = choose(members, &tops);
    if chosen.len() == 1 && leaves == 1 {
        return;
    }
    for (member, why) in left {
        warn("zfs.left-out", format!("device {} {why}; it is not read", member.device), OUT_OF_DATE);
    }
    chosen.truncate(MEMBERS_MOST);
    let has = |guid| chosen.iter().any(|member| member.label.guid == guid);
    let mut readable = true;
    for label in tops.values() {
        let missing: Vec<String> =
            label.tree.leaves().into_iter().filter(|leaf| !has(leaf.guid)).map(Vdev::shown).collect();
        if missing.is_empty() {
            continue;
        }
        let there = label.tree.is_readable(&has);
        readable &= there || label.tree.is_log;
        let still = if there { "the others have all of its data" } else { "it cannot be read without" };
        let message = format!("{} lacks {}: {still}", label.tree.shown_kind(), missing.join(", "));
        warn("zfs.missing-member", message, MISSING);
    }
    let known = tops.len() + newest.holes.len();
    if let Some(all) = newest.tops.filter(|all| *all > known as u64) {
        readable = false;
        warn("zfs.missing-member", format!("{known} of its {all} top-level vdevs are here"), MISSING);
    }
    let segments = if readable { segments(&chosen) } else { Vec::new() };
    let facts = facts(newest, &chosen, &tops);
    layout.parts.push(Part { id, kind: "logical-volume".into(), segments, facts });
}

/// The members in the order in which they are joined, and what is left out, with why.
fn choose<'m>(members: &'m [Member], tops: &Tops<'_>) -> (Vec<&'m Member>, Vec<(&'m Member, &'static str)>) {
    let mut sorted: Vec<&Member> = members.iter().collect();
    // Of several views of one device, that which ends where the device ends, then the smallest, then the one found last.
    sorted.sort_by_key(|one| (one.label.guid, !one.whole, one.size, Reverse(one.device)));
    let (mut chosen, mut left): (Vec<(u64, usize, &Member)>, _) = (Vec::new(), Vec::new());
    for member in sorted {
        if chosen.iter().any(|(_, _, known)| known.label.guid == member.label.guid) {
            continue;
        }
        let newest = tops.get(&member.label.tree.id).map(|label| &label.tree);
        let place =
            newest.and_then(|tree| tree.leaves().iter().position(|leaf| leaf.guid == member.label.guid));
        let same = newest.is_some_and(|tree| tree.leaf_size() == member.label.tree.leaf_size());
        match place {
            Some(place) if same && member.label.pieces(member.device, member.size, 0).is_some() => {
                chosen.push((member.label.tree.id, place, member));
            }
            Some(_) if same => left.push((member, "is shorter than its label says")),
            Some(_) => left.push((member, "has a label of another size than the others")),
            None => left.push((member, "is no longer in the pool")),
        }
    }
    chosen.sort_by_key(|(top, place, _)| (*top, *place));
    (chosen.into_iter().map(|(_, _, member)| member).collect(), left)
}

fn segments(members: &[&Member]) -> Vec<Segment> {
    let mut list = Vec::new();
    let mut at = 0u64;
    for member in members {
        for piece in member.label.pieces(member.device, member.size, at).into_iter().flatten() {
            at = piece.logical + piece.length;
            join(&mut list, piece);
        }
    }
    list
}

fn facts(newest: &Label, members: &[&Member], tops: &Tops<'_>) -> Vec<Fact> {
    let kinds: Vec<String> = tops.values().map(|label| label.tree.shown_kind()).collect();
    let positions: Vec<String> = members.iter().map(|member| member.device.to_string()).collect();
    vec![
        fact("zfs.pool", &newest.name),
        fact("zfs.guid", newest.pool),
        fact("zfs.vdevs", kinds.join(",")),
        fact("members", positions.join(",")),
        fact("holds", "file-system"),
    ]
}
