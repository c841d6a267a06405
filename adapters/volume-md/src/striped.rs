//! Chunks in turns: level 0 with members of different sizes, and level 10 with its near, far and offset copies.

use crate::array::{Array, Refusal, Seat};
use crate::map::{Mapped, chunk, power_of_two};

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

/// How copies are placed (`raid10.c`, setup_geo).
struct Geometry {
    disks: u64,
    near: u64,
    far: u64,
    /// far copies follow each row instead of filling the second part of each member
    offset: bool,
    /// members among which far copies are moved on
    set: u64,
    /// chunks between far copies
    stride: u64,
    /// chunks of the array
    chunks: u64,
}

impl Geometry {
    fn of(array: &Array, chunk: u64) -> Result<Self, Refusal> {
        let layout = array.superblock.layout.unwrap_or_default();
        let (near, far) = (u64::from(layout & 0xff), u64::from(layout >> 8 & 0xff));
        let disks = u64::from(array.superblock.disks);
        let set = match layout >> 17 {
            0 => disks,
            1 => disks.checked_div(far).unwrap_or_default(),
            2 => near * far,
            _ => 0,
        };
        if near == 0 || far == 0 || near * far > disks || set == 0 || set > disks {
            return Err(Refusal::bad(format!("its layout {layout:#x} makes no sense with {disks} members")));
        }
        let chunks = (array.superblock.size / chunk / far).checked_mul(disks).map(|chunks| chunks / near);
        let used = chunks.and_then(|chunks| chunks.checked_mul(near * far)).map(|used| used.div_ceil(disks));
        let (Some(chunks), Some(used)) = (chunks, used) else {
            return Err(Refusal::bad("it is longer than 2^64 bytes"));
        };
        let offset = layout >> 16 & 1 != 0;
        let stride = if offset { 1 } else { used / far };
        Ok(Self { disks, near, far, offset, set, stride, chunks })
    }

    /// Member and chunk there of each copy of a chunk, in the order in which Linux counts them.
    fn copies(&self, chunk: u64) -> impl Iterator<Item = (u64, u64)> {
        let nth = chunk * self.near;
        (0..self.near).flat_map(move |copy| {
            let (row, disk) = ((nth + copy) / self.disks, (nth + copy) % self.disks);
            // A near copy that begins a new row follows the first one's, which the far copies of a row are not between.
            let first = nth / self.disks;
            let row = if self.offset { first * self.far + (row - first) } else { row };
            let mut place = disk;
            (0..self.far).map(move |far| {
                if far > 0 {
                    place = self.moved(place);
                }
                (place, row + far * self.stride)
            })
        })
    }

    /// The member of the next far copy; the last set also has the members that make no whole set.
    fn moved(&self, disk: u64) -> u64 {
        let last = (self.disks / self.set - 1) * self.set;
        let next = disk + self.near;
        if !self.disks.is_multiple_of(self.set) && next > last {
            // Linux compares after it has moved on (__raid10_find_phys).
            return (next - last) % (self.set + self.disks % self.set) + last;
        }
        next % self.set + disk / self.set * self.set
    }
}

/// Copies of each chunk of an array of level 10.
pub fn copies_of(array: &Array) -> usize {
    let geometry = chunk(array).and_then(|chunk| Geometry::of(array, chunk));
    geometry.map_or(1, |geometry| (geometry.near * geometry.far) as usize)
}

/// Level 10: of each chunk the copy of this number among those that are there.
pub fn copies(array: &Array, copy: usize, mapped: &mut Mapped) -> Result<(), Refusal> {
    let chunk = power_of_two(chunk(array)?)?;
    let geometry = Geometry::of(array, chunk)?;
    if geometry.near == geometry.disks {
        let there = array.seats.iter().flatten().count();
        let seat = array.seats.iter().flatten().nth(copy % there.max(1));
        let seat = seat.map_or_else(|| array.seat(0), Ok)?;
        return mapped.push(seat, 0, geometry.chunks * chunk);
    }
    mapped.expect(geometry.chunks)?;
    for index in 0..geometry.chunks {
        let seat = |place: u64| array.seats.get(place as usize).and_then(Option::as_ref);
        let there = || geometry.copies(index).filter_map(|(place, row)| seat(place).map(|seat| (seat, row)));
        let Some((seat, row)) = there().nth(copy).or_else(|| there().next()) else {
            let message = format!("all copies of some data are missing: {} needed", array.missing());
            return Err(Refusal("md.missing-member", message));
        };
        mapped.push(seat, row.saturating_mul(chunk), chunk)?;
    }
    Ok(())
}
