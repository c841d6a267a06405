//! Logical volumes of type `raid*`: MD's levels on images, each with a superblock in a volume of its own (`drivers/md/dm-raid.c`).

use crate::group::{Image, Raid};
use crate::map::{Mapper, Refusal, bad};
use crate::pieces::Pieces;
use crate::{SECTOR, reader};
use wherry_sdk::bytes::{u32_at, u64_at};
use wherry_sdk::raid::{Copies, Row};
use wherry_sdk::volume::{Segment, total};

const MAGIC: u32 = 0x6452_6d44;
/// Bytes of a superblock that are looked at.
const LENGTH: u64 = 512;
/// All there is, or nothing to be done.
const END: u64 = u64::MAX;
/// `compat_features`: what a conversion needs is there.
const EXTENDED: u32 = 1;
/// `flags`: a reshape is under way.
const RESHAPE_ACTIVE: u32 = 1;
/// Pieces of all images.
const IMAGES_PIECES: usize = 1 << 17;

/// `struct dm_raid_superblock`.
struct Superblock {
    events: u64,
    /// a bit for each image that was thrown out
    failed: [u64; 4],
    /// everything is there
    whole: bool,
    level: u32,
    layout: u32,
    /// bytes
    stripe: u64,
    reshaping: bool,
}

impl Superblock {
    fn parse(block: &[u8]) -> Option<Self> {
        if u32_at(block, 0) != MAGIC {
            return None;
        }
        let extended = u32_at(block, 4) & EXTENDED != 0;
        let more = |at| if extended { u64_at(block, at) } else { 0 };
        let moved = more(96) != 0 || more(104) != 0;
        Some(Self {
            events: u64_at(block, 16),
            failed: [u64_at(block, 24), more(120), more(128), more(136)],
            whole: u64_at(block, 32) == END,
            level: u32_at(block, 48),
            layout: u32_at(block, 52),
            stripe: u64::from(u32_at(block, 56)).saturating_mul(SECTOR),
            reshaping: extended && u32_at(block, 60) & RESHAPE_ACTIVE != 0 || moved,
        })
    }

    fn has_failed(&self, number: usize) -> bool {
        self.failed.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
    }
}

/// An image that can be read, or why it cannot.
type Member = Result<Vec<Segment>, Refusal>;

/// MD's level and layout by LVM's name (`dm-raid.c`, raid_types); `raid4` has had two.
fn levels(raid: &Raid) -> Option<Vec<(u32, u32)>> {
    let one = |level, layout| Some(vec![(level, layout)]);
    match raid.kind.as_str() {
        "raid1" => one(1, 0),
        "raid4" => Some(vec![(4, 0), (4, 5), (5, 4), (5, 5), (4, 4)]),
        "raid5_la" => one(5, 0),
        "raid5_ra" => one(5, 1),
        "raid5" | "raid5_ls" => one(5, 2),
        "raid5_rs" => one(5, 3),
        "raid5_n" => one(5, 5),
        "raid6" | "raid6_zr" => one(6, 8),
        "raid6_nr" => one(6, 9),
        "raid6_nc" => one(6, 10),
        "raid6_la_6" => one(6, 16),
        "raid6_ra_6" => one(6, 17),
        "raid6_ls_6" => one(6, 18),
        "raid6_rs_6" => one(6, 19),
        "raid6_n_6" => one(6, 5),
        "raid10" | "raid10_near" => one(10, 1 << 8 | u32::try_from(raid.copies).ok()?),
        _ => None,
    }
}

