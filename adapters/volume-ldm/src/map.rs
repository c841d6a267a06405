//! From sectors of partitions to bytes of devices: the segments of one volume.

use crate::database::Group;
use crate::disk::Disk;
use crate::record::{Arrangement, Component, Object, Partition, Volume};
use wherry_sdk::volume::{Segment, join};

/// Why a volume is not mapped: a concern's identifier and the reason.
#[derive(Debug)]
pub struct Refusal(pub &'static str, pub String);

/// What keeps a component from being used.
const ACTIVE: &str = "ACTIVE";

/// How a volume's bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// in one partition
    Simple,
    /// in several, one behind the other
    Spanned,
    /// in turns
    Striped,
    /// in two copies or more, of which one is mapped
    Mirrored,
    /// in turns, with parity
    Raid5,
}

impl Kind {
    /// As ldmtool calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Spanned => "spanned",
            Self::Striped => "striped",
            Self::Mirrored => "mirrored",
            Self::Raid5 => "RAID5",
        }
    }
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal("ldm.bad-volume", message.into())
}

/// A partition, in bytes of its device.
struct Area {
    device: u32,
    start: u64,
    length: u64,
    sector: u64,
}

/// A volume's components, with their numbers.
type Components<'a> = Vec<(u64, &'a Component)>;

/// What volumes of a group are mapped with.
#[derive(Clone, Copy)]
pub struct Mapper<'a> {
    /// the group
    pub group: &'a Group,
    /// dynamic disks, of this group and of others
    pub disks: &'a [Disk],
    /// segments that there may still be
    pub room: usize,
}

impl<'a> Mapper<'a> {
    /// How a volume is kept, and its segments.
    pub fn map(&self, number: u64, volume: &Volume) -> Result<(Kind, Vec<Segment>), Refusal> {
        let components = self.components(number, volume)?;
        let kind = kind(&components)?;
        if volume.state != ACTIVE {
            return Err(Refusal("ldm.inactive", format!("its state is {:?}", volume.state)));
        }
        let mut refusal = None;
        for (number, component) in components {
            match self.component(number, component, volume.size) {
                Ok(segments) => return Ok((kind, segments)),
                // Of a mirror, the next copy may do.
                Err(problem) => refusal = refusal.or(Some(problem)),
            }
        }
        Err(refusal.unwrap_or_else(|| bad("it has no components")))
    }

    fn components(&self, number: u64, volume: &Volume) -> Result<Components<'a>, Refusal> {
        let all = self.group.objects.iter().filter_map(|(id, object)| match object {
            Object::Component(one) if one.volume == number => Some((*id, one)),
            _ => None,
        });
        let all: Components<'a> = all.collect();
        if all.len() as u64 != volume.components {
            return Err(bad(format!("it has {} components instead of {}", all.len(), volume.components)));
        }
        Ok(all)
    }

    /// The segments of a component of a volume of `size` sectors.
    fn component(&self, number: u64, component: &Component, size: u64) -> Result<Vec<Segment>, Refusal> {
        if component.state != ACTIVE {
            return Err(Refusal(
                "ldm.inactive",
                format!("the state of its component is {:?}", component.state),
            ));
        }
        let partitions = self.group.objects.values().filter_map(|object| match object {
            Object::Partition(one) if one.component == number => Some(one),
            _ => None,
        });
        let mut partitions: Vec<&Partition> = partitions.collect();
        let there = partitions.len() as u64;
        if there != component.partitions || there == 0 {
            return Err(bad(format!("it has {there} partitions instead of {}", component.partitions)));
        }
        partitions.sort_by_key(|one| (one.index, one.offset));
        let areas = partitions.iter().map(|one| self.area(one)).collect::<Result<Vec<_>, _>>()?;
        let sector = areas.first().map_or(0, |area| area.sector);
        if areas.iter().any(|area| area.sector != sector) {
            return Err(bad("its disks have sectors of different sizes"));
        }
        let bytes =
            |sectors: u64| sectors.checked_mul(sector).ok_or_else(|| bad("it is longer than 2^64 bytes"));
        let mut mapped = Mapped { segments: Vec::new(), length: 0, size: bytes(size)?, most: self.room };
        if component.arrangement == Arrangement::Joined {
            mapped.join(&partitions, &areas)?;
        } else {
            columns(component, &partitions)?;
            mapped.stripe(&areas, bytes(component.chunk)?, component.arrangement == Arrangement::Raid5)?;
        }
        if mapped.length < mapped.size || mapped.size == 0 {
            return Err(bad(format!("its partitions have {} of its {} bytes", mapped.length, mapped.size)));
        }
        Ok(mapped.segments)
    }

    /// Where a partition is, if its disk is there, once.
    fn area(&self, partition: &Partition) -> Result<Area, Refusal> {
        let Some(Object::Disk { name, id }) = self.group.objects.get(&partition.disk) else {
            return Err(bad(format!("its disk {} is not in the database", partition.disk)));
        };
        let mut there = self.disks.iter().filter(|disk| disk.id == *id && disk.group == self.group.id);
        let disk = match (there.next(), there.next()) {
            (Some(disk), None) => disk,
            (Some(_), Some(_)) => {
                return Err(Refusal("ldm.duplicate-disk", format!("its disk {name} ({id}) is there twice")));
            }
            _ => return Err(Refusal("ldm.missing-disk", format!("its disk {name} ({id}) is not there"))),
        };
        let start =
            partition.start.checked_mul(disk.sector).and_then(|start| start.checked_add(disk.data.start));
        let length = partition.size.checked_mul(disk.sector);
        let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
        match (start, length, end) {
            (Some(start), Some(length), Some(end)) if end <= disk.data.end => {
                Ok(Area { device: disk.device as u32, start, length, sector: disk.sector })
            }
            _ => Err(bad(format!("it lies beyond the data of disk {name}"))),
        }
    }
}

