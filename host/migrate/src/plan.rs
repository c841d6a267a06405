//! What a migration would do. It is found by doing it, in overlays that are dropped: there is no second code path.

use crate::addition::{self, Additions};
use crate::convert::{concern_of, facts_of, facts_to, profile_of, system_of};
use crate::definition::{self, Definition};
use crate::keys::Keys;
use crate::machine::Machine;
use crate::servers::Servers;
use crate::source::Source;
use crate::supply::Supply;
use crate::target::Destination;
use crate::tree::Tree;
use crate::unused::unused;
use crate::{Error, ErrorKind, Result};
use block::{Disk, Kind, Masked, SECTOR};
use runtime::{Adapters, contract};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use workload::{Concern, DeviceProfile, Edit, Fact, OperatingSystem, Severity, find};

/// Pieces of 1 MiB that are read of each disk to learn the source's speed.
const SAMPLES: usize = 16;
/// What a machine gets that nobody describes.
const CPUS: u32 = 2;
const MEMORY_MIB: u64 = 2048;

/// A network card of the new machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Nic {
    /// `52:54:00:12:34:56`.
    pub mac: String,
    /// A network of the target.
    pub network: Option<String>,
}

/// What the operator asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// `FORMAT:PATH` of each disk, or one definition of a machine, such as `ova:PATH`.
    pub disks: Vec<String>,
    /// `TARGET:DIRECTORY`, such as `kvm:/srv/machines`.
    pub to: String,
    /// The new machine's name; the definition's or the guest's own if none is said.
    pub name: Option<String>,
    /// Virtual processors; the definition's if none are said, else 2.
    pub cpus: Option<u32>,
    /// MiB; the definition's if nothing is said, else 2048.
    pub memory_mib: Option<u64>,
    /// Cards; the definition's, or one with an address made from the machine's name if none is said.
    pub nics: Vec<(Option<String>, Option<String>)>,
    /// `disk-bus`, `format` and the like, as the target documents them.
    pub wishes: Vec<Fact>,
    /// What the adapter that knows the guest's system is told, as it documents it.
    pub options: Vec<Fact>,
    /// Directories and images with vendors' drivers for it.
    pub drivers: Vec<PathBuf>,
    /// What opens encrypted devices: `luks:UUID=FILE`, or `luks:UUID`, which asks for the passphrase.
    pub keys: Vec<String>,
    /// The servers that the target may ask.
    pub servers: Servers,
}

/// How much there is to move, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Amount {
    /// What the guest sees.
    pub disks: u64,
    /// What has to be read: neither hole nor unused.
    pub data: u64,
    /// Held by the source but used by no file system.
    pub unused: u64,
    /// Seconds that reading will take, by a sample of the source; writing may take longer.
    pub seconds: f64,
}

/// Everything that is known before a byte is copied.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The source's disks.
    pub sources: Vec<Source>,
    /// What the source's definition says, if it has one.
    pub definition: Option<Definition>,
    /// What lives on them.
    pub operating_system: Option<OperatingSystem>,
    /// The adapter that knows it.
    pub source_adapter: Option<String>,
    /// The target's adapter.
    pub target_adapter: String,
    /// The new machine's name.
    pub name: String,
    /// Virtual processors.
    pub cpus: u32,
    /// MiB.
    pub memory_mib: u64,
    /// Network cards.
    pub nics: Vec<Nic>,
    /// What the guest will find.
    pub profile: DeviceProfile,
    /// What speaks against it or should be known, heaviest first.
    pub concerns: Vec<Concern>,
    /// Changes to the guest's files.
    pub edits: Vec<Edit>,
    /// What a person should know or do afterwards.
    pub notes: Vec<String>,
    /// How much there is to move.
    pub bytes: Amount,
    /// Identifies this migration of this source: the same command has the same key.
    pub key: String,
    #[serde(skip)]
    pub(crate) destination: Destination,
    #[serde(skip)]
    pub(crate) machine: contract::Machine,
    #[serde(skip)]
    pub(crate) device_profile: contract::DeviceProfile,
    /// The disks as they will be: edited, without what is unused.
    #[serde(skip)]
    pub(crate) disks: Vec<Arc<dyn Disk>>,
    /// BLAKE3 of all edits and of what made them.
    #[serde(skip)]
    pub(crate) digest: String,
}

