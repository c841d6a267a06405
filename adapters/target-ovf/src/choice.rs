//! What the operator may wish for, and the device profile that follows from it.

use crate::machine::{self, Plan};
use wherry_sdk::platform::{
    check_name, firmware_assumed, offered, other_architecture, unknown_wishes, wished,
};
use wherry_sdk::target::{Machine, Offer};
use wherry_sdk::{Concern, DeviceProfile, Error, ErrorKind, Fact, Result, Severity, concern, fact, find};

const FLAVOURS: &[&str] = &["vmware", "virtualbox", "dmtf"];
const VERSIONS: &[&str] = &["1", "2"];
const FIRMWARES: &[&str] = &["bios", "uefi"];
const FORMATS: &[&str] = &["vmdk"];
const LEVELS: &[&str] = &["6", "1", "2", "3", "4", "5", "7", "8", "9"];
const ARCHITECTURE: &str = "x86_64";

/// For whom the package is.
#[derive(Clone, Copy, PartialEq)]
pub enum Flavour {
    VMware,
    VirtualBox,
    Dmtf,
}

impl Flavour {
    fn of(machine: &Machine) -> Option<Self> {
        match find(&machine.facts, "wish.flavour").unwrap_or("vmware") {
            "vmware" => Some(Self::VMware),
            "virtualbox" => Some(Self::VirtualBox),
            "dmtf" => Some(Self::Dmtf),
            _ => None,
        }
    }

    /// Buses by the register in `wit/types.wit`, the default first.
    fn buses(self) -> &'static [&'static str] {
        match self {
            Self::VMware => &["pvscsi", "lsi-scsi", "ahci", "nvme"],
            Self::VirtualBox => &["ahci", "lsi-scsi", "virtio-scsi"],
            Self::Dmtf => &["ahci", "lsi-scsi", "virtio-scsi"],
        }
    }

    /// Cards by the register, the default first.
    fn cards(self) -> &'static [&'static str] {
        match self {
            Self::VMware => &["vmxnet3", "e1000e", "e1000"],
            Self::VirtualBox | Self::Dmtf => &["e1000", "virtio-net"],
        }
    }

    /// The virtual system's type; vmx-13 is what ESXi 6.5 and Workstation 14 run, and the first with NVMe.
    pub fn system(self) -> Option<&'static str> {
        match self {
            Self::VMware => Some("vmx-13"),
            Self::VirtualBox => Some("virtualbox-2.2"),
            Self::Dmtf => None,
        }
    }

    /// What a person does with the package.
    pub fn next(self, plan: &Plan, package: &str, directory: &str) -> Vec<String> {
        let path = format!("'{}/{package}'", directory.trim_end_matches('/').replace('\'', r"'\''"));
        let mut next = match self {
            Self::VMware => vec![
                format!("ovftool {path} vi://USER@HOST/"),
                "or import it in vSphere, Workstation or Fusion".into(),
            ],
            Self::VirtualBox => vec![format!("VBoxManage import {path}")],
            Self::Dmtf => vec![format!("import {path} where the machine is to run")],
        };
        if self == Self::VirtualBox && plan.choice.firmware == "uefi" {
            next.push(format!("VBoxManage modifyvm {} --firmware efi64", plan.name));
        }
        next
    }
}

/// Everything with alternatives, decided.
pub struct Choice {
    pub flavour: Flavour,
    pub version: u8,
    pub firmware: String,
    pub disk_bus: String,
    pub nic_model: String,
    level: Option<String>,
}

/// A fact for each value; the first of each key is the default. What a bus or card is offered for is in the README.
pub fn capabilities() -> Vec<Fact> {
    let buses = ["pvscsi", "lsi-scsi", "ahci", "nvme", "virtio-scsi"];
    let cards = ["vmxnet3", "e1000e", "e1000", "virtio-net"];
    let lists: [(&str, &[&str]); 8] = [
        ("flavour", FLAVOURS),
        ("ovf-version", VERSIONS),
        ("disk-bus", &buses),
        ("nic-model", &cards),
        ("firmware", FIRMWARES),
        ("format", FORMATS),
        ("compression-level", LEVELS),
        ("architecture", &[ARCHITECTURE]),
    ];
    let facts = lists.iter().flat_map(|(key, values)| values.iter().map(move |value| fact(*key, value)));
    facts.chain([fact("needs", "disk.sha256")]).collect()
}

