//! Partitions that a guest needs for the new machine and had not before: made by writes that adapters describe, on overlays of
//! the sources' disks, one of which may become longer for it.

use crate::machine::Machine;
use crate::source::Source;
use crate::{Error, Result};
use block::{Disk, Overlay, Piece, Segments, Zeroes};
use runtime::contract::{Added, Addition, Partition, ZEROES};
use runtime::{Adapters, FileSystem, Kind, Volumes};
use std::sync::Arc;
use workload::{Concern, Edit, Severity};

const MIB: u64 = 1 << 20;
/// What a longer disk has beyond its new partition: a whole MiB before it, and a table behind it.
const SPARE: u64 = 2 * MIB;
/// New partitions are for firmware and boot code; nobody may make a disk much longer.
const WANTED_MOST: u64 = 4 << 30;

/// What was made.
#[derive(Default)]
pub struct Additions {
    /// All disks, if any was changed.
    pub disks: Option<Vec<Arc<dyn Disk>>>,
    /// For the plan.
    pub edits: Vec<Edit>,
    /// What could not be made.
    pub concerns: Vec<Concern>,
    hash: blake3::Hasher,
}

impl Additions {
    /// BLAKE3 of all tables written.
    pub fn digest(&self) -> blake3::Hash {
        self.hash.finalize()
    }
}

/// Makes them; what cannot be made blocks the plan.
pub fn make(
    sources: &[Source],
    machine: &Machine,
    wanted: &[Partition],
    adapters: &Adapters,
) -> Result<Additions> {
    let mut all = Additions::default();
    if wanted.is_empty() {
        return Ok(all);
    }
    let mut disks: Vec<Arc<dyn Disk>> = sources.iter().map(|source| source.disk.clone()).collect();
    for one in wanted {
        let whole = |device: &crate::Device| device.volume.id == one.disk && device.segments.is_empty();
        let number = machine.devices.iter().position(whole).filter(|number| *number < disks.len());
        let number = number.ok_or_else(|| Error::failed(format!("there is no disk {}", one.disk)))?;
        // One half of a mirror cannot be changed alone.
        if let Some(whole) = &machine.devices[number].member_of {
            all.concerns.push(refused(one, &format!("it is a member of {}", whole.id)));
            continue;
        }
        let making = Making { machine, number, wanted: one, adapters };
        match making.make(&disks[number], &mut all)? {
            Ok(disk) => disks[number] = disk,
            Err(why) => all.concerns.push(refused(one, &why)),
        }
    }
    all.disks = Some(disks).filter(|_| !all.edits.is_empty());
    Ok(all)
}

fn refused(wanted: &Partition, why: &str) -> Concern {
    Concern {
        id: "disk.no-partition".into(),
        severity: Severity::Blocking,
        message: format!("{} gets no {} partition: {why}", wanted.disk, wanted.purpose),
        remedy: Some("make the partition on the source, or choose the source's firmware".into()),
    }
}

/// An answer, or why an adapter did not give it.
type Told<T> = std::result::Result<T, String>;

struct Making<'a> {
    machine: &'a Machine,
    number: usize,
    wanted: &'a Partition,
    adapters: &'a Adapters,
}