impl Plan {
    /// What must be solved first.
    pub fn blocking(&self) -> impl Iterator<Item = &Concern> {
        self.concerns.iter().filter(|concern| concern.severity == Severity::Blocking)
    }
}

/// What is found on a source's disks.
pub struct Inspection {
    /// The disks.
    pub sources: Vec<Source>,
    /// What the machine's definition says, if it has one.
    pub definition: Option<Definition>,
    /// Their volumes, and what was wrong.
    pub machine: Machine,
    /// The system, and the adapter that knows it.
    pub system: Option<(OperatingSystem, String)>,
    /// From format, volume, file system and source adapters.
    pub concerns: Vec<Concern>,
    source: Option<runtime::Source>,
    tree: Arc<Mutex<Tree>>,
}

impl Inspection {
    /// The guest's files, as the adapter that knows the system has mounted them.
    pub(crate) fn tree(&self) -> Arc<Mutex<Tree>> {
        self.tree.clone()
    }
}

fn lock(tree: &Arc<Mutex<Tree>>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer, unless a file system adapter crashed under it: then that is what is wrong.
fn sound<T>(answer: runtime::Result<T>, tree: &Arc<Mutex<Tree>>) -> Result<T> {
    match &lock(tree).fault {
        Some(fault) => Err(Error::new(ErrorKind::Fault, fault.clone())),
        None => Ok(answer?),
    }
}

/// Opens the disks and lets every adapter look.
pub fn inspect(disks: &[String], keys: &[String], adapters: &Adapters) -> Result<Inspection> {
    let keys = Keys::lend(keys)?;
    let mut found = look(disks, Lent { drivers: &[], keys: &keys }, adapters)?;
    let mounts = lock(&found.tree).concerns();
    found.concerns.extend(mounts);
    Ok(found)
}

/// What the operator lends.
#[derive(Clone, Copy)]
struct Lent<'a> {
    drivers: &'a [PathBuf],
    keys: &'a Keys,
}

fn look(disks: &[String], lent: Lent<'_>, adapters: &Adapters) -> Result<Inspection> {
    let (sources, definition) = definition::open(disks, adapters)?;
    let disks = sources.iter().map(|source| source.disk.clone()).collect();
    examine(sources, definition, disks, lent, adapters)
}

/// Lets every adapter look at the disks, which are the sources', or those with what was added to them.
fn examine(
    sources: Vec<Source>,
    definition: Option<Definition>,
    disks: Vec<Arc<dyn Disk>>,
    lent: Lent<'_>,
    adapters: &Adapters,
) -> Result<Inspection> {
    let mut machine = Machine::open(disks, lent.keys, adapters)?;
    let supplies = lent.drivers.iter().enumerate().map(|(n, path)| Supply::open(n, path, adapters));
    machine.supplies = supplies.collect::<Result<_>>()?;
    let mut concerns: Vec<Concern> =
        definition.iter().flat_map(|definition| definition.concerns.clone()).collect();
    concerns.extend(sources.iter().flat_map(|source| source.concerns.clone()));
    concerns.extend(machine.concerns.iter().cloned());
    let mut tree = machine.tree(adapters);
    let mut found = None;
    for adapter in adapters.of(runtime::Kind::SourceOs) {
        let mut source = runtime::Source::open(adapter, tree.clone())?;
        if let Some(os) = sound(source.identify(), &tree)? {
            found = Some((system_of(os), adapter.manifest.id.clone(), source));
            break;
        }
        tree = machine.tree(adapters);
    }
    let (system, source) = match found {
        Some((os, id, source)) => (Some((os, id)), Some(source)),
        None => (None, None),
    };
    Ok(Inspection { sources, definition, machine, system, concerns, source, tree })
}

