//! From extents to bytes: the segments of one logical volume.

use crate::SECTOR;
use crate::group::{Group, Logical, Mapping, Member, Stripe};
use crate::label::Physical;
use crate::text::shown;
use std::collections::BTreeMap;
use wherry_sdk::volume::{Segment, join};

/// Why a volume is not mapped: a concern's identifier and the reason.
#[derive(Debug)]
pub struct Refusal(pub &'static str, pub String);

/// A member of the group where its bytes are.
pub struct Seat<'a> {
    /// The device's index and size in bytes; the refusal where it cannot be used.
    pub device: Result<(u32, u64), Refusal>,
    /// First extent, in sectors.
    pub pe_start: u64,
    /// In extents.
    pub pe_count: u64,
    /// The member's name.
    pub name: &'a str,
}

/// Finds each member's device by its uuid.
pub fn seats<'a>(group: &'a Group, physicals: &[Physical], sizes: &[u64]) -> BTreeMap<&'a str, Seat<'a>> {
    let mut by_uuid: BTreeMap<&str, Vec<&Physical>> = BTreeMap::new();
    for physical in physicals {
        by_uuid.entry(&physical.uuid).or_default().push(physical);
    }
    let seat = |member: &'a Member| {
        let found = by_uuid.get(member.uuid.as_str()).map(Vec::as_slice).unwrap_or_default();
        let name = format!("physical volume {} ({})", member.name, shown(&member.uuid));
        let device = match found {
            _ if member.missing => {
                Err(Refusal("lvm.missing-pv", format!("the group has gone on without {name}")))
            }
            [] => Err(Refusal("lvm.missing-pv", format!("{name} is on none of the disks"))),
            [physical] => usable(group, member, physical, sizes, &name),
            _ => Err(Refusal("lvm.duplicate-pv", format!("{name} is on {} devices", found.len()))),
        };
        let seat = Seat { device, pe_start: member.pe_start, pe_count: member.pe_count, name: &member.name };
        (member.name.as_str(), seat)
    };
    group.members.iter().map(seat).collect()
}

/// A member whose data would lie on its own metadata is not believed: such a volume could contain itself.
fn usable(
    group: &Group,
    member: &Member,
    physical: &Physical,
    sizes: &[u64],
    name: &str,
) -> Result<(u32, u64), Refusal> {
    let length = member.pe_count.checked_mul(group.extent_size);
    let end = length.and_then(|length| member.pe_start.checked_add(length)?.checked_mul(SECTOR));
    let start = member.pe_start.saturating_mul(SECTOR);
    if end.is_none_or(|end| physical.reserves(start, end)) {
        return Err(Refusal("lvm.bad-volume", format!("the data of {name} overlaps its own metadata")));
    }
    let size = sizes.get(physical.device).copied().unwrap_or_default();
    Ok((physical.device as u32, size))
}

/// The segments of a volume, at most `most` of them.
pub fn map(
    group: &Group,
    logical: &Logical,
    seats: &BTreeMap<&str, Seat<'_>>,
    most: usize,
) -> Result<Vec<Segment>, Refusal> {
    let mut mapped = Mapped { segments: Vec::new(), length: 0, most };
    for stretch in &logical.segments {
        let Mapping::Striped { stripe_size, stripes } = &stretch.mapping else {
            let kind = match &stretch.mapping {
                Mapping::Other(kind) => kind,
                _ => "snapshot",
            };
            return Err(Refusal("lvm.unsupported-type", format!("its type {kind} cannot be mapped")));
        };
        let width = stripes.len() as u64;
        if !stretch.count.is_multiple_of(width) {
            let message = format!("{} extents cannot be divided into {width} stripes", stretch.count);
            return Err(bad(message));
        }
        let count = stretch.count / width;
        let areas = stripes.iter().map(|stripe| place(group, stripe, seats, count));
        let areas = areas.collect::<Result<Vec<_>, _>>()?;
        let length = count.saturating_mul(group.extent_size).saturating_mul(SECTOR);
        mapped.stripe(
            &areas,
            length,
            if width == 1 { length } else { stripe_size.saturating_mul(SECTOR) },
        )?;
    }
    if mapped.segments.is_empty() {
        return Err(bad("it has no extents"));
    }
    Ok(mapped.segments)
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal("lvm.bad-volume", message.into())
}

/// Device and byte of a stripe's first extent; `count` extents from there lie within the member and its device.
fn place(
    group: &Group,
    stripe: &Stripe,
    seats: &BTreeMap<&str, Seat<'_>>,
    count: u64,
) -> Result<(u32, u64), Refusal> {
    let Some(seat) = seats.get(stripe.on.as_str()) else {
        let message = format!("it lies on the logical volume {}", shown(&stripe.on));
        return Err(Refusal("lvm.unsupported-type", message));
    };
    let (device, size) = seat.device.as_ref().map_err(|Refusal(id, message)| Refusal(id, message.clone()))?;
    let end = stripe.extent.checked_add(count);
    if end.is_none_or(|end| end > seat.pe_count) {
        return Err(bad(format!("it lies beyond the {} extents of {}", seat.pe_count, seat.name)));
    }
    let byte =
        |extent: u64| extent.checked_mul(group.extent_size)?.checked_add(seat.pe_start)?.checked_mul(SECTOR);
    match (byte(stripe.extent), end.and_then(byte)) {
        (Some(start), Some(end)) if end <= *size => Ok((*device, start)),
        _ => Err(bad(format!("it lies beyond the end of device {device} at byte {size}"))),
    }
}

/// Segments so far.
struct Mapped {
    segments: Vec<Segment>,
    length: u64,
    most: usize,
}

impl Mapped {
    /// `length` bytes of each area, `chunk` bytes at a time, round robin (dm-stripe; it wants whole chunks, too).
    fn stripe(&mut self, areas: &[(u32, u64)], length: u64, chunk: u64) -> Result<(), Refusal> {
        if chunk == 0 || !length.is_multiple_of(chunk) {
            return Err(bad(format!("stripes of {chunk} bytes do not divide {length} bytes")));
        }
        let rows = length / chunk;
        let more = rows
            .checked_mul(areas.len() as u64)
            .and_then(|more| more.checked_add(self.segments.len() as u64));
        if more.is_none_or(|more| more > self.most as u64) {
            let message = format!("its stripes of {chunk} bytes are too many pieces, {} are left", self.most);
            return Err(Refusal("lvm.too-many-segments", message));
        }
        for row in 0..rows {
            for (device, offset) in areas {
                self.push(*device, offset + row * chunk, chunk)?;
            }
        }
        Ok(())
    }

    /// Adds a piece, to the last one if it goes on there.
    fn push(&mut self, device: u32, offset: u64, length: u64) -> Result<(), Refusal> {
        let end = self.length.checked_add(length).ok_or_else(|| bad("it is longer than 2^64 bytes"))?;
        join(&mut self.segments, Segment { logical: self.length, length, device, offset });
        self.length = end;
        Ok(())
    }
}