impl Making<'_> {
    fn make(&self, disk: &Arc<dyn Disk>, all: &mut Additions) -> Result<Told<Arc<dyn Disk>>> {
        let wanted = self.wanted.wanted.min(WANTED_MOST);
        let addition = Addition {
            purpose: self.wanted.purpose.clone(),
            least: self.wanted.least,
            wanted: wanted.max(self.wanted.least),
        };
        let mut disk = disk.clone();
        let old = disk.length();
        let mut found = self.room(&disk, &addition)?;
        if found.as_ref().is_err_and(|(longer, _)| *longer) {
            disk = longer(&disk, addition.wanted + SPARE);
            found = self.room(&disk, &addition)?;
        }
        let added = match found {
            Ok(added) => added,
            Err((_, why)) => return Ok(Err(why)),
        };
        self.check(&added)?;
        let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(disk));
        for patch in &added.patches {
            overlay.write_at(patch.offset, &patch.bytes)?;
            all.hash.update(&patch.offset.to_le_bytes()).update(&patch.bytes);
        }
        if let Some(kind) = &self.wanted.file_system
            && let Err(why) = self.format(&overlay, &added, kind)?
        {
            return Ok(Err(why));
        }
        self.tell(&added, (old, overlay.length()), all);
        Ok(Ok(overlay))
    }

    /// Room on the disk; else whether a longer one would have it, and why not.
    fn room(
        &self,
        disk: &Arc<dyn Disk>,
        addition: &Addition,
    ) -> Result<std::result::Result<Added, (bool, String)>> {
        for adapter in self.adapters.of(Kind::VolumeMap) {
            match Volumes::open(adapter)?.add_partition(disk, addition) {
                Ok(added) => return Ok(Ok(added)),
                Err(e) if e.is_fault() => return Err(e.into()),
                Err(e) if e.code == Some("not-found") => {}
                Err(e) => return Ok(Err((e.code == Some("no-space"), e.message))),
            }
        }
        Ok(Err((false, "it has no partition table that takes one".into())))
    }

    /// Nothing that belongs to another partition may change.
    fn check(&self, added: &Added) -> Result<()> {
        let writes = added.patches.iter().map(|patch| (patch.offset, patch.bytes.len() as u64));
        let writes: Vec<(u64, u64)> = writes.chain([(added.offset, added.length)]).collect();
        for device in &self.machine.devices {
            let places = device.segments.iter().filter(|segment| segment.device != ZEROES);
            for place in places.filter(|segment| segment.device as usize == self.number) {
                let hit = |(offset, length): &&(u64, u64)| {
                    place.offset < offset + length && *offset < place.offset + place.length
                };
                if let Some((offset, _)) = writes.iter().find(hit) {
                    return Err(Error::failed(format!(
                        "a new partition would write at byte {offset}, which is {}'s",
                        device.volume.id
                    )));
                }
            }
        }
        Ok(())
    }

    fn format(&self, disk: &Arc<dyn Disk>, added: &Added, kind: &str) -> Result<Told<()>> {
        let piece = Piece { logical: 0, length: added.length, disk: disk.clone(), offset: added.offset };
        let part: Arc<dyn Disk> = Arc::new(Segments::new(vec![piece]));
        for adapter in self.adapters.of(Kind::FilesystemDriver) {
            match FileSystem::open(adapter)?.format(&part, kind, &self.wanted.label) {
                Ok(()) => return Ok(Ok(())),
                Err(e) if e.is_fault() => return Err(e.into()),
                Err(e) if e.code == Some("not-found") => {}
                Err(e) => return Ok(Err(e.message)),
            }
        }
        Ok(Err(format!("no adapter makes a file system of the kind {kind}")))
    }

    fn tell(&self, added: &Added, (old, new): (u64, u64), all: &mut Additions) {
        let edit = |action: &str, before: Option<String>, after: String| Edit {
            action: action.into(),
            object: self.wanted.disk.clone(),
            reason: self.wanted.reason.clone(),
            before,
            after: Some(after),
            refused: None,
        };
        if new > old {
            all.edits.push(edit("lengthen", Some(format!("{old} bytes")), format!("{new} bytes")));
        }
        let place = format!("{}, {} bytes at byte {}", self.wanted.purpose, added.length, added.offset);
        all.edits.push(edit("add-partition", None, place));
        if let Some(kind) = &self.wanted.file_system {
            let what = format!("an empty {kind} labelled {} at byte {}", self.wanted.label, added.offset);
            all.edits.push(edit("format", None, what));
        }
    }
}

/// The disk with zeroes behind it, to a whole MiB.
fn longer(disk: &Arc<dyn Disk>, more: u64) -> Arc<dyn Disk> {
    let old = disk.length();
    let length = (old + more).next_multiple_of(MIB) - old;
    let piece = |logical, length, disk| Piece { logical, length, disk, offset: 0 };
    Arc::new(Segments::new(vec![piece(0, old, disk.clone()), piece(old, length, Arc::new(Zeroes(length)))]))
}