/// Plans by doing it in overlays.
pub fn plan(request: &Request, adapters: &Adapters) -> Result<Plan> {
    let destination = Destination::parse(&request.to, &request.servers, adapters)?;
    let keys = Keys::lend(&request.keys)?;
    let lent = Lent { drivers: &request.drivers, keys: &keys };
    let mut found = look(&request.disks, lent, adapters)?;
    let own = found.system.as_ref().and_then(|(os, _)| os.hostname.clone());
    let defined = found.definition.as_ref().and_then(|definition| definition.name.clone());
    let name = name(request.name.as_deref(), [defined, own])?;
    let key = key(request, &found, &name, &destination);
    // The time of a run that is being resumed: the same edits must give the same bytes.
    if let Some(job) = destination.job(&name).filter(|job| job.key == key) {
        adapters.job.set_now(job.time);
    }
    let nics = cards(request, found.definition.as_ref(), &name);
    let mut target = destination.target(None)?;
    let options = options(request, &nics);
    let mut machine = describe(request, &found, &name, &nics, &destination);
    let mut offer = target.profile(&machine)?;
    let mut additions = Additions::default();
    if let Some(source) = &mut found.source {
        let wanted = sound(source.partitions(&offer.profile, &options), &found.tree)?;
        additions = addition::make(&found.sources, &found.machine, &wanted, adapters)?;
    }
    if let Some(disks) = additions.disks.take() {
        found = examine(found.sources, found.definition, disks, lent, adapters)?;
        machine = describe(request, &found, &name, &nics, &destination);
        offer = target.profile(&machine)?;
    }
    let mut concerns = std::mem::take(&mut found.concerns);
    concerns.extend(offer.concerns.into_iter().map(concern_of));
    concerns.append(&mut additions.concerns);
    let mut notes = Vec::new();
    if let Some(source) = &mut found.source {
        let adapted = sound(source.adapt(&offer.profile, &options), &found.tree)?;
        concerns.extend(adapted.concerns.into_iter().map(concern_of));
        notes.extend(adapted.notes);
    } else {
        concerns.push(unknown_system());
    }
    concerns.extend(lock(&found.tree).concerns());
    found.source = None;
    let (edits, digest) = settle(&found, additions, adapters)?;
    let disks = masked(&found.machine, adapters);
    let bytes = amount(&found.machine, &disks)?;
    let profile = profile_of(&offer.profile);
    concerns.extend(match find(&profile.facts, "disk-sink") {
        Some("device") => None,
        Some("packed") => destination.room(bytes.data.saturating_mul(2)),
        _ => destination.room(bytes.data),
    });
    concerns.sort_by_key(|concern| concern.severity);
    let (operating_system, source_adapter) = found.system.unzip();
    Ok(Plan {
        sources: found.sources,
        definition: found.definition,
        operating_system,
        source_adapter,
        target_adapter: destination.adapter.manifest.id.clone(),
        name,
        cpus: machine.cpus,
        memory_mib: machine.memory_mib,
        nics,
        profile,
        concerns,
        edits,
        notes,
        bytes,
        key,
        destination,
        machine,
        device_profile: offer.profile,
        disks,
        digest,
    })
}

/// What was said, else the first word of the definition's and the guest's that can name files, which neither may choose
/// otherwise.
fn name(said: Option<&str>, own: [Option<String>; 2]) -> Result<String> {
    let plain = |name: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        name.chars().all(known) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 64
    };
    match said {
        Some(name) if !plain(name) => {
            let rule = "letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit";
            Err(Error::usage(format!("a machine cannot be called {name:?}: {rule}")))
        }
        Some(name) => Ok(name.into()),
        None => Ok(own.into_iter().flatten().find(|name| plain(name)).unwrap_or_else(|| "machine".into())),
    }
}

/// What the adapter that knows the system is told: the cards' addresses, and the operator's words.
fn options(request: &Request, nics: &[Nic]) -> Vec<contract::Fact> {
    let macs = nics.iter().enumerate();
    let macs = macs.map(|(n, nic)| contract::Fact { key: format!("nic.{n}.mac"), value: nic.mac.clone() });
    macs.chain(facts_to(&request.options)).collect()
}

fn unknown_system() -> Concern {
    Concern {
        id: "source.unknown-system".into(),
        severity: Severity::Warning,
        message: "no adapter knows an operating system on these disks, so nothing in them is changed".into(),
        remedy: Some("the machine boots only if its system has the new machine's drivers already".into()),
    }
}

