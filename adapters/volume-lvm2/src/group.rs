//! A volume group as its text describes it: sizes in extents and sectors, volumes by name.

use crate::text::{self, Section, Value, shown};
use std::collections::BTreeSet;
use wherry_sdk::{Error, ErrorKind, Result};

/// More volumes than lvm2 handles well; a group with more is refused.
const VOLUMES_MOST: usize = 8192;

/// More members than a RAID has (`DEFAULT_RAID_MAX_IMAGES`); stripes have a limit of 128.
const IMAGES_MOST: usize = 253;

/// One volume group.
#[derive(Debug, PartialEq)]
pub struct Group {
    pub name: String,
    pub uuid: String,
    /// Every change of the metadata counts one up.
    pub seqno: u64,
    /// In sectors of 512 bytes.
    pub extent_size: u64,
    pub exported: bool,
    pub members: Vec<Member>,
    pub logicals: Vec<Logical>,
}

/// A physical volume as the text knows it.
#[derive(Debug, PartialEq)]
pub struct Member {
    /// `pv0`: what stripes call it.
    pub name: String,
    pub uuid: String,
    /// First extent, in sectors.
    pub pe_start: u64,
    /// In extents.
    pub pe_count: u64,
    /// The tools went on without it: what it holds may be stale.
    pub missing: bool,
    /// Where it was seen last: `/dev/sda2`; a hint.
    pub device: Option<String>,
}

impl Member {
    /// Name, uuid as the tools print it, and the hint where it was.
    pub fn shown(&self) -> String {
        let uuid = shown(&self.uuid);
        let groups = [6, 10, 14, 18, 22, 26];
        let mut printed = String::new();
        for (at, c) in uuid.chars().enumerate() {
            if groups.contains(&at) {
                printed.push('-');
            }
            printed.push(c);
        }
        let hint = self.device.as_ref().map(|device| format!(", last seen as {device}"));
        format!("physical volume {} ({printed}{})", shown(&self.name), hint.unwrap_or_default())
    }
}

/// One logical volume.
#[derive(Debug, PartialEq)]
pub struct Logical {
    pub name: String,
    /// Others are inner parts of pools, mirrors and snapshots.
    pub visible: bool,
    /// An image whose content has still to be made from the others.
    pub rebuild: bool,
    /// It stands for extents that are being moved.
    pub moving: bool,
    pub segments: Vec<Stretch>,
}

/// A segment of a logical volume, in extents.
#[derive(Debug, PartialEq)]
pub struct Stretch {
    pub start: u64,
    pub count: u64,
    pub mapping: Mapping,
}

/// Where a segment's bytes come from.
#[derive(Debug, PartialEq)]
pub enum Mapping {
    /// Round robin, `stripe_size` sectors at a time; linear is one stripe.
    Striped { stripe_size: u64, stripes: Vec<Stripe> },
    /// The same in each place, which may be volumes or members.
    Mirror { images: Vec<Stripe> },
    /// MD's levels by the device-mapper's `raid`.
    Raid(Raid),
    /// What thin volumes are made of.
    Pool { metadata: String, data: String, transaction: u64 },
    /// A thin volume; what it has not written itself is the external origin's, or zeroes.
    Thin { pool: String, number: u64, external: Option<String> },
    /// Ties an origin to the volume that holds what has changed since, or, when merging, what is flowing back.
    Snapshot { origin: String, store: String, merging: bool },
    /// Anything else, by its name.
    Other(String),
}

/// One area of a striped segment.
#[derive(Debug, PartialEq)]
pub struct Stripe {
    /// A member's name, or a logical volume's.
    pub on: String,
    /// First extent there.
    pub extent: u64,
}

/// A segment of type `raid*`.
#[derive(Debug, PartialEq)]
pub struct Raid {
    /// `raid5_ls`, or another of its names.
    pub kind: String,
    pub images: Vec<Image>,
    /// In sectors; 0 for a mirror.
    pub stripe_size: u64,
    /// Copies that `raid10` keeps.
    pub copies: u64,
    /// Images have more room than they need, or their data are moved within it.
    pub reshape: bool,
}

