//! From an array's bytes to those of its members.

use crate::array::{Array, Refusal, Seat};
use crate::{parity, striped};
use wherry_sdk::volume::{Segment, join};

/// The smallest piece that data are striped in.
const CHUNK_LEAST: u64 = 512;

/// The segments of an array, at most `most` of them. In arrays with copies `copy` says of which one; where a copy of some data is
/// missing, another one takes its place.
pub fn map(array: &Array, copy: usize, most: usize) -> Result<Vec<Segment>, Refusal> {
    let superblock = &array.superblock;
    if superblock.reshaping {
        let message = "it is being reshaped, its data are in two layouts".to_owned();
        return Err(Refusal("md.reshaping", message));
    }
    if superblock.journal {
        let message = "what is in its journal only cannot be seen in its members".to_owned();
        return Err(Refusal("md.journal", message));
    }
    let mut mapped = Mapped { segments: Vec::new(), length: 0, most };
    match superblock.level {
        -1 => linear(array, &mut mapped)?,
        0 => striped::zones(array, &mut mapped)?,
        1 => mirrored(array, copy, &mut mapped)?,
        4..=6 => parity::rows(array, &mut mapped)?,
        10 => striped::copies(array, copy, &mut mapped)?,
        other => return Err(Refusal("md.unsupported-level", format!("its level {other} cannot be mapped"))),
    }
    if mapped.segments.is_empty() {
        return Err(Refusal::bad("it has no data"));
    }
    Ok(mapped.segments)
}

/// Bytes of a chunk.
pub fn chunk(array: &Array) -> Result<u64, Refusal> {
    let chunk = array.superblock.chunk;
    if chunk < CHUNK_LEAST || !chunk.is_multiple_of(CHUNK_LEAST) {
        return Err(Refusal::bad(format!("chunks of {chunk} bytes make no sense")));
    }
    Ok(chunk)
}

/// Levels with parity or copies want such chunks.
pub fn power_of_two(chunk: u64) -> Result<u64, Refusal> {
    let refusal = || Refusal::bad(format!("chunks of {chunk} bytes are no power of two"));
    if chunk.is_power_of_two() { Ok(chunk) } else { Err(refusal()) }
}

/// One member behind the other, whole chunks of each if it has chunks.
fn linear(array: &Array, mapped: &mut Mapped) -> Result<(), Refusal> {
    let unit = array.superblock.chunk.max(CHUNK_LEAST);
    for place in 0..array.superblock.disks {
        let seat = array.seat(place)?;
        let length = seat.data.end - seat.data.start;
        mapped.push(seat, 0, length - length % unit)?;
    }
    Ok(())
}

/// How many copies of its data an array that is mapped has.
pub fn copies(array: &Array) -> usize {
    match array.superblock.level {
        1 => array.seats.iter().flatten().count(),
        10 => striped::copies_of(array),
        _ => 1,
    }
}

/// Every member has everything.
fn mirrored(array: &Array, copy: usize, mapped: &mut Mapped) -> Result<(), Refusal> {
    match array.seats.iter().flatten().nth(copy) {
        Some(seat) => mapped.push(seat, 0, array.superblock.size),
        None => array.seat(0).map(|_| ()),
    }
}

/// Segments so far.
pub struct Mapped {
    segments: Vec<Segment>,
    length: u64,
    most: usize,
}

impl Mapped {
    /// Refuses what would be too many pieces before they are made; pieces may turn out to go on in one another.
    pub fn expect(&self, pieces: u64) -> Result<(), Refusal> {
        if pieces / 2 > self.most as u64 { Err(self.too_many()) } else { Ok(()) }
    }

    fn too_many(&self) -> Refusal {
        let message = format!("its chunks are too many pieces, {} are left", self.most);
        Refusal("md.too-many-segments", message)
    }

    /// Cuts off what is beyond `length` bytes.
    pub fn shorten(&mut self, length: u64) {
        self.length = self.length.min(length);
        self.segments.retain_mut(|segment| {
            segment.length = segment.length.min(length.saturating_sub(segment.logical));
            segment.length > 0
        });
    }

    /// Adds `length` bytes from byte `within` of a member's data, to the last piece if they go on there.
    pub fn push(&mut self, seat: &Seat, within: u64, length: u64) -> Result<(), Refusal> {
        let offset = seat.data.start.checked_add(within);
        let end = offset.and_then(|offset| offset.checked_add(length));
        let (Some(offset), Some(next)) =
            (offset.filter(|_| end.is_some_and(|end| end <= seat.data.end)), self.length.checked_add(length))
        else {
            return Err(Refusal::bad(format!("it lies beyond the data of device {}", seat.device)));
        };
        if length == 0 {
            return Ok(());
        }
        let piece = Segment { logical: self.length, length, device: seat.device, offset };
        join(&mut self.segments, piece);
        self.length = next;
        if self.segments.len() > self.most { Err(self.too_many()) } else { Ok(()) }
    }
}