/// The same source, name and wishes have the same key.
fn key(request: &Request, found: &Inspection, name: &str, destination: &Destination) -> String {
    let mut hash = blake3::Hasher::new();
    let mut add = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    found.sources.iter().for_each(|source| add(&source.identity));
    found.definition.iter().for_each(|definition| add(&definition.identity));
    add(name);
    add(&format!("{:?} {:?} {:?} {:?}", request.cpus, request.memory_mib, request.nics, request.wishes));
    add(&format!("{:?} {:?}", request.options, request.drivers));
    destination.servers.iter().for_each(|servers| add(servers.server()));
    hash.finalize().to_hex()[..32].into()
}

/// The cards that were asked for, else the definition's, else one; addresses that were not said are made from the name, locally administered
/// in QEMU's range 52:54:00.
fn cards(request: &Request, definition: Option<&Definition>, name: &str) -> Vec<Nic> {
    let mac = |number: usize| {
        let hash = blake3::hash(format!("{name} {number}").as_bytes());
        let [a, b, c, ..] = *hash.as_bytes();
        format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
    };
    // Networks of another platform mean nothing here; the target hears of them by a fact.
    let defined = |definition: &Definition| {
        definition.nics.iter().map(|card| (card.mac.clone(), None)).collect::<Vec<_>>()
    };
    let usual = definition.map_or_else(|| vec![(None, None)], defined);
    let asked = if request.nics.is_empty() { &usual } else { &request.nics };
    let nic = |(number, (said, network)): (usize, &(Option<String>, Option<String>))| Nic {
        mac: said.as_ref().map_or_else(|| mac(number), |mac| mac.to_ascii_lowercase()),
        network: network.clone(),
    };
    asked.iter().enumerate().map(nic).collect()
}

fn describe(
    request: &Request,
    found: &Inspection,
    name: &str,
    nics: &[Nic],
    destination: &Destination,
) -> contract::Machine {
    let mut facts = Vec::new();
    let mut boot = 0;
    if let Some((os, _)) = &found.system {
        let said = [
            ("os.family", &os.family),
            ("os.id", &os.id),
            ("os.product", &os.product),
            ("os.version", &os.version),
        ];
        facts.extend(said.map(|(key, value)| Fact { key: key.into(), value: value.clone() }));
        if os.architecture != "unknown" {
            facts.push(Fact { key: "os.architecture".into(), value: os.architecture.clone() });
        }
        boot = boot_disk(found, os).unwrap_or(0);
    }
    let definition = found.definition.as_ref();
    // Which one a machine has is every target's business, and so is the wish for another.
    let firmware = find(&request.wishes, "firmware");
    let firmware = firmware.or_else(|| definition.and_then(|definition| definition.firmware.as_deref()));
    let firmware = firmware.or_else(|| find(&found.system.as_ref()?.0.facts, "firmware"));
    facts.extend(firmware.map(|value| Fact { key: "firmware".into(), value: value.into() }));
    facts.extend(definition.into_iter().flat_map(Definition::handed_on));
    let large = found.sources.iter().enumerate().filter(|(_, source)| source.sector_size != SECTOR);
    facts.extend(large.map(|(index, source)| Fact {
        key: format!("disk.{index}.sector-size"),
        value: source.sector_size.to_string(),
    }));
    let wish = |fact: &Fact| Fact { key: format!("wish.{}", fact.key), value: fact.value.clone() };
    facts.extend(request.wishes.iter().filter(|fact| fact.key != "firmware").map(wish));
    facts.push(Fact { key: "target.name".into(), value: destination.word.clone() });
    let mut facts = facts_to(&facts);
    facts.extend(destination.servers.iter().flat_map(|servers| servers.facts()));
    let disk = |(index, disk): (usize, &Arc<block::Overlay>)| contract::DiskNeed {
        index: index as u32,
        virtual_size: disk.length(),
        bootable: index == boot,
    };
    let nic = |nic: &Nic| contract::NicNeed { mac: Some(nic.mac.clone()), network: nic.network.clone() };
    contract::Machine {
        name: name.into(),
        cpus: request.cpus.or(definition.and_then(|one| one.cpus)).unwrap_or(CPUS),
        memory_mib: request.memory_mib.or(definition.and_then(|one| one.memory_mib)).unwrap_or(MEMORY_MIB),
        disks: found.machine.overlays.iter().enumerate().map(disk).collect(),
        nics: nics.iter().map(nic).collect(),
        facts,
    }
}