/// `length` bytes of a RAID.
pub fn map(mapper: &mut Mapper<'_>, raid: &Raid, length: u64, pieces: &mut Pieces) -> Result<(), Refusal> {
    if raid.reshape {
        return Err(Refusal("lvm.reshaping", "its images have room for a reshape, or are in one".into()));
    }
    if matches!(raid.kind.as_str(), "raid0" | "raid0_meta") {
        let members: Vec<Member> = raid.images.iter().map(|image| data(mapper, raid, image)).collect();
        return striped(mapper, raid, &members, length, pieces);
    }
    let unknown = || Refusal("lvm.unsupported-type", format!("its type {} is unknown", raid.kind));
    let wanted = levels(raid).ok_or_else(unknown)?;
    let superblocks = superblocks(mapper, raid)?;
    let newest = superblocks.iter().flatten().max_by_key(|one| one.events);
    let newest =
        newest.ok_or_else(|| Refusal("lvm.never-started", "none of its images has a superblock".into()))?;
    if newest.reshaping {
        return Err(Refusal("lvm.reshaping", "it is being reshaped, its data are in two layouts".into()));
    }
    let known = (newest.level, newest.layout);
    let stripe = if newest.level == 1 { 0 } else { raid.stripe_size.saturating_mul(SECTOR) };
    if !wanted.contains(&known) || newest.level != 1 && newest.stripe != stripe {
        let message = format!(
            "it is of type {} by the group's metadata, and of level {}, layout {} and stripes of {} bytes by its superblocks",
            raid.kind, newest.level, newest.layout, newest.stripe
        );
        return Err(Refusal("lvm.converting", message));
    }
    let members = members(mapper, raid, &superblocks, newest);
    degraded(mapper, raid, &members);
    match newest.level {
        1 => mirrored(mapper, &members, length, pieces),
        10 => copied(mapper, &members, (newest.layout, stripe), length, pieces),
        level => rows(mapper, &members, (level as i32, newest.layout, stripe), length, pieces),
    }
}

fn data(mapper: &mut Mapper<'_>, raid: &Raid, image: &Image) -> Member {
    let most = IMAGES_PIECES / raid.images.len().max(1);
    mapper.inner(&image.data, most)
}

/// The superblock of each image; none where it is not there or was never written.
fn superblocks(mapper: &mut Mapper<'_>, raid: &Raid) -> Result<Vec<Option<Superblock>>, Refusal> {
    let mut found = Vec::new();
    for image in &raid.images {
        let place = image.meta.as_deref().and_then(|meta| mapper.inner(meta, IMAGES_PIECES).ok());
        let block = place.map(|place| reader::read(mapper.devices, &place, 0, LENGTH)).transpose();
        let block = block.map_err(|e| bad(format!("a superblock cannot be read: {}", e.message)))?;
        found.push(block.and_then(|block| Superblock::parse(&block)));
    }
    Ok(found)
}

/// Images by their numbers; those that are out of date are not read (super_init_validation, super_validate).
fn members(
    mapper: &mut Mapper<'_>,
    raid: &Raid,
    superblocks: &[Option<Superblock>],
    newest: &Superblock,
) -> Vec<Member> {
    let out = |why: &str| Err(Refusal("lvm.missing-image", why.into()));
    let mut members = Vec::new();
    for ((image, superblock), number) in raid.images.iter().zip(superblocks).zip(0..) {
        let rebuild = mapper.logical(&image.data).is_ok_and(|logical| logical.rebuild);
        let found = data(mapper, raid, image);
        members.push(match superblock {
            // What is missing is a better reason than what that brings about.
            _ if found.is_err() => found,
            None => out("it has no superblock"),
            Some(_) if newest.has_failed(number) => out("it was thrown out"),
            Some(one) if !one.whole || rebuild => out("it is being rebuilt"),
            Some(one) if one.events.saturating_add(1) < newest.events => {
                out(&format!("it is not up to date: event {} of {}", one.events, newest.events))
            }
            Some(_) => found,
        });
    }
    members
}

fn degraded(mapper: &mut Mapper<'_>, raid: &Raid, members: &[Member]) {
    for (member, number) in members.iter().zip(0..) {
        if let Err(Refusal(_, why)) = member {
            let message =
                format!("image {number} of {} of its {} cannot be used: {why}", members.len(), raid.kind);
            mapper.notes.warnings.push(Refusal("lvm.degraded", message));
        }
    }
}

fn needed(members: &[Member], number: u64) -> Result<&[Segment], Refusal> {
    match members.get(number as usize) {
        Some(Ok(segments)) => Ok(segments),
        Some(Err(Refusal(id, why))) => {
            let id = if *id == "lvm.missing-pv" { "lvm.missing-image" } else { id };
            Err(Refusal(id, format!("image {number} is needed for its data: {why}")))
        }
        None => Err(bad(format!("it has no image {number}"))),
    }
}

