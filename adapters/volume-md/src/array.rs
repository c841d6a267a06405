//! Members put together: which are up to date, and which place each of them has.

use crate::member::Member;
use crate::superblock::{Role, Superblock};
use core::ops::Range;

/// As many places as roles fit into a superblock.
const DISKS_MOST: u32 = 1920;

/// Where a place's data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub device: u32,
    /// in bytes of the device
    pub data: Range<u64>,
}

/// Why an array is not mapped: a concern's identifier and the reason.
#[derive(Debug)]
pub struct Refusal(pub &'static str, pub String);

impl Refusal {
    /// What is told makes no sense.
    pub fn bad(message: impl Into<String>) -> Self {
        Self("md.bad-array", message.into())
    }
}

/// An array as its newest superblock has it.
pub struct Array {
    pub superblock: Superblock,
    /// Who has which place; none where nobody up to date is there.
    pub seats: Vec<Option<Seat>>,
    /// All devices that have its uuid, whatever became of them.
    pub devices: Vec<u32>,
    /// Devices that are left out, and why: a concern's identifier, a message.
    pub left_out: Vec<(&'static str, String)>,
    /// Why it cannot be believed.
    pub doubt: Option<Refusal>,
}

impl Array {
    /// The data of a place that has to be there.
    pub fn seat(&self, place: u32) -> Result<&Seat, Refusal> {
        self.seats
            .get(place as usize)
            .and_then(Option::as_ref)
            .ok_or_else(|| Refusal("md.missing-member", format!("{} needed", self.missing())))
    }

    /// Whether all places are taken.
    pub fn is_whole(&self) -> bool {
        self.seats.iter().all(Option::is_some)
    }

    /// Names the places that nobody has.
    pub fn missing(&self) -> String {
        const SHOWN: usize = 16;
        let missing: Vec<String> = self
            .seats
            .iter()
            .zip(0u32..)
            .filter(|(seat, _)| seat.is_none())
            .map(|(_, place)| place.to_string())
            .collect();
        let more = if missing.len() > SHOWN { ", ..." } else { "" };
        let listed = missing.get(..SHOWN).unwrap_or(&missing).join(", ");
        let (noun, verb) = if missing.len() == 1 { ("member", "is") } else { ("members", "are") };
        format!(
            "{noun} {listed}{more} of 0 to {} {verb} not there or not up to date, and",
            self.seats.len().saturating_sub(1)
        )
    }
}

/// Arrays by their uuids, in the order in which they are found.
pub fn assemble(members: Vec<Member>) -> Vec<Array> {
    let mut groups: Vec<Vec<Member>> = Vec::new();
    for member in members {
        let same = |group: &&mut Vec<Member>| {
            group.first().is_some_and(|first| {
                first.superblock.uuid == member.superblock.uuid
                    && (first.superblock.version == "0.90") == (member.superblock.version == "0.90")
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(member),
            None => groups.push(vec![member]),
        }
    }
    groups.into_iter().filter_map(array).collect()
}

/// The newest superblock tells who is who. A member that is one event behind is still good (md.c, super_1_validate).
fn array(mut members: Vec<Member>) -> Option<Array> {
    let newest = members.iter().map(|member| member.superblock.events).max()?;
    let is_place = |member: &Member| matches!(member.superblock.role(), Role::Active(_));
    let at = members
        .iter()
        .position(|member| member.superblock.events == newest && is_place(member))
        .or_else(|| members.iter().position(|member| member.superblock.events == newest))?;
    let devices = members.iter().map(|member| member.device as u32).collect();
    let first = members.remove(at);
    let disks = first.superblock.disks;
    let mut array = Array {
        seats: vec![None; disks.min(DISKS_MOST) as usize],
        devices,
        left_out: Vec::new(),
        doubt: None,
        superblock: first.superblock,
    };
    if disks == 0 || disks > DISKS_MOST {
        array.doubt = Some(Refusal::bad(format!("it has {disks} members, 1 to {DISKS_MOST} are possible")));
    }
    let own = Found::of(first.device, &array.superblock);
    array.take(&own);
    for member in members {
        array.take(&Found::of(member.device, &member.superblock));
    }
    Some(array)
}

/// What counts of one member's superblock.
struct Found {
    seat: Seat,
    own: Role,
    number: u32,
    events: u64,
    rebuilding: bool,
    bad_blocks: bool,
}

impl Found {
    fn of(device: usize, superblock: &Superblock) -> Self {
        Self {
            seat: Seat { device: device as u32, data: superblock.data.clone() },
            own: superblock.role(),
            number: superblock.number,
            events: superblock.events,
            rebuilding: superblock.rebuilding,
            bad_blocks: superblock.bad_blocks,
        }
    }
}

impl Array {
    fn take(&mut self, found: &Found) {
        let device = found.seat.device;
        let newest = self.superblock.events;
        let told = self.superblock.role_of(found.number);
        let was = matches!(found.own, Role::Active(_));
        if was && found.events.saturating_add(1) < newest {
            let message = format!("device {device} is not up to date: event {} of {newest}", found.events);
            return self.left_out.push(("md.stale-member", message));
        }
        let Role::Active(place) = told else {
            if was && found.events == newest {
                let message =
                    format!("device {device} takes itself for a member, and one as new as it does not");
                self.doubt = Some(Refusal("md.conflict", message));
            } else if was {
                let message =
                    format!("device {device} was thrown out of the array at event {}", found.events);
                self.left_out.push(("md.stale-member", message));
            }
            return;
        };
        if found.rebuilding || found.bad_blocks {
            let (id, what) = if found.rebuilding {
                ("md.rebuilding", "is being rebuilt, or replaces another one")
            } else {
                ("md.bad-blocks", "has blocks that are known to be bad")
            };
            return self.left_out.push((id, format!("device {device}, member {place}, {what}")));
        }
        let Some(seat) = self.seats.get_mut(place as usize) else {
            self.doubt =
                Some(Refusal::bad(format!("member {place} is beyond its {} places", self.superblock.disks)));
            return;
        };
        if let Some(other) = seat {
            let message = format!("devices {} and {device} are both its member {place}", other.device);
            self.doubt = Some(Refusal("md.duplicate-member", message));
        } else {
            *seat = Some(found.seat.clone());
        }
    }
}