/// The profile of `machine`, and what speaks against it.
pub fn offer(machine: &Machine) -> Offer {
    let mut concerns = Vec::new();
    let mut wish = |key: &str, known: &[&'static str]| wished(machine, key, known, "ovf", &mut concerns);
    wish("wish.flavour", FLAVOURS);
    wish("wish.ovf-version", VERSIONS);
    wish("wish.format", FORMATS);
    wish("wish.compression-level", LEVELS);
    let flavour = Flavour::of(machine).unwrap_or(Flavour::VMware);
    let disk_bus = wish("wish.disk-bus", flavour.buses());
    let nic_model = wish("wish.nic-model", flavour.cards());
    let firmware = wish("firmware", FIRMWARES);
    let known = ["flavour", "ovf-version", "format", "compression-level", "disk-bus", "nic-model"];
    concerns.extend(unknown_wishes(machine, &known, "ovf"));
    concerns.extend(odd_machine(machine, disk_bus));
    concerns.extend(told(machine, flavour, firmware));
    let profile = DeviceProfile {
        firmware: firmware.into(),
        disk_bus: disk_bus.into(),
        nic_model: nic_model.into(),
        architecture: ARCHITECTURE.into(),
        machine: flavour.system().unwrap_or("generic").into(),
        facts: if machine::is_packed(machine) { vec![fact("disk-sink", "packed")] } else { Vec::new() },
    };
    Offer { profile, concerns }
}

/// What no choice of devices can cure.
fn odd_machine(machine: &Machine, disk_bus: &str) -> Vec<Concern> {
    let blocking =
        |id: &str, message: String, remedy: &str| concern(Severity::Blocking, id, message, Some(remedy));
    let mut concerns: Vec<_> = other_architecture(machine, "ovf").into_iter().collect();
    if let Some(index) = machine::large_sectors(machine) {
        let message = format!("disk {index} has sectors of 4096 bytes, and VMDK knows 512 alone");
        let remedy =
            "if its partition table counts sectors of 512 bytes, name the source disk with ,sector=512";
        concerns.push(blocking("ovf.sector-size", message, remedy));
    }
    let checks = [check_name(&machine.name), machine::check(machine), machine::check_room(machine, disk_bus)];
    let odd = checks.into_iter().filter_map(|check| check.err());
    concerns.extend(odd.map(|e| blocking("ovf.machine", e.message, "change the machine's description")));
    concerns
}

/// What an importer decides, not the package.
fn told(machine: &Machine, flavour: Flavour, firmware: &str) -> Vec<Concern> {
    let mut concerns: Vec<_> = firmware_assumed(machine, "ovf").into_iter().collect();
    if firmware == "uefi" && flavour != Flavour::VMware {
        let message = "the package has no way to tell this importer that the machine starts by uefi";
        let remedy = "set it after the import (VirtualBox: VBoxManage modifyvm NAME --firmware efi64)";
        concerns.push(concern(Severity::Warning, "ovf.firmware-untold", message, Some(remedy)));
    }
    if !machine.nics.is_empty() {
        let message = "whether cards keep their addresses and slots is up to whoever imports the package";
        concerns.push(concern(Severity::Information, "ovf.card-addresses", message, None));
    }
    concerns
}

impl Choice {
    /// The profile as it came back from the host, which may have been edited or stored meanwhile.
    pub fn from_profile(machine: &Machine, profile: &DeviceProfile) -> Result<Self> {
        let wish = |key: &str, usual: &'static str| find(&machine.facts, key).unwrap_or(usual).to_owned();
        let word = offered("flavour", &wish("wish.flavour", "vmware"), FLAVOURS)?;
        let flavour = Flavour::of(machine).ok_or_else(|| Error::new(ErrorKind::InvalidInput, word))?;
        let version = offered("version", &wish("wish.ovf-version", "1"), VERSIONS)?;
        offered("format", &wish("wish.format", "vmdk"), FORMATS)?;
        offered("architecture", &profile.architecture, &[ARCHITECTURE])?;
        let level = find(&machine.facts, "wish.compression-level");
        Ok(Self {
            flavour,
            version: if version == "2" { 2 } else { 1 },
            firmware: offered("firmware", &profile.firmware, FIRMWARES)?,
            disk_bus: offered("disk bus", &profile.disk_bus, flavour.buses())?,
            nic_model: offered("nic model", &profile.nic_model, flavour.cards())?,
            level: level.map(|level| offered("compression level", level, LEVELS)).transpose()?,
        })
    }

    /// For the format's writer. The descriptor of a VMDK knows three controllers; ovftool calls every SCSI one lsilogic.
    pub fn disk_options(&self, file: &str) -> Vec<Fact> {
        let controller = if self.disk_bus == "ahci" { "ide" } else { "lsilogic" };
        let mut options = vec![
            fact("subformat", "streamOptimized"),
            fact("adapter-type", controller),
            fact("file-name", file),
        ];
        options.extend(self.level.as_ref().map(|level| fact("compression-level", level)));
        options
    }
}
