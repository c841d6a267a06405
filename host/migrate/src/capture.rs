//! A machine's disks into an archive, as they are: nothing is edited.

use crate::changes::changes;
use crate::plan::{inspect, masked};
use crate::run::stopped;
use crate::vault::open_archive;
use crate::{Error, ErrorKind, Inspection, Result};
use archive::{About, Archive, Options, Snapshot};
use block::Disk;
use runtime::Adapters;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;
use workload::Severity;

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// `FORMAT:PATH` of each disk.
    pub disks: Vec<String>,
    /// What opens encrypted devices, as in a plan.
    pub keys: Vec<String>,
    /// The archive's address.
    pub archive: String,
    /// The machine's name; the guest's own if none is said.
    pub name: Option<String>,
    /// The operator's words.
    pub tags: Vec<String>,
    /// Leave out what no file system uses: it reads as zeroes in the snapshot.
    pub used_only: bool,
    /// What changed since the parent, for each disk: `bitmap:NAME`, `thin-delta:FILE` or `era-invalidate:BLOCK:FILE`.
    pub changed: Vec<String>,
    /// Compare with this snapshot; with the machine's latest if none is said.
    pub parent: Option<String>,
    /// What the machine has, if the operator knows.
    pub cpus: Option<u32>,
    /// MiB.
    pub memory_mib: Option<u64>,
    /// zstd's.
    pub level: i32,
    /// Workers; the archive's own choice if not said.
    pub threads: Option<usize>,
    /// Bytes of the source per second.
    pub limit_rate: Option<u64>,
}

/// Captures. When this returns, the snapshot is complete and durable.
pub fn capture(asked: &Capture, adapters: &Adapters, watch: archive::Tell<'_>) -> Result<Snapshot> {
    let archive = open_archive(&asked.archive)?;
    let found = inspect(&asked.disks, &asked.keys, adapters)?;
    let defined = found.definition.iter().flat_map(|definition| &definition.concerns);
    let blocking = found.sources.iter().flat_map(|source| &source.concerns).chain(defined);
    let blocking: Vec<&str> = blocking
        .filter(|concern| concern.severity == Severity::Blocking)
        .map(|concern| concern.message.as_str())
        .collect();
    if !blocking.is_empty() {
        return Err(Error::new(ErrorKind::Blocked, format!("nothing was captured: {}", blocking.join("; "))));
    }
    if let Some(definition) = &found.definition {
        definition.check(&mut |_, _, _| stopped(adapters))?;
    }
    let own = found.system.as_ref().and_then(|(os, _)| os.hostname.clone());
    let defined = found.definition.as_ref().and_then(|machine| machine.name.clone());
    let machine = asked.name.clone().or(defined).or(own).unwrap_or_else(|| "machine".into());
    let parent = parent(asked, &archive, &machine)?;
    let disks: Vec<Arc<dyn Disk>> = match asked.used_only {
        true => masked(&found.machine, adapters),
        false => found.sources.iter().map(|source| source.disk.clone()).collect(),
    };
    let mut sources = Vec::new();
    for (number, (source, disk)) in found.sources.iter().zip(disks).enumerate() {
        let said = asked.changed.get(number).map(String::as_str);
        let changed = changes(said, source, adapters)?.map(|ranges| ranges.as_slice().to_vec());
        sources.push(archive::Source { name: source.name.clone(), disk, changed });
    }
    let about = About {
        description: describe(asked, &found, &machine),
        machine,
        tags: asked.tags.clone(),
        time: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        origin: None,
    };
    let mut options = Options { level: asked.level, limit_rate: asked.limit_rate, ..Options::default() };
    options.threads = asked.threads.unwrap_or(options.threads);
    options.cancel = adapters.job.stop_flag();
    Ok(archive.capture(&sources, &about, parent.as_ref(), &options, watch)?)
}

fn parent(asked: &Capture, archive: &Archive, machine: &str) -> Result<Option<Snapshot>> {
    if let Some(parent) = &asked.parent {
        return Ok(Some(archive.choose(parent)?));
    }
    Ok(archive.snapshots()?.into_iter().rfind(|snapshot| snapshot.machine == machine))
}

/// What is known of the machine; `docs/formats/archive.md` lists the fields.
fn describe(asked: &Capture, found: &Inspection, machine: &str) -> Value {
    let defined = found.definition.as_ref();
    let volumes: Vec<Value> = found.machine.devices.iter().map(volume).collect();
    json!({
        "wherry": env!("CARGO_PKG_VERSION"),
        "name": machine,
        "cpus": asked.cpus.or(defined.and_then(|machine| machine.cpus)),
        "memory-mib": asked.memory_mib.or(defined.and_then(|machine| machine.memory_mib)),
        "firmware": defined.and_then(|machine| machine.firmware.clone()).or_else(|| firmware(found)),
        "nics": defined.map(|machine| machine.nics.clone()).unwrap_or_default(),
        "operating-system": found.system.as_ref().map(|(os, _)| os),
        "sources": found.sources,
        "used-only": asked.used_only,
        "volumes": volumes,
        "concerns": found.concerns,
    })
}

fn firmware(found: &Inspection) -> Option<String> {
    let (os, _) = found.system.as_ref()?;
    workload::find(&os.facts, "firmware").map(String::from)
}

/// A volume as it is told to machines.
pub(crate) fn volume(device: &crate::Device) -> Value {
    let volume = &device.volume;
    let facts: serde_json::Map<String, Value> =
        volume.facts.iter().map(|fact| (fact.key.clone(), fact.value.clone().into())).collect();
    json!({ "id": volume.id, "kind": volume.kind, "size": volume.size, "facts": facts })
}