/// The disk that holds the root volume; firmware is told to boot from it.
fn boot_disk(found: &Inspection, os: &OperatingSystem) -> Option<usize> {
    let root = find(&os.facts, "root.volume")?;
    let device = found.machine.devices.iter().find(|device| device.volume.id == root)?;
    let facts = facts_of(device.volume.facts.clone());
    find(&facts, "disk.index")?.parse().ok()
}

/// Writes all edits back into the overlays, reads them again through fresh instances, and hashes what was done.
fn settle(found: &Inspection, additions: Additions, adapters: &Adapters) -> Result<(Vec<Edit>, String)> {
    let mut tree = lock(&found.tree);
    tree.sync()?;
    tree.verify(Tree::new(&found.machine, adapters))?;
    let mut hash = blake3::Hasher::new();
    hash.update(tree.digest().as_bytes());
    hash.update(additions.digest().as_bytes());
    hash.update(&adapters.job.now().to_le_bytes());
    adapters.list.iter().for_each(|adapter| {
        hash.update(adapter.digest.as_bytes());
    });
    let edits = additions.edits.into_iter().chain(std::mem::take(&mut tree.edits)).collect();
    Ok((edits, hash.finalize().to_hex().to_string()))
}

pub(crate) fn masked(machine: &Machine, adapters: &Adapters) -> Vec<Arc<dyn Disk>> {
    let ranges = unused(machine, adapters);
    let mask = |(overlay, ranges): (&Arc<block::Overlay>, Vec<std::ops::Range<u64>>)| -> Arc<dyn Disk> {
        match ranges.is_empty() {
            true => overlay.clone(),
            false => Arc::new(Masked::new(overlay.clone(), ranges)),
        }
    };
    machine.overlays.iter().zip(ranges).map(mask).collect()
}

fn amount(machine: &Machine, disks: &[Arc<dyn Disk>]) -> Result<Amount> {
    let data = |disk: &dyn Disk| -> Result<u64> {
        let extents = disk.extents(0, disk.length())?;
        Ok(extents.iter().filter(|extent| extent.kind == Kind::Data).map(|extent| extent.length).sum())
    };
    let mut amount = Amount::default();
    for (overlay, disk) in machine.overlays.iter().zip(disks) {
        let copied = data(disk.as_ref())?;
        amount.disks += disk.length();
        amount.data += copied;
        amount.unused += data(overlay.as_ref())?.saturating_sub(copied);
    }
    amount.seconds = amount.data as f64 * seconds_per_byte(disks)?;
    Ok(amount)
}

/// Reads some pieces here and there and takes the time.
fn seconds_per_byte(disks: &[Arc<dyn Disk>]) -> Result<f64> {
    let (mut read, mut piece) = (0, vec![0; 1 << 20]);
    let started = std::time::Instant::now();
    for disk in disks {
        let mut extents = disk.extents(0, disk.length())?;
        extents.retain(|extent| extent.kind == Kind::Data);
        for extent in extents.iter().step_by(extents.len().div_ceil(SAMPLES)) {
            let length = extent.length.min(piece.len() as u64) as usize;
            disk.read_at(extent.offset, &mut piece[..length])?;
            read += length;
        }
    }
    Ok(started.elapsed().as_secs_f64() / read.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_choose_where_files_go() {
        let name = |said, own: Option<&str>| name(said, [None, own.map(str::to_owned)]);
        assert_eq!(name(None, Some("web-1.example")).unwrap(), "web-1.example");
        for hostile in ["../../etc/x", "a/b", "", ".hidden", "-n", "a\0b", "a\nb"] {
            assert_eq!(name(None, Some(hostile)).unwrap(), "machine", "{hostile:?}");
            assert_eq!(name(Some(hostile), None).unwrap_err().kind, ErrorKind::Usage, "{hostile:?}");
        }
        assert_eq!(name(Some("db"), Some("web")).unwrap(), "db");
        let both = |defined: &str| super::name(None, [Some(defined.into()), Some("web".into())]).unwrap();
        assert_eq!((both("mail").as_str(), both("../mail").as_str()), ("mail", "web"));
    }
}
