//! A machine's devices: disks under an overlay, and what volume and file system adapters find in them.

use crate::convert::concern_of;
use crate::supply::Supply;
use crate::tree::Tree;
use block::{Disk, Overlay, Piece, Segments};
use runtime::contract::{Fact, Segment, Volume};
use runtime::{Adapters, FileSystem, Kind, Volumes};
use std::sync::{Arc, Mutex};
use workload::{Concern, Severity};

/// How often volume adapters are asked again: partitions, LVM in them, and one to spare.
const ROUNDS: usize = 4;
/// More devices than any machine has.
const DEVICES_MOST: usize = 4096;

/// One device: a disk, a partition or a logical volume.
#[derive(Clone)]
pub struct Device {
    /// What the guest's adapters are told of it.
    pub volume: Volume,
    /// Its bytes; writes end in the disk's overlay.
    pub disk: Arc<dyn Disk>,
    /// Where those bytes are: segments of earlier devices, by their position; none for a whole disk.
    pub segments: Vec<Segment>,
    /// The adapter that knows its file system.
    pub driver: Option<String>,
    /// Bytes of the device that the file system spans.
    pub file_system_size: u64,
}

/// All devices, and what spoke against some of them.
pub struct Machine {
    /// Each disk with the adapters' edits.
    pub overlays: Vec<Arc<Overlay>>,
    /// Disks first, then what was found in them.
    pub devices: Vec<Device>,
    /// What the operator lends to the adapter that knows the system.
    pub supplies: Vec<Supply>,
    /// From the volume and file system adapters.
    pub concerns: Vec<Concern>,
    /// Whether an adapter trapped, ran into a limit or answered nonsense: what it would have found is missing.
    pub faults: bool,
}

fn fact(key: &str, value: impl ToString) -> Fact {
    Fact { key: key.into(), value: value.to_string() }
}

impl Machine {
    /// Puts an overlay over each disk and lets the adapters look, until nothing new appears.
    pub fn open(disks: Vec<Arc<dyn Disk>>, adapters: &Adapters) -> Self {
        let overlays: Vec<Arc<Overlay>> =
            disks.into_iter().map(|disk| Arc::new(Overlay::new(disk))).collect();
        let whole = |(index, overlay): (usize, &Arc<Overlay>)| Device {
            volume: Volume {
                id: format!("disk:{index}"),
                kind: "disk".into(),
                size: overlay.length(),
                facts: vec![fact("disk.index", index)],
            },
            disk: overlay.clone(),
            segments: Vec::new(),
            driver: None,
            file_system_size: 0,
        };
        let devices = overlays.iter().enumerate().map(whole).collect();
        let mut machine =
            Self { overlays, devices, supplies: Vec::new(), concerns: Vec::new(), faults: false };
        for _ in 0..ROUNDS {
            if !machine.scan(adapters) {
                break;
            }
        }
        machine.probe(adapters);
        machine
    }

    /// One round of all volume adapters; whether something new was found.
    fn scan(&mut self, adapters: &Adapters) -> bool {
        let known = self.devices.len();
        // What an earlier round missed, such as a volume group's second device, this one may find.
        self.concerns.clear();
        for adapter in adapters.of(Kind::VolumeMap) {
            let disks: Vec<Arc<dyn Disk>> = self.devices.iter().map(|device| device.disk.clone()).collect();
            match Volumes::open(adapter).and_then(|mut volumes| volumes.scan(&disks)) {
                Ok(layout) => {
                    layout.concerns.into_iter().for_each(|concern| self.add_concern(concern_of(concern)));
                    layout.parts.into_iter().for_each(|part| self.add_part(part));
                }
                Err(e) => self.trouble("volumes.unreadable", &e),
            }
        }
        self.devices.len() > known
    }

    /// An adapter that fails or crashes ends its own call; the others go on, and it is told.
    fn trouble(&mut self, id: &str, e: &runtime::Error) {
        self.faults |= e.is_fault();
        let id = if e.is_fault() { "adapter.fault" } else { id };
        let remedy = "what this adapter would have found is missing below";
        self.add_concern(Concern {
            id: id.into(),
            severity: Severity::Warning,
            message: e.to_string(),
            remedy: Some(remedy.into()),
        });
    }

    fn add_concern(&mut self, concern: Concern) {
        if !self.concerns.contains(&concern) {
            self.concerns.push(concern);
        }
    }

    fn add_part(&mut self, part: runtime::contract::Part) {
        let seen = self.devices.iter().any(|device| device.volume.id == part.id);
        let Some(first) = part.segments.first() else { return };
        if seen || self.devices.len() >= DEVICES_MOST {
            return;
        }
        let size = part.segments.iter().map(|segment| segment.length).sum();
        let parent = &self.devices[first.device as usize].volume;
        let mut facts = part.facts;
        let inherited = parent.facts.iter().filter(|fact| fact.key == "disk.index").cloned();
        facts.extend(inherited);
        facts.push(fact("parent", &parent.id));
        let pieces = part.segments.iter().map(|segment| Piece {
            logical: segment.logical,
            length: segment.length,
            disk: self.devices[segment.device as usize].disk.clone(),
            offset: segment.offset,
        });
        let disk = Arc::new(Segments::new(pieces.collect()));
        let volume = Volume { id: part.id, kind: part.kind, size, facts };
        self.devices.push(Device {
            volume,
            disk,
            segments: part.segments,
            driver: None,
            file_system_size: 0,
        });
    }

    /// Asks every file system adapter about every device.
    fn probe(&mut self, adapters: &Adapters) {
        for index in 0..self.devices.len() {
            for adapter in adapters.of(Kind::FilesystemDriver) {
                let device = &mut self.devices[index];
                match FileSystem::open(adapter).and_then(|mut files| files.probe(&device.disk)) {
                    Ok(None) => continue,
                    Ok(Some(identity)) => {
                        device.driver = Some(adapter.manifest.id.clone());
                        device.file_system_size = identity.size;
                        let facts = &mut device.volume.facts;
                        facts.push(fact("fs.kind", identity.kind));
                        facts.extend(identity.uuid.map(|uuid| fact("fs.uuid", uuid)));
                        facts.extend(identity.label.map(|label| fact("fs.label", label)));
                        facts.push(fact("fs.clean", identity.clean));
                        break;
                    }
                    Err(mut e) => {
                        e.message = format!("{}: {}", device.volume.id, e.message);
                        self.trouble("filesystem.unreadable", &e);
                    }
                }
            }
        }
    }

    /// The guest's files, nothing mounted yet.
    pub fn tree(&self, adapters: &Adapters) -> Arc<Mutex<Tree>> {
        Arc::new(Mutex::new(Tree::new(self, adapters.of(Kind::FilesystemDriver).cloned().collect())))
    }

    /// Ranges of a device's bytes as ranges of the disks they lie on: disk, offset, length.
    pub(crate) fn on_disks(
        &self,
        device: usize,
        offset: u64,
        length: u64,
        into: &mut Vec<(usize, u64, u64)>,
    ) {
        if length == 0 {
            return;
        }
        let found = &self.devices[device];
        if found.segments.is_empty() {
            into.push((device, offset, length));
            return;
        }
        let end = offset + length;
        let first = found.segments.partition_point(|segment| segment.logical + segment.length <= offset);
        for segment in found.segments[first..].iter().take_while(|segment| segment.logical < end) {
            let from = segment.logical.max(offset);
            let to = (segment.logical + segment.length).min(end);
            let at = segment.offset + (from - segment.logical);
            self.on_disks(segment.device as usize, at, to.saturating_sub(from), into);
        }
    }
}