/// Every image has everything; Linux reads the first one while the others are made to agree.
fn mirrored(
    mapper: &mut Mapper<'_>,
    members: &[Member],
    length: u64,
    pieces: &mut Pieces,
) -> Result<(), Refusal> {
    let there: Vec<&Vec<Segment>> = members.iter().flatten().collect();
    mapper.notes.copies = mapper.notes.copies.max(there.len());
    match there.get(mapper.copy).or_else(|| there.first()) {
        Some(image) => pieces.take(image, 0, length),
        None => needed(members, 0).map(|_| ()),
    }
}

/// Level 0.
fn striped(
    mapper: &mut Mapper<'_>,
    raid: &Raid,
    members: &[Member],
    length: u64,
    pieces: &mut Pieces,
) -> Result<(), Refusal> {
    let (chunk, width) = (raid.stripe_size.saturating_mul(SECTOR), members.len() as u64);
    let count = chunks(length, chunk, width)?;
    pieces.expect(count, chunk)?;
    mapper.spend(count)?;
    for number in 0..count {
        pieces.take(needed(members, number % width)?, number / width * chunk, chunk)?;
    }
    Ok(())
}

/// Chunks of a volume, which is whole rows of so many.
fn chunks(length: u64, chunk: u64, row: u64) -> Result<u64, Refusal> {
    let whole = chunk.checked_mul(row).filter(|whole| *whole > 0 && length.is_multiple_of(*whole));
    let message = || bad(format!("{length} bytes are no whole rows of {row} stripes of {chunk} bytes"));
    whole.map(|_| length / chunk).ok_or_else(message)
}

/// Levels 4, 5 and 6.
fn rows(
    mapper: &mut Mapper<'_>,
    members: &[Member],
    (level, layout, chunk): (i32, u32, u64),
    length: u64,
    pieces: &mut Pieces,
) -> Result<(), Refusal> {
    let disks = members.len() as u64;
    let unknown = || bad(format!("level {level} has no layout {layout} for {disks} images"));
    let width = Row::of(level, layout, disks, 0).ok_or_else(unknown)?.data();
    let count = chunks(length, chunk, width)?;
    pieces.expect(count, chunk)?;
    mapper.spend(count)?;
    for number in 0..count / width {
        let row = Row::of(level, layout, disks, number).ok_or_else(unknown)?;
        for data in 0..width {
            pieces.take(needed(members, row.member(data))?, number * chunk, chunk)?;
        }
    }
    mapper.notes.keep = Some("parity is made of it".into());
    if mapper.copy == 0 {
        mapper.notes.warnings.push(Refusal("lvm.parity", "edits do not reach the parity".into()));
    }
    Ok(())
}

/// Level 10.
fn copied(
    mapper: &mut Mapper<'_>,
    members: &[Member],
    (layout, chunk): (u32, u64),
    length: u64,
    pieces: &mut Pieces,
) -> Result<(), Refusal> {
    let (disks, count) = (members.len() as u64, chunks(length, chunk, 1)?);
    let depth = members.iter().flatten().map(|image| total(image)).max().unwrap_or_default() / chunk;
    let copies = Copies::of(layout, disks, depth).filter(|copies| copies.chunks >= count);
    let copies =
        copies.ok_or_else(|| bad(format!("layout {layout:#x} makes no sense with {disks} images")))?;
    pieces.expect(count, chunk)?;
    mapper.spend(count)?;
    mapper.notes.copies = mapper.notes.copies.max((copies.near * copies.far) as usize);
    for index in 0..count {
        let image = |place: u64| members.get(place as usize).and_then(|member| member.as_ref().ok());
        let there = || copies.places(index).filter_map(|(place, row)| image(place).map(|image| (image, row)));
        let Some((image, row)) = there().nth(mapper.copy).or_else(|| there().next()) else {
            let place = copies.places(index).next().map_or(0, |(place, _)| place);
            return needed(members, place).map(|_| ());
        };
        pieces.take(image, row.saturating_mul(chunk), chunk)?;
    }
    Ok(())
}
