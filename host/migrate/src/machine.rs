//! A machine's devices: disks under an overlay, and what volume and file system adapters find in them.

use crate::Result;
use crate::convert::concern_of;
use crate::keys::Keys;
use crate::supply::Supply;
use crate::tree::Tree;
use block::{Disk, Mirrored, Overlay, Piece, Sealed, Segments, Zeroes};
use runtime::contract::{Fact, Part, Segment, Volume, ZEROES};
use runtime::{Adapters, FileSystem, Kind, Volumes};
use std::sync::{Arc, Mutex};
use workload::{Concern, Severity};

/// How often volume adapters are asked again: partitions, an array of them, encryption, LVM in it, and some to spare.
const ROUNDS: usize = 8;
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
    /// Further places of the same bytes, each as segments again; edits go there as well.
    pub copies: Vec<Vec<Segment>>,
    /// What this one is only a member of: nothing else on it is looked at.
    pub member_of: Option<Whole>,
    /// The adapter that found it says that it holds a file system and nothing else: no volume adapter is shown it.
    pub holds_file_system: bool,
    /// The adapter that knows its file system.
    pub driver: Option<String>,
    /// Bytes of the device that the file system spans.
    pub file_system_size: u64,
}

/// A device that others are members of.
#[derive(Clone)]
pub struct Whole {
    /// Its id.
    pub id: String,
    /// The adapter that says so, the only one that is still shown the members.
    pub adapter: String,
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
    /// Ids of the encrypted devices that an adapter understands, opened or not.
    encrypted: Vec<String>,
}

fn fact(key: &str, value: impl ToString) -> Fact {
    Fact { key: key.into(), value: value.to_string() }
}

