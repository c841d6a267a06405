//! Disks and their files: `References`, `DiskSection`, and the drives of the hardware. DSP0243 2.1, sections 7.1 and 9.1.

use crate::hardware::Drive;
use crate::package::Package;
use crate::units;
use crate::xml::{attribute, child, children};
use roxmltree::Node;
use std::collections::BTreeSet;
use wherry_sdk::definition::{Disk, Machine};
use wherry_sdk::{Error, ErrorKind, Result, Severity, concern, fact};

/// Adds the disks of these drives, and their files, to the machine.
pub fn add(envelope: Node<'_, '_>, drives: &[Drive], package: &Package, machine: &mut Machine) -> Result<()> {
    let files: Vec<Node<'_, '_>> =
        child(envelope, "References").into_iter().flat_map(|one| children(one, "File")).collect();
    let sections = children(envelope, "DiskSection").chain(children(envelope, "SharedDiskSection"));
    let disks: Vec<Node<'_, '_>> =
        sections.flat_map(|one| children(one, "Disk").chain(children(one, "SharedDisk"))).collect();
    unique("File", "id", &files)?;
    unique("Disk", "diskId", &disks)?;
    let mut used = BTreeSet::new();
    for drive in drives {
        let Some(node) = disks.iter().find(|one| attribute(**one, "diskId") == Some(&drive.disk)) else {
            let message =
                format!("a drive names the disk {:?}, which the descriptor does not describe", drive.disk);
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        if !used.insert(drive.disk.as_str()) {
            let message = format!("two drives hold the disk {:?}", drive.disk);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        one(*node, drive, &files, package, machine)?;
    }
    let id = |node: &Node<'_, '_>| attribute(*node, "diskId").unwrap_or_default().to_owned();
    for unused in disks.iter().map(id).filter(|id| !used.contains(id.as_str())).take(20) {
        let message = format!("no drive of this machine holds the disk {unused:?}; it is left out");
        machine.concerns.push(concern(Severity::Information, "ovf.disk-unused", message, None));
    }
    Ok(())
}

fn unique(what: &str, key: &str, nodes: &[Node<'_, '_>]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for id in nodes.iter().filter_map(|node| attribute(*node, key)) {
        if !seen.insert(id) {
            return Err(Error::new(ErrorKind::Corrupt, format!("two elements {what} have the {key} {id:?}")));
        }
    }
    Ok(())
}

fn one(
    node: Node<'_, '_>,
    drive: &Drive,
    files: &[Node<'_, '_>],
    package: &Package,
    machine: &mut Machine,
) -> Result<()> {
    let Drive { disk: id, bus, controller, address } = drive;
    let Some(reference) = attribute(node, "fileRef") else {
        let message = format!("the disk {id:?} is empty and has no file; it is left out");
        let remedy = Some("add an empty disk to the new machine");
        machine.concerns.push(concern(Severity::Warning, "ovf.disk-empty", message, remedy));
        return Ok(());
    };
    let Some(file) = files.iter().find(|file| attribute(**file, "id") == Some(reference)) else {
        let message =
            format!("the disk {id:?} is in the file {reference:?}, which the descriptor does not have");
        return Err(Error::new(ErrorKind::Corrupt, message));
    };
    let href = attribute(*file, "href").unwrap_or_default();
    let mut block = |key: &str, message: String, remedy: &str| {
        machine.concerns.push(concern(Severity::Blocking, key, message, Some(remedy)));
    };
    if attribute(node, "parentRef").is_some_and(|parent| !parent.is_empty()) {
        let message = format!("the disk {id:?} is a change of another disk");
        block("ovf.disk-parent", message, "export the machine without snapshots");
    }
    match attribute(*file, "compression").unwrap_or_default() {
        "" | "identity" => {}
        other => {
            let message = format!("{href:?} is compressed by {other:?} as a whole");
            block("ovf.compressed-file", message, "unpack it, and remove ovf:compression and the digest");
        }
    }
    if attribute(*file, "chunkSize").is_some() {
        let message = format!("{href:?} is cut into chunks");
        block("ovf.chunked-file", message, "join them (cat), and remove ovf:chunkSize and the digest");
    }
    let uri = attribute(node, "format").unwrap_or_default();
    let format = format(uri).unwrap_or_else(|| {
        let message = format!("the disk {id:?} has the format {uri:?}, which is not known here");
        block("ovf.disk-format", message, "convert it to a streamOptimized VMDK");
        "unknown"
    });
    let (member, length) = package.file(href)?;
    let said = attribute(*file, "size").and_then(|size| size.parse::<u64>().ok());
    if let (Some(said), Some(length)) = (said, length)
        && said != length
    {
        let message =
            format!("{href:?} has {length} bytes, and {said} are expected: it is cut off or was replaced");
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    machine.concerns.extend(package.gap(&member));
    let unit = attribute(node, "capacityAllocationUnits");
    let mut facts = vec![fact("id", id), fact("address", address)];
    facts.extend(bus.map(|bus| fact("bus", bus)));
    facts.extend(controller.as_ref().map(|controller| fact("controller", controller)));
    facts.extend(said.map(|said| fact("file-size", said)));
    machine.members.push(member);
    machine.disks.push(Disk {
        member: machine.members.len() as u32 - 1,
        format: format.into(),
        capacity: attribute(node, "capacity").and_then(|amount| units::bytes(amount, unit, 1)),
        facts,
    });
    Ok(())
}

/// Formats are named by the addresses of their specifications, of which writers have several.
fn format(uri: &str) -> Option<&'static str> {
    let uri = uri.to_ascii_lowercase();
    let known = [
        ("vmdk", "vmdk"),
        ("qcow", "qcow2"),
        ("linkid=137171", "vhd"),
        ("vhd", "vhd"),
        ("vdi", "vdi"),
        ("raw", "raw"),
    ];
    known.iter().find(|(word, _)| uri.contains(word)).map(|(_, format)| *format)
}
