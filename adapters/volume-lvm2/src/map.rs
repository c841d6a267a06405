//! From extents to bytes: the segments of a logical volume and of those that it is made of.

use crate::group::{Group, Logical, Mapping, Member, Stretch, Stripe};
use crate::label::Physical;
use crate::pieces::Pieces;
use crate::text::shown;
use crate::{SECTOR, raid, thin};
use std::collections::BTreeMap;
use wherry_sdk::Blob;
use wherry_sdk::volume::Segment;

/// Volumes on volumes: thin, its pool's data, a RAID's image, and what that lies on; an external origin once more.
const DEPTH_MOST: usize = 6;
/// Pieces of the volumes that another one is made of; 32 bytes each, at every depth.
const INNER_MOST: usize = 1 << 17;
/// Pieces that are looked at for all volumes of all groups.
pub const WORK_MOST: u64 = 1 << 24;

/// Why a volume is not mapped, or what is to be known of it: a concern's identifier and the reason.
#[derive(Clone, Debug)]
pub struct Refusal(pub &'static str, pub String);

pub fn bad(message: impl Into<String>) -> Refusal {
    Refusal("lvm.bad-volume", message.into())
}

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
fn seats<'a>(group: &'a Group, physicals: &[Physical], sizes: &[u64]) -> BTreeMap<&'a str, Seat<'a>> {
    let mut by_uuid: BTreeMap<&str, Vec<&Physical>> = BTreeMap::new();
    for physical in physicals {
        by_uuid.entry(&physical.uuid).or_default().push(physical);
    }
    let seat = |member: &'a Member| {
        let found = by_uuid.get(member.uuid.as_str()).map(Vec::as_slice).unwrap_or_default();
        let name = member.shown();
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
        return Err(bad(format!("the data of {name} overlaps its own metadata")));
    }
    let size = sizes.get(physical.device).copied().unwrap_or_default();
    Ok((physical.device as u32, size))
}

/// What is to be known of a volume that is mapped.
#[derive(Default)]
pub struct Notes {
    /// Concerns.
    pub warnings: Vec<Refusal>,
    /// Why nothing on it can be edited.
    pub edits: Option<String>,
    /// Why bytes that its file system does not use count all the same.
    pub keep: Option<String>,
    /// Places of the same bytes.
    pub copies: usize,
}

/// Maps the volumes of one group.
pub struct Mapper<'a> {
    pub devices: &'a [Box<dyn Blob>],
    group: &'a Group,
    seats: BTreeMap<&'a str, Seat<'a>>,
    logicals: BTreeMap<&'a str, &'a Logical>,
    /// Which copy of mirrored data is taken; the first one where there are not so many.
    pub copy: usize,
    /// What has been found of the volume that is being mapped.
    pub notes: Notes,
    /// Pieces that may still be looked at.
    work: u64,
    depth: usize,
}

impl<'a> Mapper<'a> {
    pub fn new(group: &'a Group, devices: &'a [Box<dyn Blob>], physicals: &[Physical], work: u64) -> Self {
        let sizes: Vec<u64> = devices.iter().map(|device| device.size()).collect();
        let logicals = group.logicals.iter().map(|logical| (logical.name.as_str(), logical));
        Self {
            devices,
            group,
            seats: seats(group, physicals, &sizes),
            logicals: logicals.collect(),
            copy: 0,
            notes: Notes::default(),
            work,
            depth: 0,
        }
    }

    /// Pieces that may still be looked at.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// The segments of a listed volume, at most `most` of them, from the copy of this number.
    pub fn map(&mut self, logical: &'a Logical, copy: usize, most: usize) -> Result<Vec<Segment>, Refusal> {
        self.copy = copy;
        self.notes = Notes { copies: 1, ..Notes::default() };
        self.depth = 0;
        self.volume(logical, most)
    }

