//! Machines that are written down in files: `ovf:PATH`, `ova:PATH`. An adapter says which disks they have and where those
//! lie; the host opens files beside the definition by plain names, or ranges of it, and checks digests.

use crate::convert::{concern_of, facts_of};
use crate::digest::Checked;
use crate::source::{self, Opened, Source, Wanted};
use crate::vault;
use crate::{Error, Result};
use block::{Disk, MemoryDisk, Piece, Segments};
use runtime::{Adapters, Kind, contract};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use workload::{Concern, Fact, Severity};

/// What a machine's definition says of it.
#[derive(Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Definition {
    /// As the operator named it.
    pub source: String,
    /// The machine's name there, which need not be fit for files.
    pub name: Option<String>,
    /// Virtual processors.
    pub cpus: Option<u32>,
    /// MiB.
    pub memory_mib: Option<u64>,
    /// bios or uefi.
    pub firmware: Option<String>,
    /// Network cards.
    pub nics: Vec<Card>,
    /// Its disks: format, capacity, and what the adapter knows (its README lists the keys).
    pub disks: Vec<Described>,
    /// What else its adapter knows.
    pub facts: Vec<Fact>,
    /// What makes this definition this one.
    #[serde(skip)]
    pub(crate) identity: String,
    #[serde(skip)]
    pub(crate) concerns: Vec<Concern>,
    /// Disks' files that have to be compared with their digests before they are copied.
    #[serde(skip)]
    pub(crate) unchecked: Vec<Checked>,
}

impl Definition {
    /// Compares its disks' files with the digests that came with them. `told` hears of file, bytes done and bytes in all, and
    /// may stop it.
    pub(crate) fn check(&self, told: &mut dyn FnMut(&str, u64, u64) -> Result<()>) -> Result<()> {
        for file in &self.unchecked {
            let total = file.disk.length();
            file.check(&mut |done| told(&file.name, done, total))?;
        }
        Ok(())
    }

    /// What the target is told of it, as `source.KEY`.
    pub(crate) fn handed_on(&self) -> Vec<Fact> {
        let fact = |key: String, value: &str| Fact { key, value: value.into() };
        let own = self.facts.iter().map(|one| fact(format!("source.{}", one.key), &one.value));
        let networks = self.nics.iter().enumerate().filter_map(|(number, card)| {
            Some(fact(format!("source.nic.{number}.network"), card.network.as_ref()?))
        });
        own.chain(networks).collect()
    }
}

/// A network card of the machine where it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Card {
    /// `08:00:27:dd:e1:85`.
    pub mac: Option<String>,
    /// A network there.
    pub network: Option<String>,
    /// By the register of device names, else as it is called there.
    pub model: Option<String>,
}

/// A disk of the machine where it was.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Described {
    /// Its file's name in the definition.
    pub file: String,
    /// The disk's format.
    pub format: String,
    /// Bytes that the guest sees.
    pub capacity: Option<u64>,
    /// Algorithms by which the file is checked.
    pub digests: Vec<String>,
    /// Bus, controller and the like.
    pub facts: Vec<Fact>,
}

/// The disks that were named, or those of the machine that was named.
pub(crate) fn open(names: &[String], adapters: &Adapters) -> Result<(Vec<Source>, Option<Definition>)> {
    let word = |name: &str| name.split_once(':').map(|(word, _)| word.to_owned());
    let defined = |name: &&String| {
        word(name).is_some_and(|word| adapters.named(Kind::MachineDefinition, &word).is_some())
    };
    match (names, names.iter().find(defined)) {
        (_, None) => match names {
            [name] if vault::is_machine(name) => {
                let (sources, definition) = vault::machine(name)?;
                Ok((sources, Some(definition)))
            }
            _ => Ok((source::open_all(names, adapters)?, None)),
        },
        ([name], Some(_)) => {
            let (sources, definition) = read(name, adapters)?;
            Ok((sources, Some(definition)))
        }
        (_, Some(name)) => {
            Err(Error::usage(format!("{name} is a whole machine; name it alone, or disks one by one")))
        }
    }
}

/// A definition's name taken apart: `WORD:PATH[,system=ID][,manifest=ignore]`.
struct Named<'a> {
    word: &'a str,
    path: &'a Path,
    system: Option<&'a str>,
    ignore: bool,
}

fn parse(name: &str) -> Named<'_> {
    let (word, rest) = name.split_once(':').unwrap_or_default();
    let cut = rest.strip_suffix(",manifest=ignore");
    let (path, system) = match cut.unwrap_or(rest).rsplit_once(",system=") {
        Some((path, system)) => (path, Some(system)),
        None => (cut.unwrap_or(rest), None),
    };
    Named { word, path: Path::new(path), system, ignore: cut.is_some() }
}