fn kind(components: &[(u64, &Component)]) -> Result<Kind, Refusal> {
    match components {
        [(_, one)] => Ok(match one.arrangement {
            Arrangement::Striped => Kind::Striped,
            Arrangement::Raid5 => Kind::Raid5,
            Arrangement::Joined if one.partitions > 1 => Kind::Spanned,
            Arrangement::Joined => Kind::Simple,
        }),
        many if many.iter().any(|(_, one)| one.arrangement == Arrangement::Raid5) => {
            Err(bad("it mirrors RAID-5"))
        }
        _ => Ok(Kind::Mirrored),
    }
}

/// Every column is one partition, and all are there.
fn columns(component: &Component, partitions: &[&Partition]) -> Result<(), Refusal> {
    let least = if component.arrangement == Arrangement::Raid5 { 3 } else { 2 };
    let ordered = partitions.iter().zip(0..).all(|(one, index)| one.index == index);
    if component.columns != partitions.len() as u64 || partitions.len() < least || !ordered {
        let message = format!("its {} columns are not one partition each", component.columns);
        return Err(Refusal("ldm.unsupported-type", message));
    }
    if component.chunk == 0 {
        return Err(bad("its stripes have no length"));
    }
    Ok(())
}

/// Segments so far.
struct Mapped {
    segments: Vec<Segment>,
    length: u64,
    /// Bytes of the volume.
    size: u64,
    most: usize,
}

impl Mapped {
    fn join(&mut self, partitions: &[&Partition], areas: &[Area]) -> Result<(), Refusal> {
        let mut both: Vec<(u64, &Area)> = partitions.iter().map(|one| one.offset).zip(areas).collect();
        both.sort_by_key(|(offset, _)| *offset);
        for (offset, area) in both {
            if offset.checked_mul(area.sector) != Some(self.length) && self.length < self.size {
                return Err(bad("its partitions leave gaps, or overlap"));
            }
            self.push(area, 0, area.length)?;
        }
        Ok(())
    }

    /// In turns. RAID-5 has the parity on the last disk first, then on the one before it, and the data go on behind the
    /// parity (what Linux calls left-symmetric).
    fn stripe(&mut self, areas: &[Area], chunk: u64, parity: bool) -> Result<(), Refusal> {
        let width = areas.len();
        let data = width - usize::from(parity);
        let mut row = 0u64;
        while self.length < self.size {
            let first = if parity { width - (row % width as u64) as usize } else { 0 };
            for column in 0..data {
                let area = areas.get((first + column) % width).ok_or_else(|| bad("it has no columns"))?;
                self.push(area, row.saturating_mul(chunk), chunk)?;
            }
            row += 1;
        }
        Ok(())
    }

    /// Adds a piece, up to the volume's end, to the last one if it goes on there.
    fn push(&mut self, area: &Area, within: u64, length: u64) -> Result<(), Refusal> {
        let length = length.min(self.size - self.length);
        if length == 0 {
            return Ok(());
        }
        if within.checked_add(length).is_none_or(|end| end > area.length) {
            return Err(bad("its partitions are shorter than its stripes"));
        }
        let offset = area.start + within;
        let piece = Segment { logical: self.length, length, device: area.device, offset };
        join(&mut self.segments, piece);
        self.length += length;
        if self.segments.len() > self.most {
            let message = format!("its stripes are too many pieces, {} are left", self.most);
            return Err(Refusal("ldm.too-many-segments", message));
        }
        Ok(())
    }
}