/// A member of a RAID: volumes' names.
#[derive(Debug, PartialEq)]
pub struct Image {
    /// What holds its superblock.
    pub meta: Option<String>,
    pub data: String,
}

/// Parses a metadata text.
pub fn parse(bytes: &[u8]) -> Result<Group> {
    let whole = text::parse(bytes)?;
    if whole.text("contents")? != "Text Format Volume Group" || whole.number("version")? != 1 {
        return Err(Error::unsupported("the metadata text is not version 1 of a volume group"));
    }
    let (name, section) = whole.sections().next().ok_or_else(|| bad("no volume group in the text"))?;
    let within = |e: Error| e.within(&format!("volume group {}", shown(name)));
    let mut group = read(name, section).map_err(within)?;
    group.members = section.within("physical_volumes").map(member).collect::<Result<_>>().map_err(within)?;
    group.logicals = section.within("logical_volumes").map(logical).collect::<Result<_>>().map_err(within)?;
    check(&group).map_err(within)?;
    Ok(group)
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

fn read(name: &str, section: &Section) -> Result<Group> {
    if section.get("format").is_some() && section.text("format")? != "lvm2" {
        return Err(Error::unsupported(format!("the format {} is not lvm2", shown(section.text("format")?))));
    }
    Ok(Group {
        name: name.into(),
        uuid: section.text("id")?.into(),
        seqno: section.number("seqno")?,
        extent_size: section.number("extent_size")?,
        exported: section.has("status", "EXPORTED"),
        members: Vec::new(),
        logicals: Vec::new(),
    })
}

fn member((name, section): (&str, &Section)) -> Result<Member> {
    let read = || {
        Ok(Member {
            name: name.into(),
            uuid: section.text("id")?.chars().filter(|c| *c != '-').collect(),
            pe_start: section.number("pe_start")?,
            pe_count: section.number("pe_count")?,
            missing: section.has("status", "MISSING") || section.has("flags", "MISSING"),
            device: section.text("device").ok().map(shown),
        })
    };
    read().map_err(|e: Error| e.within(&format!("physical volume {}", shown(name))))
}

fn logical((name, section): (&str, &Section)) -> Result<Logical> {
    let read = || {
        let stretches = section.sections().filter(|(name, _)| name.starts_with("segment"));
        let mut segments = stretches.map(|(_, section)| stretch(section)).collect::<Result<Vec<_>>>()?;
        segments.sort_by_key(|segment| segment.start);
        if segments.len() as u64 != section.number("segment_count")? {
            return Err(bad("the number of segments is not its segment_count"));
        }
        let mut end = 0u64;
        for segment in &segments {
            if segment.start != end || segment.count == 0 {
                return Err(bad(format!("its segments do not follow each other at extent {end}")));
            }
            end = end.checked_add(segment.count).ok_or_else(|| bad("its segments are too long"))?;
        }
        let is = |flag| section.has("status", flag);
        Ok(Logical {
            name: name.into(),
            visible: is("VISIBLE"),
            rebuild: is("REBUILD"),
            moving: is("PVMOVE"),
            segments,
        })
    };
    read().map_err(|e| e.within(&format!("logical volume {}", shown(name))))
}

fn stretch(section: &Section) -> Result<Stretch> {
    let kind = section.text("type")?;
    let mapping = match kind {
        "striped" | "linear" => striped(section)?,
        "snapshot" => {
            let merging = section.get("merging_store").is_some();
            let store = section.text(if merging { "merging_store" } else { "cow_store" })?.into();
            Mapping::Snapshot { origin: section.text("origin")?.into(), store, merging }
        }
        "mirror" => Mapping::Mirror { images: areas(section.list("mirrors"))? },
        "thin-pool" => Mapping::Pool {
            metadata: section.text("metadata")?.into(),
            data: section.text("pool")?.into(),
            transaction: section.number("transaction_id")?,
        },
        "thin" => Mapping::Thin {
            pool: section.text("thin_pool")?.into(),
            number: section.number("device_id")?,
            external: section.text("external_origin").ok().map(Into::into),
        },
        raid if is_raid(raid) => Mapping::Raid(read_raid(raid, section)?),
        other => Mapping::Other(shown(other)),
    };
    Ok(Stretch { start: section.number("start_extent")?, count: section.number("extent_count")?, mapping })
}

/// Pairs of a name and an extent.
fn areas(list: &[Value]) -> Result<Vec<Stripe>> {
    let pairs = list.chunks(2).map(|pair| match pair {
        [Value::Text(on), Value::Number(extent)] => Ok(Stripe { on: on.clone(), extent: *extent }),
        _ => Err(bad("`stripes` or `mirrors` is not a list of names and extents")),
    });
    let areas = pairs.collect::<Result<Vec<_>>>()?;
    if areas.len() > IMAGES_MOST {
        return Err(bad(format!("{} stripes or mirrors, at most {IMAGES_MOST} are possible", areas.len())));
    }
    Ok(areas)
}

/// `raid0` to `raid10`, with or without a layout; not with flags such as `raid1+RESHAPE`.
fn is_raid(kind: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
    kind.starts_with("raid") && kind.chars().all(known)
}

/// Pairs of volumes (`lib/raid/raid.c`); `raid0` has no superblocks.
fn read_raid(kind: &str, section: &Section) -> Result<Raid> {
    let list = if kind == "raid0" { "raid0_lvs" } else { "raids" };
    let mut images = Vec::new();
    let mut meta = None;
    for value in section.list(list) {
        let Value::Text(name) = value else { return Err(bad(format!("`{list}` is not a list of names"))) };
        if name.contains("_rmeta_") && meta.is_none() {
            meta = Some(name.clone());
        } else {
            images.push(Image { meta: meta.take(), data: name.clone() });
        }
    }
    let count = section.number("device_count").or_else(|_| section.number("stripe_count"))?;
    if meta.is_some() || images.is_empty() || images.len() as u64 != count || images.len() > IMAGES_MOST {
        return Err(bad(format!("`{list}` does not name {count} images, and {IMAGES_MOST} are possible")));
    }
    let number = |key| section.number(key).unwrap_or_default();
    Ok(Raid {
        kind: kind.into(),
        images,
        stripe_size: number("stripe_size"),
        copies: section.number("data_copies").unwrap_or(2),
        reshape: number("reshape_count") != 0 || number("data_offset") != 0,
    })
}

fn striped(section: &Section) -> Result<Mapping> {
    let stripes = areas(section.list("stripes"))?;
    if stripes.is_empty() || stripes.len() as u64 != section.number("stripe_count")? {
        return Err(bad("the number of stripes is not the segment's stripe_count"));
    }
    let stripe_size = if stripes.len() > 1 { section.number("stripe_size")? } else { 0 };
    Ok(Mapping::Striped { stripe_size, stripes })
}

fn check(group: &Group) -> Result<()> {
    let members = group.members.iter().map(|member| member.name.as_str());
    let names: Vec<&str> = group.logicals.iter().map(|logical| logical.name.as_str()).collect();
    if group.members.len() > VOLUMES_MOST || names.len() > VOLUMES_MOST {
        return Err(Error::unsupported(format!("more than {VOLUMES_MOST} volumes")));
    }
    if let Some(name) = names.iter().chain([&group.name.as_str()]).find(|name| !is_name(name)) {
        return Err(bad(format!("`{}` is no name that LVM allows", shown(name))));
    }
    let distinct = |names: &[&str]| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    if !distinct(&names) || !distinct(&members.collect::<Vec<_>>()) {
        return Err(bad("two volumes have the same name"));
    }
    let uuids: Vec<&str> = group.members.iter().map(|member| member.uuid.as_str()).collect();
    if !distinct(&uuids) {
        return Err(bad("two physical volumes have the same uuid"));
    }
    if group.extent_size == 0 {
        return Err(bad("extent_size is zero"));
    }
    Ok(())
}

/// lvm(8), "Valid names": these characters, not `.` or `..`, no hyphen first; at most 127 of them.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    !name.is_empty()
        && name.len() < 128
        && name.chars().all(allowed)
        && !name.starts_with('-')
        && name != "."
        && name != ".."
}