impl Machine {
    /// Puts an overlay over each disk and lets the adapters look, until nothing new appears. What is encrypted is opened with the
    /// operator's keys; one that opens nothing is an error.
    pub fn open(disks: Vec<Arc<dyn Disk>>, keys: &Keys, adapters: &Adapters) -> Result<Self> {
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
            copies: Vec::new(),
            member_of: None,
            holds_file_system: false,
            driver: None,
            file_system_size: 0,
        };
        let devices = overlays.iter().enumerate().map(whole).collect();
        let mut machine = Self {
            overlays,
            devices,
            supplies: Vec::new(),
            concerns: Vec::new(),
            faults: false,
            encrypted: Vec::new(),
        };
        for _ in 0..ROUNDS {
            if !machine.scan(keys, adapters)? {
                break;
            }
        }
        keys.without_device(&machine.encrypted)?;
        machine.probe(adapters);
        Ok(machine)
    }

    /// One round of all volume adapters; whether something new was found.
    fn scan(&mut self, keys: &Keys, adapters: &Adapters) -> Result<bool> {
        let mut found = false;
        // What an earlier round missed, such as a volume group's second device, this one may find.
        self.concerns.clear();
        for adapter in adapters.of(Kind::VolumeMap) {
            let id = &adapter.manifest.id;
            let own = |device: &Device| {
                device.member_of.as_ref().is_none_or(|whole| whole.adapter == *id)
                    && !device.holds_file_system
            };
            let shown: Vec<usize> = (0..self.devices.len()).filter(|at| own(&self.devices[*at])).collect();
            let disks: Vec<Arc<dyn Disk>> = shown.iter().map(|at| self.devices[*at].disk.clone()).collect();
            match Volumes::open(adapter).and_then(|mut volumes| volumes.scan(&disks)) {
                Ok(layout) => {
                    layout.concerns.into_iter().for_each(|concern| self.add_concern(concern_of(concern)));
                    let (copies, parts): (Vec<Part>, Vec<Part>) =
                        layout.parts.into_iter().partition(|part| part.kind == "copy");
                    let before = self.devices.len();
                    parts.into_iter().try_for_each(|part| self.add_part(part, id, &shown, keys))?;
                    found |= self.devices.len() > before;
                    copies.into_iter().for_each(|part| self.add_copy(part, before, &shown));
                    self.forget_members();
                }
                Err(e) => self.trouble("volumes.unreadable", &e),
            }
        }
        Ok(found)
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

    /// A part that an adapter names, with devices by their position in `shown`.
    fn add_part(&mut self, mut part: Part, adapter: &str, shown: &[usize], keys: &Keys) -> Result<()> {
        if self.devices.iter().any(|device| device.volume.id == part.id) || self.devices.len() >= DEVICES_MOST
        {
            return Ok(());
        }
        for member in members(&part).into_iter().filter_map(|member| shown.get(member)) {
            self.devices[*member].member_of = Some(Whole { id: part.id.clone(), adapter: adapter.into() });
        }
        place(&mut part.segments, shown);
        if part.segments.is_empty() {
            return Ok(());
        }
        let mut disk = self.compose(&part.segments);
        if part.kind == "encrypted" {
            let Some(plain) = self.decrypted(&part, disk, keys)? else { return Ok(()) };
            disk = plain;
        }
        let kind = if part.kind == "encrypted" { "decrypted".into() } else { part.kind };
        let size = part.segments.iter().map(|segment| segment.length).sum();
        let mut facts = part.facts;
        let holds_file_system = facts.iter().any(|fact| fact.key == "holds" && fact.value == "file-system");
        facts.retain(|fact| !["members", "holds"].contains(&&*fact.key) && !fact.key.starts_with("cipher"));
        if let Some(first) = part.segments.iter().find(|segment| segment.device != ZEROES) {
            let parent = &self.devices[first.device as usize].volume;
            facts.extend(parent.facts.iter().filter(|fact| fact.key == "disk.index").cloned());
            facts.push(fact("parent", &parent.id));
        }
        facts.extend(self.against_edits(&part.segments));
        self.devices.push(Device {
            volume: Volume { id: part.id, kind, size, facts },
            disk,
            segments: part.segments,
            copies: Vec::new(),
            member_of: None,
            holds_file_system,
            driver: None,
            file_system_size: 0,
        });
        Ok(())
    }

    /// The plain text of an encrypted part, if the operator lent what opens it.
    fn decrypted(&mut self, part: &Part, under: Arc<dyn Disk>, keys: &Keys) -> Result<Option<Arc<dyn Disk>>> {
        if !self.encrypted.contains(&part.id) {
            self.encrypted.push(part.id.clone());
        }
        let lies = part.segments.iter().find(|segment| segment.device != ZEROES);
        let Some(head) = lies.map(|segment| self.devices[segment.device as usize].disk.clone()) else {
            return Ok(None);
        };
        let id = &part.id;
        let facts = part.facts.iter().map(|fact| (fact.key.as_str(), fact.value.as_str()));
        let (why, remedy) = match Sealed::parse(facts) {
            Ok(sealed) => match keys.open(id, &sealed, &*head, under)? {
                Some(plain) => return Ok(Some(Arc::new(plain))),
                None => {
                    let asked = format!("--key {id} to be asked for the passphrase");
                    (String::new(), format!("lend what opens it: --key {id}=FILE, or {asked}"))
                }
            },
            Err(e) => (
                format!(", and cannot be opened here: {e}"),
                "the machine starts only if its system has the new machine's drivers already".into(),
            ),
        };
        self.add_concern(Concern {
            id: "volumes.encrypted".into(),
            severity: Severity::Warning,
            message: format!("{id} is encrypted: nothing in it is seen or changed{why}"),
            remedy: Some(remedy),
        });
        Ok(None)
    }

    /// Why nothing can be edited that lies on these segments: what the first device says against it.
    fn against_edits(&self, segments: &[Segment]) -> Option<Fact> {
        let devices = segments.iter().filter_map(|segment| self.devices.get(segment.device as usize));
        let mut facts = devices.flat_map(|device| &device.volume.facts);
        facts.find(|fact| fact.key == "edits").cloned()
    }

    /// Another place of a part that is new, which is one behind the first `before` devices.
    fn add_copy(&mut self, mut part: Part, before: usize, shown: &[usize]) {
        place(&mut part.segments, shown);
        let disk = self.compose(&part.segments);
        let of = part.facts.iter().find(|fact| fact.key == "copy-of").map(|fact| fact.value.as_str());
        let Some(device) =
            self.devices[before..].iter_mut().find(|device| Some(device.volume.id.as_str()) == of)
        else {
            return;
        };
        match Mirrored::new(device.disk.clone(), vec![disk]) {
            Ok(both) => {
                device.disk = Arc::new(both);
                device.copies.push(part.segments);
            }
            Err(e) => {
                let message = format!("{}: {e}", part.id);
                self.trouble("volumes.unreadable", &runtime::Error::host("volumes.scan", message));
            }
        }
    }

    fn compose(&self, segments: &[Segment]) -> Arc<dyn Disk> {
        let disk = |segment: &Segment| -> Arc<dyn Disk> {
            match segment.device {
                ZEROES => Arc::new(Zeroes(segment.length)),
                device => self.devices[device as usize].disk.clone(),
            }
        };
        let piece = |segment: &Segment| Piece {
            logical: segment.logical,
            length: segment.length,
            disk: disk(segment),
            offset: segment.offset,
        };
        Arc::new(Segments::new(segments.iter().map(piece).collect()))
    }

    /// Drops what was taken for a part of a device before it turned out to be a member of another: a mirror's file system is
    /// seen in each member too, and an edit there would reach only that one.
    fn forget_members(&mut self) {
        let mut gone: Vec<bool> = Vec::new();
        for device in &self.devices {
            let of_member = |segment: &Segment| {
                if segment.device == ZEROES {
                    return false;
                }
                let parent = segment.device as usize;
                gone[parent]
                    || self.devices[parent]
                        .member_of
                        .as_ref()
                        .is_some_and(|whole| whole.id != device.volume.id)
            };
            gone.push(device.segments.iter().any(of_member));
        }
        let left: Vec<usize> = (0..gone.len()).filter(|at| !gone[*at]).collect();
        let moved = |at: u32| left.partition_point(|kept| *kept < at as usize) as u32;
        let mut kept: Vec<Device> = left.iter().map(|at| self.devices[*at].clone()).collect();
        for segments in
            kept.iter_mut().flat_map(|device| device.copies.iter_mut().chain([&mut device.segments]))
        {
            each_device(segments, moved);
        }
        self.devices = kept;
    }

    /// Asks every file system adapter about every device.
    fn probe(&mut self, adapters: &Adapters) {
        for index in 0..self.devices.len() {
            if let Some(whole) = self.devices[index].member_of.clone() {
                self.devices[index].volume.facts.push(fact("member-of", whole.id));
                continue;
            }
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
                        facts.extend(
                            identity.facts.iter().map(|more| fact(&format!("fs.{}", more.key), &more.value)),
                        );
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
        Arc::new(Mutex::new(Tree::new(self, adapters)))
    }

    /// Ranges of a device's bytes as ranges of the disks they lie on, in every copy: disk, offset, length.
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
        for segments in found.copies.iter().chain([&found.segments]) {
            let end = offset + length;
            let first = segments.partition_point(|segment| segment.logical + segment.length <= offset);
            let there = segments[first..].iter().take_while(|segment| segment.logical < end);
            for segment in there.filter(|segment| segment.device != ZEROES) {
                let from = segment.logical.max(offset);
                let to = (segment.logical + segment.length).min(end);
                let at = segment.offset + (from - segment.logical);
                self.on_disks(segment.device as usize, at, to.saturating_sub(from), into);
            }
        }
    }
}

/// Positions of the devices that are members of a part and nothing else.
fn members(part: &Part) -> Vec<usize> {
    let listed = part.facts.iter().filter(|fact| fact.key == "members");
    listed.flat_map(|fact| fact.value.split(',').filter_map(|word| word.trim().parse().ok())).collect()
}

/// From positions among the devices that were shown to those among all.
fn place(segments: &mut [Segment], shown: &[usize]) {
    each_device(segments, |device| shown[device as usize] as u32);
}

/// Other numbers for the devices of segments that lie on one.
fn each_device(segments: &mut [Segment], moved: impl Fn(u32) -> u32) {
    let lies = segments.iter_mut().filter(|segment| segment.device != ZEROES);
    lies.for_each(|segment| segment.device = moved(segment.device));
}
