//! The configuration file (VMX). VMware does not document it; keys are those that its programs write, and that libvirt reads
//! (`src/vmx/vmx.c`).

use crate::machine::{Card, Disk, Plan, is_own};
use crate::system;
use wherry_sdk::platform::identity;

/// Bridges that PCI Express devices need since hardware 7.
const BRIDGES: [usize; 4] = [4, 5, 6, 7];

/// Where VMware puts the bridge that PCI devices are behind; its number on the root bus.
const BRIDGE_SLOT: usize = 0x11;
/// `pciSlotNumber` of the first place behind that bridge.
const BRIDGED: usize = 32;

/// Where VMware puts the first bridge that PCI Express devices are behind, which is the bridge 4; and `pciSlotNumber` of the first
/// place behind that.
const EXPRESS_SLOT: usize = 0x15;
const EXPRESS: usize = 160;
/// Where it puts the first SCSI controller that is not of PCI Express.
const SCSI_SLOT: usize = 0x10;

/// The place of the first controller, as `pciSlotNumber`, and as the profile says it; none where VMware chooses.
fn controller_slot(disk_bus: &str) -> Option<(usize, String)> {
    match disk_bus {
        "lsi-scsi" | "buslogic" => Some((SCSI_SLOT, format!("{SCSI_SLOT:02x}.0"))),
        "lsi-sas" | "pvscsi" => Some((EXPRESS, format!("{EXPRESS_SLOT:02x}.0/00.0"))),
        _ => None,
    }
}

/// What the profile says of a disk's place: that of the first controller is written down.
pub fn disk_slot(disk_bus: &str, controller: usize, unit: usize) -> Option<String> {
    if disk_bus == "ide" {
        return Some(format!("07.1 channel={controller} unit={unit}"));
    }
    let (_, place) = controller_slot(disk_bus).filter(|_| controller == 0)?;
    Some(format!("{place} target={unit} lun=0"))
}

/// The place of a card behind the bridge. Those of PCI Express are elsewhere.
fn slot(nic_model: &str, number: usize) -> Option<usize> {
    ["e1000", "pcnet"].contains(&nic_model).then_some(1 + number)
}

/// What the profile says of a card's place: the bridge's on the root bus, and its own on the bridge's bus.
pub fn path(nic_model: &str, number: usize) -> Option<String> {
    Some(format!("{BRIDGE_SLOT:02x}.0/{:02x}.0", slot(nic_model, number)?))
}

/// The file for `plan`.
pub fn configuration(plan: &Plan, key: &str) -> String {
    let choice = &plan.choice;
    let mut lines = vec![
        entry(".encoding", "UTF-8"),
        entry("config.version", "8"),
        entry("virtualHW.version", choice.version),
        entry("displayName", &plan.name),
        entry("annotation", format!("wherry-key: {key}")),
        entry("guestOS", system::word(&choice.guest)),
        entry("uuid.bios", uuid(key)),
        entry("uuid.action", "keep"),
        entry("numvcpus", plan.cpus),
        entry("cpuid.coresPerSocket", choice.cores),
        entry("memSize", plan.memory_mib),
        entry("nvram", plan.file(".nvram")),
    ];
    // BIOS is what is there without this key, and libvirt knows no word for it.
    lines.extend((choice.firmware != "bios").then(|| entry("firmware", "efi")));
    if choice.firmware == "uefi-secure-boot" {
        lines.push(entry("uefi.secureBoot.enabled", "TRUE"));
    }
    lines.extend(["disk.EnableUUID", "hpet0.present", "vmci0.present", "pciBridge0.present"].map(yes));
    lines.push(entry("pciBridge0.pciSlotNumber", BRIDGE_SLOT));
    for bridge in BRIDGES {
        lines.push(yes(&format!("pciBridge{bridge}.present")));
        lines.push(entry(&format!("pciBridge{bridge}.virtualDev"), "pcieRootPort"));
        lines.push(entry(&format!("pciBridge{bridge}.functions"), "8"));
        if bridge == BRIDGES[0] && controller_slot(&choice.disk_bus).is_some_and(|(slot, _)| slot == EXPRESS)
        {
            lines.push(entry(&format!("pciBridge{bridge}.pciSlotNumber"), EXPRESS_SLOT));
        }
    }
    lines.push(entry("floppy0.present", "FALSE"));
    lines.extend(disks(plan));
    lines.extend(plan.cards.iter().enumerate().flat_map(|(number, card)| card_lines(plan, number, card)));
    lines.concat()
}

