//! Chunks in turns: level 0 with members of different sizes, and level 10 with its near, far and offset copies.

use crate::array::{Array, Refusal, Seat};
use crate::map::{Mapped, chunk, power_of_two};
use wherry_sdk::raid::Copies;

/// What Linux counts in.
const SECTOR: u64 = 512;
/// Layouts of level 0 (`raid0.c`): which member a later zone begins with.
const ORIGINAL: u32 = 1;
const ALTERNATE: u32 = 2;

/// Level 0: the zones are as deep as the smallest member that goes on, and have those members that do.
pub fn zones(array: &Array, mapped: &mut Mapped) -> Result<(), Refusal> {
    let chunk = chunk(array)?;
    let seats = (0..array.superblock.disks).map(|place| array.seat(place)).collect::<Result<Vec<_>, _>>()?;
    let depth = |seat: &&Seat| (seat.data.end - seat.data.start) / chunk;
    let mut depths: Vec<u64> = seats.iter().map(depth).collect();
    depths.sort_unstable();
    depths.dedup();
    if depths.len() > 1 && !matches!(array.superblock.layout, Some(ORIGINAL | ALTERNATE)) {
        let message = "its members differ in size, and Linux before and since 3.14 go on differently there: its superblock does not say how";
        return Err(Refusal("md.unknown-layout", message.into()));
    }
    let original = array.superblock.layout == Some(ORIGINAL);
    // In chunks of the array and of each member.
    let (mut before, mut start) = (0u64, 0u64);
    for end in depths {
        let zone: Vec<&Seat> = seats.iter().filter(|seat| depth(seat) >= end).copied().collect();
        let chunks = (end - start).saturating_mul(zone.len() as u64);
        if let [only] = zone.as_slice() {
            mapped.push(only, start * chunk, chunks * chunk)?;
        } else {
            mapped.expect(chunks)?;
            let width = zone.len() as u64;
            let first = if original { before % width } else { 0 };
            for index in 0..chunks {
                let seat = zone.get(((first + index) % width) as usize);
                let seat = seat.ok_or_else(|| Refusal::bad("it has no members"))?;
                mapped.push(seat, (start + index / width) * chunk, chunk)?;
            }
        }
        before = before.saturating_add(chunks);
        start = end;
    }
    // How Linux rounds each member (raid0_size): the same, but for chunks that are no power of two.
    let sectors = chunk / SECTOR;
    let used = seats.iter().map(|seat| ((depth(seat) * sectors) & !(sectors - 1)) * SECTOR);
    mapped.shorten(used.fold(0, u64::saturating_add));
    Ok(())
}

/// How copies are placed.
fn geometry(array: &Array, chunk: u64) -> Result<Copies, Refusal> {
    let (layout, disks) = (array.superblock.layout.unwrap_or_default(), u64::from(array.superblock.disks));
    let bad = || Refusal::bad(format!("its layout {layout:#x} makes no sense with {disks} members"));
    Copies::of(layout, disks, array.superblock.size / chunk).ok_or_else(bad)
}

/// Copies of each chunk of an array of level 10.
pub fn copies_of(array: &Array) -> usize {
    let geometry = chunk(array).and_then(|chunk| geometry(array, chunk));
    geometry.map_or(1, |geometry| (geometry.near * geometry.far) as usize)
}

/// Level 10: of each chunk the copy of this number among those that are there.
pub fn copies(array: &Array, copy: usize, mapped: &mut Mapped) -> Result<(), Refusal> {
    let chunk = power_of_two(chunk(array)?)?;
    let geometry = geometry(array, chunk)?;
    if geometry.near == geometry.disks {
        let there = array.seats.iter().flatten().count();
        let seat = array.seats.iter().flatten().nth(copy % there.max(1));
        let seat = seat.map_or_else(|| array.seat(0), Ok)?;
        return mapped.push(seat, 0, geometry.chunks * chunk);
    }
    mapped.expect(geometry.chunks)?;
    for index in 0..geometry.chunks {
        let seat = |place: u64| array.seats.get(place as usize).and_then(Option::as_ref);
        let there = || geometry.places(index).filter_map(|(place, row)| seat(place).map(|seat| (seat, row)));
        let Some((seat, row)) = there().nth(copy).or_else(|| there().next()) else {
            let message = format!("all copies of some data are missing: {} needed", array.missing());
            return Err(Refusal("md.missing-member", message));
        };
        mapped.push(seat, row.saturating_mul(chunk), chunk)?;
    }
    Ok(())
}
