//! btrfs file systems on several devices, each as one part: its devices one behind the other, in the order of their numbers, each as
//! long as its superblock says. Where mirrored and striped chunks are on them the driver (`fs-btrfs`) finds out.

mod superblock;

use std::collections::BTreeMap;
use superblock::Superblock;
use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Blob, Concern, Result, Severity, VolumeMap, concern, fact};

/// As many as the host keeps devices.
const PARTS_MOST: usize = 4096;
const MEMBERS_MOST: usize = 1 << 10;

/// btrfs on several devices.
pub struct Btrfs;

/// A device, by its position among those that were shown.
struct Member {
    position: u32,
    /// Bytes that it really has.
    size: u64,
    superblock: Superblock,
}

impl VolumeMap for Btrfs {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut found: BTreeMap<[u8; 16], Vec<Member>> = BTreeMap::new();
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        for (position, device) in (0..).zip(devices) {
            match superblock::read(device.as_ref()) {
                Ok(Some(superblock)) => {
                    let member = Member { position, size: device.size(), superblock };
                    found.entry(member.superblock.uuid).or_default().push(member);
                }
                Ok(None) => {}
                Err(error) => {
                    let message = format!("device {position} cannot be read: {}", error.message);
                    layout.concerns.push(concern(Severity::Warning, "btrfs.unreadable", message, None));
                }
            }
        }
        for mut members in found.into_values().take(PARTS_MOST) {
            members.sort_by_key(|member| (member.superblock.number, member.position));
            describe(&members, &mut layout);
        }
        Ok(layout)
    }
}

/// One file system as a part, which has no segments and a concern if it is refused.
fn describe(members: &[Member], layout: &mut Layout) {
    let Some(first) = members.first().map(|member| &member.superblock) else { return };
    let id = format!("btrfs:{}", first.shown_uuid());
    let segments = segments(members).unwrap_or_else(|refusal| {
        layout.concerns.push(refusal.concern(&id));
        Vec::new()
    });
    let positions: Vec<String> = members.iter().map(|member| member.position.to_string()).collect();
    let facts = vec![
        fact("btrfs.uuid", first.shown_uuid()),
        fact("btrfs.devices", first.devices),
        fact("members", positions.join(",")),
        // its superblock looks like that of one more member
        fact("holds", "file-system"),
    ];
    layout.parts.push(Part { id, kind: "logical-volume".into(), segments, facts });
}

/// Why a file system is left out: the concern's name, what is wrong, what helps.
struct Refusal(&'static str, String, &'static str);

impl Refusal {
    fn concern(&self, id: &str) -> Concern {
        let Self(kind, message, remedy) = self;
        concern(Severity::Warning, kind, format!("file system {id} is left out: {message}"), Some(remedy))
    }
}

/// The devices one behind the other.
fn segments(members: &[Member]) -> core::result::Result<Vec<Segment>, Refusal> {
    let newest = members.iter().max_by_key(|member| member.superblock.generation);
    let Some(newest) = newest.map(|member| &member.superblock) else { return Ok(Vec::new()) };
    if members.len() > MEMBERS_MOST {
        let message = format!("it has {} devices", members.len());
        return Err(Refusal("btrfs.too-many-devices", message, "remove some with btrfs device remove"));
    }
    let twin = members.windows(2).find_map(|pair| match pair {
        [one, other] if one.superblock.number == other.superblock.number => Some(one.superblock.number),
        _ => None,
    });
    if let Some(number) = twin {
        let message = format!("there are several devices with its number {number}");
        return Err(Refusal("btrfs.duplicate-member", message, "leave the copy away"));
    }
    if let Some(old) = members.iter().find(|member| member.superblock.generation != newest.generation) {
        let (number, was) = (old.superblock.number, old.superblock.generation);
        let message = format!("its device {number} is of generation {was}, not of {}", newest.generation);
        let remedy = "mount it whole on the source, run btrfs scrub, and shut down cleanly";
        return Err(Refusal("btrfs.out-of-date", message, remedy));
    }
    if members.len() as u64 != newest.devices {
        let message = format!("{} of its {} devices are here", members.len(), newest.devices);
        let remedy =
            "have all of the machine's disks copied, or replace the missing device on the source first";
        return Err(Refusal("btrfs.missing-member", message, remedy));
    }
    let mut logical: u64 = 0;
    let mut segments = Vec::new();
    for member in members {
        let Superblock { number, size: length, .. } = member.superblock;
        let end = logical.checked_add(length);
        let Some(end) = end.filter(|_| length > 0 && length <= member.size) else {
            let message = format!("its device {number} has {} bytes and should have {length}", member.size);
            return Err(Refusal("btrfs.short-device", message, "have the disk copied whole"));
        };
        segments.push(Segment { logical, length, device: member.position, offset: 0 });
        logical = end;
    }
    Ok(segments)
}

wherry_sdk::register_volume_map!(Btrfs, "../adapter.toml");
