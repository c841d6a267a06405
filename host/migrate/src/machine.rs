//! A machine's devices: disks under an overlay, and what volume and file system adapters find in them.

use crate::tree::Tree;
use block::{Disk, Overlay, Piece, Segments};
use runtime::contract::{Fact, Volume};
use runtime::{Adapters, FileSystem, Kind, Volumes};
use std::sync::{Arc, Mutex};
use workload::{Concern, OperatingSystem, Severity};

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
    /// The adapter that knows its file system.
    pub driver: Option<String>,
}

/// All devices, and what spoke against some of them.
pub struct Machine {
    /// Each disk with the adapters' edits.
    pub overlays: Vec<Arc<Overlay>>,
    /// Disks first, then what was found in them.
    pub devices: Vec<Device>,
    /// From the volume adapters.
    pub concerns: Vec<Concern>,
}

fn fact(key: &str, value: impl ToString) -> Fact {
    Fact { key: key.into(), value: value.to_string() }
}

fn concern_of(concern: runtime::contract::Concern) -> Concern {
    let severity = match concern.severity {
        runtime::contract::Severity::Blocking => Severity::Blocking,
        runtime::contract::Severity::Warning => Severity::Warning,
        runtime::contract::Severity::Information => Severity::Information,
    };
    Concern { id: concern.id, severity, message: concern.message, remedy: concern.remedy }
}

impl Machine {
    /// Puts an overlay over each disk and lets the adapters look, until nothing new appears.
    pub fn open(disks: Vec<Arc<dyn Disk>>, adapters: &Adapters) -> runtime::Result<Self> {
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
            driver: None,
        };
        let devices = overlays.iter().enumerate().map(whole).collect();
        let mut machine = Self { overlays, devices, concerns: Vec::new() };
        for _ in 0..ROUNDS {
            if !machine.scan(adapters)? {
                break;
            }
        }
        machine.probe(adapters);
        Ok(machine)
    }

    /// One round of all volume adapters; whether something new was found.
    fn scan(&mut self, adapters: &Adapters) -> runtime::Result<bool> {
        let known = self.devices.len();
        for adapter in adapters.of(Kind::VolumeMap) {
            let disks: Vec<Arc<dyn Disk>> = self.devices.iter().map(|device| device.disk.clone()).collect();
            let layout = match Volumes::open(adapter).and_then(|mut volumes| volumes.scan(&disks)) {
                Ok(layout) => layout,
                Err(e) if e.is_fault() => return Err(e),
                Err(e) => {
                    self.add_concern(Concern {
                        id: "volumes.unreadable".into(),
                        severity: Severity::Warning,
                        message: e.to_string(),
                        remedy: None,
                    });
                    continue;
                }
            };
            layout.concerns.into_iter().for_each(|concern| self.add_concern(concern_of(concern)));
            for part in layout.parts {
                self.add_part(part, &disks);
            }
        }
        Ok(self.devices.len() > known)
    }

    fn add_concern(&mut self, concern: Concern) {
        if !self.concerns.contains(&concern) {
            self.concerns.push(concern);
        }
    }

    fn add_part(&mut self, part: runtime::contract::Part, disks: &[Arc<dyn Disk>]) {
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
            disk: disks[segment.device as usize].clone(),
            offset: segment.offset,
        });
        self.devices.push(Device {
            volume: Volume { id: part.id, kind: part.kind, size, facts },
            disk: Arc::new(Segments::new(pieces.collect())),
            driver: None,
        });
    }

    /// Asks every file system adapter about every device.
    fn probe(&mut self, adapters: &Adapters) {
        for device in &mut self.devices {
            for adapter in adapters.of(Kind::FilesystemDriver) {
                let found = FileSystem::open(adapter).and_then(|mut files| files.probe(&device.disk));
                let identity = match found {
                    Ok(Some(identity)) => identity,
                    Ok(None) => continue,
                    Err(e) => {
                        tracing::debug!(volume = device.volume.id, "{e}");
                        continue;
                    }
                };
                device.driver = Some(adapter.manifest.id.clone());
                let facts = &mut device.volume.facts;
                facts.push(fact("fs.kind", identity.kind));
                facts.extend(identity.uuid.map(|uuid| fact("fs.uuid", uuid)));
                facts.extend(identity.label.map(|label| fact("fs.label", label)));
                facts.push(fact("fs.clean", identity.clean));
                break;
            }
        }
    }

    /// The guest's files, nothing mounted yet.
    pub fn tree(&self, adapters: &Adapters) -> Arc<Mutex<Tree>> {
        Arc::new(Mutex::new(Tree::new(self, adapters.of(Kind::FilesystemDriver).cloned().collect())))
    }
}

/// What operating system lives here, by the first source adapter that knows it.
pub fn identify(
    machine: &Machine,
    adapters: &Adapters,
) -> runtime::Result<Option<(OperatingSystem, String)>> {
    for adapter in adapters.of(Kind::SourceOs) {
        let mut source = runtime::Source::open(adapter, machine.tree(adapters))?;
        let Some(os) = source.identify()? else { continue };
        let facts =
            os.facts.into_iter().map(|fact| workload::Fact { key: fact.key, value: fact.value }).collect();
        let os = OperatingSystem {
            family: os.family,
            id: os.id,
            product: os.product,
            version: os.version,
            architecture: os.architecture,
            hostname: os.hostname,
            facts,
        };
        return Ok(Some((os, adapter.manifest.id.clone())));
    }
    Ok(None)
}
