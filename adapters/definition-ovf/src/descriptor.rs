//! The descriptor: its version, the machine that is meant, and everything about it.

use crate::hardware::Hardware;
use crate::package::Package;
use crate::vendor;
use crate::xml::{attribute, child, children, name, parse, text, value};
use crate::{disks, sections};
use roxmltree::Node;
use wherry_sdk::definition::Machine;
use wherry_sdk::{Concern, Error, ErrorKind, Fact, Result, Severity, concern, fact, find};

const VERSIONS: [(&str, &str); 2] =
    [("http://schemas.dmtf.org/ovf/envelope/1", "1"), ("http://schemas.dmtf.org/ovf/envelope/2", "2")];

/// The machine of this package, or the one that the option `system` names.
pub fn read(package: &Package, options: &[Fact]) -> Result<Machine> {
    let document = parse(&package.descriptor)?;
    let envelope = document.root_element();
    let version = version(envelope)?;
    if document.descendants().any(|node| ["EncryptedData", "EncryptionSection"].contains(&name(node))) {
        let message = "parts of the descriptor are encrypted; decrypt the package with the tool that made it";
        return Err(Error::unsupported(message));
    }
    let (system, systems) = chosen(envelope, find(options, "system"))?;
    let section = children(system, "VirtualHardwareSection").next();
    let configuration = configuration(envelope);
    let Some(hardware) = section.map(|section| Hardware::parse(section, configuration)) else {
        let message = format!("the machine {:?} has no hardware section", id(system));
        return Err(Error::new(ErrorKind::Corrupt, message));
    };
    let own = package.own();
    let mut machine = Machine {
        name: value(system, "Name").or_else(|| attribute(system, "id").map(str::to_owned)),
        cpus: hardware.cpus(),
        memory_mib: hardware.memory_mib(),
        firmware: vendor::firmware(system, section).map(str::to_owned),
        concerns: package.concerns.iter().cloned().chain(package.gap(&own)).collect(),
        members: vec![own],
        disks: Vec::new(),
        nics: hardware.nics(),
        facts: vec![fact("ovf.version", version)],
    };
    let cards = vendor::cards(system);
    if cards.len() == machine.nics.len() {
        for (nic, (mac, model)) in machine.nics.iter_mut().zip(cards) {
            nic.mac = nic.mac.take().or(mac);
            nic.model = nic.model.take().or(model);
        }
    }
    identify(system, section, &mut machine);
    let listed = systems.iter().enumerate().filter(|_| systems.len() > 1);
    machine.facts.extend(listed.map(|(number, system)| fact(format!("system.{number}"), system)));
    machine.facts.extend(configuration.map(|said| fact("configuration", said)));
    disks::add(envelope, &hardware.drives(), package, &mut machine)?;
    sections::add(system, &mut machine);
    sections::keep(system, "kept", &mut machine);
    sections::keep(envelope, "kept-package", &mut machine);
    machine.concerns.extend(hardware.left_out());
    machine.concerns.extend(oddities(system, section, &machine));
    Ok(machine)
}

fn version(envelope: Node<'_, '_>) -> Result<&'static str> {
    let uri = envelope.tag_name().namespace().unwrap_or_default();
    let known = VERSIONS.into_iter().find(|(known, _)| *known == uri);
    match known.filter(|_| name(envelope) == "Envelope") {
        Some((_, version)) => Ok(version),
        None if name(envelope) == "Envelope" => {
            Err(Error::unsupported(format!("an envelope of {uri:?}; versions 1 and 2 of DMTF's are read")))
        }
        None => Err(Error::new(ErrorKind::InvalidInput, "this is XML, but no OVF envelope")),
    }
}

fn id<'a>(system: Node<'a, '_>) -> &'a str {
    attribute(system, "id").unwrap_or_default()
}

/// The machine that is meant, and the ids of all.
fn chosen<'a, 'b>(envelope: Node<'a, 'b>, wanted: Option<&str>) -> Result<(Node<'a, 'b>, Vec<String>)> {
    let own = envelope.tag_name().namespace();
    let systems: Vec<Node<'_, '_>> = envelope
        .descendants()
        .filter(|node| name(*node) == "VirtualSystem" && node.tag_name().namespace() == own)
        .collect();
    let ids: Vec<String> = systems.iter().map(|system| id(*system).to_owned()).collect();
    let known = ids.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    let matching = systems.iter().filter(|system| wanted.is_none_or(|wanted| wanted == id(**system)));
    match matching.copied().collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one, ids)),
        [] if systems.is_empty() => {
            Err(Error::new(ErrorKind::NotFound, "the descriptor has no virtual system"))
        }
        [] => {
            let message = format!("there is no machine {:?}; known are: {known}", wanted.unwrap_or_default());
            Err(Error::new(ErrorKind::NotFound, message))
        }
        _ if wanted.is_some() => {
            Err(Error::new(ErrorKind::Corrupt, "two machines have this id, so none can be chosen"))
        }
        _ => {
            let message =
                format!("{} machines are in here; say which one, by ,system=ID: {known}", systems.len());
            Err(Error::new(ErrorKind::InvalidInput, message))
        }
    }
}

/// The default configuration, else the first.
fn configuration<'a>(envelope: Node<'a, '_>) -> Option<&'a str> {
    let section = child(envelope, "DeploymentOptionSection")?;
    let all: Vec<Node<'_, '_>> = children(section, "Configuration").collect();
    let default = |one: &&Node<'_, '_>| matches!(attribute(**one, "default"), Some("true" | "1"));
    attribute(**all.iter().find(default).as_ref().or(all.first().as_ref())?, "id")
}

/// Who wrote this, and for what.
fn identify(system: Node<'_, '_>, section: Option<Node<'_, '_>>, machine: &mut Machine) {
    let kind = section.and_then(|section| value(child(section, "System")?, "VirtualSystemType"));
    let word = kind.as_deref().unwrap_or_default().to_ascii_lowercase();
    let flavour = match () {
        () if word.contains("virtualbox") || vendor::machine(system).is_some() => "virtualbox",
        () if word.contains("vmx-") => "vmware",
        () => "dmtf",
    };
    machine.facts.push(fact("ovf.flavour", flavour));
    machine.facts.push(fact("system.id", id(system)));
    machine.facts.extend(kind.map(|kind| fact("system.type", kind)));
    if vendor::secure_boot(section) {
        machine.facts.push(fact("secure-boot", true));
    }
    let note = child(system, "Info").and_then(text);
    machine.facts.extend(note.map(|note| fact("system.info", note)));
}

fn oddities(system: Node<'_, '_>, section: Option<Node<'_, '_>>, machine: &Machine) -> Vec<Concern> {
    let mut concerns = Vec::new();
    if children(system, "VirtualHardwareSection").count() > 1 {
        let message = "the machine has several hardware sections; the first is read";
        concerns.push(concern(Severity::Warning, "ovf.several-hardware", message, None));
    }
    if vendor::secure_boot(section) {
        let message = "the machine starts signed boot loaders alone (secure boot); the new one starts any";
        concerns.push(concern(Severity::Warning, "ovf.secure-boot", message, None));
    }
    if machine.disks.is_empty() {
        let message = "the machine has no disk with a file";
        concerns.push(concern(Severity::Blocking, "ovf.no-disk", message, Some("name its disks one by one")));
    }
    concerns
}