fn read(name: &str, adapters: &Adapters) -> Result<(Vec<Source>, Definition)> {
    let Named { word, path, system, ignore } = parse(name);
    let Some(adapter) = adapters.named(Kind::MachineDefinition, word) else {
        return Err(Error::usage(format!("no adapter knows machines called `{word}`")));
    };
    let own = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut reader = runtime::Definition::open(adapter)?;
    let mut opened = Opened::default();
    opened.add(path)?;
    let mut names = vec![own(path)];
    for companion in reader.companions(word, &own(path))? {
        let beside = source::sibling(path, &companion)?;
        if beside.exists() {
            opened.add(&beside)?;
            names.push(companion);
        }
    }
    let files: Vec<_> = names.into_iter().zip(opened.parts.iter().cloned()).collect();
    let options: Vec<contract::Fact> =
        system.map(|id| contract::Fact { key: "system".into(), value: id.into() }).into_iter().collect();
    let mut machine = reader.read(word, &files, &options)?;
    drop(reader);
    if ignore {
        machine.members.iter_mut().for_each(|member| member.digests.clear());
    }
    let place = Place { name, path, container: opened };
    let mut definition = describe(&place, &machine);
    if ignore {
        definition.concerns.push(ignored());
    }
    let disks: Vec<usize> = machine.disks.iter().map(|disk| disk.member as usize).collect();
    for (_, member) in machine.members.iter().enumerate().filter(|(number, _)| !disks.contains(number)) {
        place.checked(member)?.check(&mut |_| Ok(()))?;
    }
    // What blocks may be that a disk is in a format that nobody can name, or cannot be opened.
    let blocked = machine.concerns.iter().any(|one| one.severity == contract::Severity::Blocking);
    let mut sources = Vec::new();
    for disk in machine.disks.iter().filter(|_| !blocked) {
        let member = &machine.members[disk.member as usize];
        sources.push(place.disk(disk, member, &mut definition, adapters)?);
    }
    Ok((sources, definition))
}

fn ignored() -> Concern {
    Concern {
        id: "definition.manifest-ignored".into(),
        severity: Severity::Warning,
        message: "the manifest is ignored, so nothing shows whether the files arrived unchanged".into(),
        remedy: None,
    }
}

fn describe(place: &Place<'_>, machine: &contract::DefinedMachine) -> Definition {
    let card = |nic: &contract::DefinedNic| Card {
        mac: nic.mac.clone(),
        network: nic.network.clone(),
        model: nic.model.clone(),
    };
    let disk = |disk: &contract::DefinedDisk| {
        let member = &machine.members[disk.member as usize];
        Described {
            file: member.name.clone(),
            format: disk.format.clone(),
            capacity: disk.capacity,
            digests: member.digests.iter().map(|digest| digest.algorithm.clone()).collect(),
            facts: facts_of(disk.facts.clone()),
        }
    };
    Definition {
        source: place.name.into(),
        name: machine.name.clone(),
        cpus: machine.cpus,
        memory_mib: machine.memory_mib,
        firmware: machine.firmware.clone(),
        nics: machine.nics.iter().map(card).collect(),
        disks: machine.disks.iter().map(disk).collect(),
        facts: facts_of(machine.facts.clone()),
        identity: format!("{}:{}", place.name, place.container.identity.join("+")),
        concerns: machine.concerns.iter().cloned().map(concern_of).collect(),
        unchecked: Vec::new(),
    }
}

/// An opened definition and what is beside it.
struct Place<'a> {
    name: &'a str,
    path: &'a Path,
    container: Opened,
}

impl Place<'_> {
    /// A member's bytes, and its path if it is a file of its own.
    fn open(&self, member: &contract::Member) -> Result<(Opened, Option<PathBuf>)> {
        let mut opened = Opened::default();
        match &member.at {
            contract::MemberPlace::Beside(name) => {
                let path = source::sibling(self.path, name)?;
                opened.add(&path)?;
                Ok((opened, Some(path)))
            }
            contract::MemberPlace::Within(range) => {
                let whole = self.container.parts[0].clone();
                let piece = Piece { logical: 0, length: range.length, disk: whole, offset: range.offset };
                let disk: Arc<dyn Disk> = match range.length {
                    0 => Arc::new(MemoryDisk::new(Vec::new())),
                    _ => Arc::new(Segments::new(vec![piece])),
                };
                opened.parts.push(disk);
                opened.identity =
                    vec![format!("{} {}+{}", self.container.identity[0], range.offset, range.length)];
                opened.devices = self.container.devices.clone();
                Ok((opened, None))
            }
        }
    }

    fn checked(&self, member: &contract::Member) -> Result<Checked> {
        let (opened, _) = self.open(member)?;
        let digests = member.digests.iter().map(|one| (one.algorithm.clone(), one.hex.clone())).collect();
        Ok(Checked { name: format!("{}/{}", self.name, member.name), disk: opened.parts[0].clone(), digests })
    }

    fn disk(
        &self,
        disk: &contract::DefinedDisk,
        member: &contract::Member,
        definition: &mut Definition,
        adapters: &Adapters,
    ) -> Result<Source> {
        if !member.digests.is_empty() {
            definition.unchecked.push(self.checked(member)?);
        }
        let (opened, path) = self.open(member)?;
        let name = format!("{}/{}", self.name, member.name);
        let format = &disk.format;
        let beside = path.as_deref();
        let wanted = Wanted {
            name: &name,
            format,
            path: beside.unwrap_or(self.path),
            beside: path.is_some(),
            sector: None,
        };
        let source = source::read(&wanted, opened, None, adapters)?;
        if let Some(capacity) = disk.capacity.filter(|capacity| *capacity != source.size) {
            let message = format!("{name} holds {} bytes, and its definition says {capacity}", source.size);
            definition.concerns.push(Concern {
                id: "definition.capacity".into(),
                severity: Severity::Warning,
                message,
                remedy: Some("the disk itself is taken at its word".into()),
            });
        }
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_named_with_its_machine() {
        let parts = |name| {
            let Named { word, path, system, ignore } = parse(name);
            (word, path.to_str().unwrap(), system, ignore)
        };
        assert_eq!(parts("ovf:/a,b/c.ovf"), ("ovf", "/a,b/c.ovf", None, false));
        assert_eq!(parts("ova:c.ova,system=web 1"), ("ova", "c.ova", Some("web 1"), false));
        assert_eq!(parts("ova:c.ova,manifest=ignore"), ("ova", "c.ova", None, true));
        assert_eq!(parts("ova:c.ova,system=a,manifest=ignore"), ("ova", "c.ova", Some("a"), true));
    }
}