    /// A volume's description by its name.
    pub fn logical(&self, name: &str) -> Result<&'a Logical, Refusal> {
        let found = self.logicals.get(name).copied();
        found.ok_or_else(|| bad(format!("the volume {} that it is made of is not there", shown(name))))
    }

    /// The segments of a volume that another one is made of, `most` at most.
    pub fn inner(&mut self, name: &str, most: usize) -> Result<Vec<Segment>, Refusal> {
        let logical = self.logical(name)?;
        self.volume(logical, most.min(INNER_MOST))
    }

    /// Counts what is looked at.
    pub fn spend(&mut self, pieces: u64) -> Result<(), Refusal> {
        let left = self.work.checked_sub(pieces);
        self.work = left.unwrap_or_default();
        let message = || Refusal("lvm.too-many-segments", "the volumes have too many pieces in all".into());
        left.map(|_| ()).ok_or_else(message)
    }

    fn volume(&mut self, logical: &'a Logical, most: usize) -> Result<Vec<Segment>, Refusal> {
        if self.depth >= DEPTH_MOST {
            return Err(bad(format!("volumes lie on volumes more than {DEPTH_MOST} deep")));
        }
        if logical.moving {
            let message = "its extents are being moved to another disk (pvmove)".into();
            return Err(Refusal("lvm.moving", message));
        }
        self.depth += 1;
        let mut pieces = Pieces::new(most);
        let done = logical.segments.iter().try_for_each(|stretch| self.stretch(stretch, &mut pieces));
        self.depth -= 1;
        done?;
        self.spend(pieces.count() as u64 + 1)?;
        pieces.finish()
    }

    fn stretch(&mut self, stretch: &'a Stretch, pieces: &mut Pieces) -> Result<(), Refusal> {
        let length = self.bytes(stretch.count)?;
        match &stretch.mapping {
            Mapping::Striped { stripe_size, stripes } => {
                self.striped(stretch.count, stripes, *stripe_size, pieces)
            }
            Mapping::Mirror { images } => self.mirror(stretch.count, images, pieces),
            Mapping::Raid(raid) => raid::map(self, raid, length, pieces),
            Mapping::Thin { pool, number, external } => {
                let volume = thin::Volume { pool, number: *number, external: external.as_deref(), length };
                thin::map(self, &volume, pieces)
            }
            Mapping::Snapshot { .. } => {
                Err(Refusal("lvm.snapshot", "it is what ties a snapshot to its origin".into()))
            }
            Mapping::Pool { .. } => Err(bad("a volume cannot be made of a thin pool")),
            Mapping::Other(kind) => Err(other(kind)),
        }
    }

    /// Bytes of so many extents.
    fn bytes(&self, extents: u64) -> Result<u64, Refusal> {
        let bytes =
            extents.checked_mul(self.group.extent_size).and_then(|sectors| sectors.checked_mul(SECTOR));
        bytes.ok_or_else(|| bad("it is longer than 2^64 bytes"))
    }

    /// Round robin, a chunk at a time (dm-stripe; it wants whole chunks, too).
    fn striped(
        &mut self,
        count: u64,
        stripes: &[Stripe],
        size: u64,
        pieces: &mut Pieces,
    ) -> Result<(), Refusal> {
        let width = stripes.len() as u64;
        if width == 0 || !count.is_multiple_of(width) {
            return Err(bad(format!("{count} extents cannot be divided into {width} stripes")));
        }
        let length = self.bytes(count / width)?;
        let mut areas = Vec::new();
        for stripe in stripes {
            areas.push(self.area(stripe, count / width, INNER_MOST / stripes.len().max(1))?);
        }
        let chunk = if width == 1 { length } else { size.saturating_mul(SECTOR) };
        if chunk == 0 || !length.is_multiple_of(chunk) {
            return Err(bad(format!("stripes of {chunk} bytes do not divide {length} bytes")));
        }
        let rows = length / chunk;
        pieces.expect(rows.saturating_mul(width), chunk)?;
        self.spend(rows.saturating_mul(width))?;
        for row in 0..rows {
            for area in &areas {
                pieces.take(area, row * chunk, chunk)?;
            }
        }
        Ok(())
    }

    /// The first image is the one that the others are made from (`dm-raid1.c`, DEFAULT_MIRROR).
    fn mirror(&mut self, count: u64, images: &[Stripe], pieces: &mut Pieces) -> Result<(), Refusal> {
        let first = images.first().ok_or_else(|| bad("a mirror without images"))?;
        let mut chosen = self.area(first, count, INNER_MOST)?;
        if self.copy == 0 {
            for (number, image) in images.iter().enumerate().skip(1) {
                if let Err(Refusal(_, why)) = self.area(image, count, INNER_MOST) {
                    let message = format!("image {number} of its mirror cannot be used: {why}");
                    self.notes.warnings.push(Refusal("lvm.degraded", message));
                }
            }
            self.notes.copies = self.notes.copies.max(images.len());
        } else if let Some(other) = images.get(self.copy) {
            chosen = self.area(other, count, INNER_MOST).unwrap_or(chosen);
        }
        pieces.take(&chosen, 0, self.bytes(count)?)
    }

    /// `count` extents of a member of the group, or of another volume.
    fn area(&mut self, stripe: &Stripe, count: u64, most: usize) -> Result<Vec<Segment>, Refusal> {
        if let Some(seat) = self.seats.get(stripe.on.as_str()) {
            let (device, offset) = self.place(seat, stripe, count)?;
            return Ok(vec![Segment { logical: 0, length: self.bytes(count)?, device, offset }]);
        }
        let volume = self.inner(&stripe.on, most)?;
        let mut pieces = Pieces::new(most);
        pieces.take(&volume, self.bytes(stripe.extent)?, self.bytes(count)?)?;
        pieces.finish()
    }

    /// Device and byte of a stripe's first extent; `count` extents from there lie within the member and its device.
    fn place(&self, seat: &Seat<'_>, stripe: &Stripe, count: u64) -> Result<(u32, u64), Refusal> {
        let (device, size) = seat.device.as_ref().map_err(Clone::clone)?;
        let end = stripe.extent.checked_add(count);
        if end.is_none_or(|end| end > seat.pe_count) {
            return Err(bad(format!("it lies beyond the {} extents of {}", seat.pe_count, seat.name)));
        }
        let size_of = self.group.extent_size;
        let byte = |extent: u64| extent.checked_mul(size_of)?.checked_add(seat.pe_start)?.checked_mul(SECTOR);
        match (byte(stripe.extent), end.and_then(byte)) {
            (Some(start), Some(end)) if end <= *size => Ok((*device, start)),
            _ => Err(bad(format!("it lies beyond the end of device {device} at byte {size}"))),
        }
    }
}

/// Types whose data are somewhere else, too, or in a form of their own.
fn other(kind: &str) -> Refusal {
    let is = |name: &str| kind == name || kind.starts_with(&format!("{name}+"));
    let (id, what) = if is("cache") || is("writecache") {
        ("lvm.cached", "newest data may be in its cache only")
    } else if is("integrity") {
        ("lvm.integrity", "edits would not reach its checksums")
    } else if is("vdo") || is("vdo-pool") {
        ("lvm.vdo", "its data are deduplicated and compressed")
    } else {
        ("lvm.unsupported-type", "it cannot be mapped")
    };
    Refusal(id, format!("its type is {kind}: {what}"))
}