fn yes(key: &str) -> String {
    entry(key, "TRUE")
}

/// Within the quotation marks they and `|` are written as `|22` and `|7C`, control characters likewise.
fn entry(key: &str, value: impl ToString) -> String {
    let mut escaped = String::new();
    for c in value.to_string().chars() {
        match c {
            '"' | '|' | '\u{0}'..='\u{1f}' | '\u{7f}' => escaped.push_str(&format!("|{:02X}", u32::from(c))),
            other => escaped.push(other),
        }
    }
    format!("{key} = \"{escaped}\"\n")
}

/// Sixteen bytes, a hyphen in the middle.
fn uuid(key: &str) -> String {
    let words = identity(key, "machine").map(|byte| format!("{byte:02x}"));
    let (first, second) = words.split_at(8);
    format!("{}-{}", first.join(" "), second.join(" "))
}

/// What the disk bus is called in keys, and which model it is.
fn controller(disk_bus: &str) -> (&'static str, Option<&'static str>) {
    match disk_bus {
        "ide" => ("ide", None),
        "ahci" => ("sata", None),
        "nvme" => ("nvme", None),
        "buslogic" => ("scsi", Some("buslogic")),
        "lsi-scsi" => ("scsi", Some("lsilogic")),
        "lsi-sas" => ("scsi", Some("lsisas1068")),
        _ => ("scsi", Some("pvscsi")),
    }
}

fn disks(plan: &Plan) -> Vec<String> {
    let (kind, model) = controller(&plan.choice.disk_bus);
    let mut lines = Vec::new();
    let mut made = None;
    for Disk { file, controller, unit, .. } in &plan.disks {
        if made != Some(*controller) {
            made = Some(*controller);
            // IDE controllers are always there.
            lines.extend((kind != "ide").then(|| yes(&format!("{kind}{controller}.present"))));
            lines.extend(model.map(|model| entry(&format!("{kind}{controller}.virtualDev"), model)));
            let slot = controller_slot(&plan.choice.disk_bus).filter(|_| *controller == 0);
            lines.extend(slot.map(|(slot, _)| entry(&format!("{kind}{controller}.pciSlotNumber"), slot)));
        }
        lines.push(yes(&format!("{kind}{controller}:{unit}.present")));
        lines.push(entry(&format!("{kind}{controller}:{unit}.fileName"), file));
    }
    lines
}

fn card_lines(plan: &Plan, number: usize, card: &Card) -> Vec<String> {
    let key = |name: &str| format!("ethernet{number}.{name}");
    let model = match plan.choice.nic_model.as_str() {
        "pcnet" => "vlance",
        other => other,
    };
    let mut lines = vec![
        yes(&key("present")),
        entry(&key("virtualDev"), model),
        // Workstation bridges it, ESXi joins the network of this name.
        entry(&key("connectionType"), "bridged"),
        entry(&key("networkName"), &card.network),
    ];
    lines.extend(
        slot(&plan.choice.nic_model, number).map(|slot| entry(&key("pciSlotNumber"), BRIDGED + slot)),
    );
    match &card.mac {
        None => lines.push(entry(&key("addressType"), "generated")),
        Some(mac) => {
            lines.push(entry(&key("addressType"), "static"));
            lines.push(entry(&key("address"), mac));
            if !is_own(mac) {
                lines.push(entry(&key("checkMACAddress"), "FALSE"));
            }
        }
    }
    lines
}
