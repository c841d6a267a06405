//! What the operator may wish for, and the device profile that follows from it.

use crate::machine;
use std::collections::BTreeSet;
use wherry_sdk::platform::{check_name, check_size, unknown_wishes, wished};
use wherry_sdk::target::{Machine, Offer};
use wherry_sdk::{Concern, DeviceProfile, Error, ErrorKind, Fact, Result, Severity, concern, fact, find};

const DISK_BUSES: &[&str] = &["virtio-blk", "virtio-scsi", "ahci", "nvme"];
const NIC_MODELS: &[&str] = &["virtio-net", "e1000", "e1000e"];
const MACHINES: &[&str] = &["q35", "i440fx"];
const FORMATS: &[&str] = &["qcow2", "raw"];
const FIRMWARES: &[&str] = &["bios", "uefi"];
const COMPRESSIONS: &[&str] = &["none", "zstd"];
const ARCHITECTURE: &str = "x86_64";
const SERIAL_CONSOLE: &str = "ttyS0";

/// Everything with alternatives, decided; every value is one of the lists above.
pub struct Choice {
    pub firmware: String,
    pub disk_bus: String,
    pub nic_model: String,
    pub machine: String,
    pub format: String,
    /// For the format's writer.
    pub disk_options: Vec<Fact>,
}

/// A fact for each value; the first of each key is the default.
pub fn capabilities() -> Vec<Fact> {
    let lists = [
        ("disk-bus", DISK_BUSES),
        ("nic-model", NIC_MODELS),
        ("firmware", FIRMWARES),
        ("machine", MACHINES),
        ("format", FORMATS),
        ("compression", COMPRESSIONS),
        ("architecture", &[ARCHITECTURE]),
    ];
    lists.iter().flat_map(|(key, values)| values.iter().map(move |value| fact(*key, value))).collect()
}

/// The profile of `machine`, and what speaks against it.
pub fn offer(machine: &Machine) -> Offer {
    let mut concerns = Vec::new();
    let mut wish = |key: &str, known: &[&'static str]| wished(machine, key, known, "kvm", &mut concerns);
    let disk_bus = wish("wish.disk-bus", DISK_BUSES);
    let nic_model = wish("wish.nic-model", NIC_MODELS);
    let board = wish("wish.machine", MACHINES);
    let format = wish("wish.format", FORMATS);
    wish("wish.compression", COMPRESSIONS);
    let firmware = wish("firmware", FIRMWARES);
    if find(&machine.facts, "firmware").is_none() {
        let message = "the source does not say whether it boots by bios or uefi; bios is assumed";
        concerns.push(concern(Severity::Warning, "kvm.firmware-assumed", message, None));
    }
    let known = ["disk-bus", "nic-model", "machine", "format", "cluster-size", "compression"];
    concerns.extend(unknown_wishes(machine, &known, "kvm"));
    concerns.extend(odd_machine(machine, disk_bus, firmware));
    concerns.extend(same_macs(machine));
    concerns.extend(useless_options(machine, format));
    let mut facts = vec![fact("serial-console", SERIAL_CONSOLE)];
    let slots = machine::nic_slots(machine.nics.len()).enumerate();
    facts.extend(slots.map(|(n, slot)| fact(format!("nic.{n}.slot"), format!("0000:00:{slot:02x}.0"))));
    let profile = DeviceProfile {
        firmware: firmware.into(),
        disk_bus: disk_bus.into(),
        nic_model: nic_model.into(),
        architecture: ARCHITECTURE.into(),
        machine: board.into(),
        facts,
    };
    Offer { profile, concerns }
}

/// What no choice of devices can cure.
fn odd_machine(machine: &Machine, disk_bus: &str, firmware: &str) -> Vec<Concern> {
    let mut concerns = Vec::new();
    if let Some(other) = find(&machine.facts, "os.architecture").filter(|it| *it != ARCHITECTURE) {
        let message = format!("the guest is built for {other}; only {ARCHITECTURE} machines are made here");
        concerns.push(blocking("kvm.architecture", message, "use another target"));
    }
    let checks = [
        check_name(&machine.name),
        check_size(machine, machine::CPUS_MOST),
        machine::check_nics(machine),
        machine::check_room(machine, disk_bus),
    ];
    if let Err(error) = machine::check_sectors(machine, disk_bus, firmware) {
        let remedy =
            "if its partition table counts sectors of 512 bytes, name the source disk with ,sector=512";
        concerns.push(blocking("kvm.sector-size", error.message, remedy));
    }
    for check in checks {
        if let Err(error) = check {
            concerns.push(blocking("kvm.machine", error.message, "change the machine's description"));
        }
    }
    concerns
}

/// A bond shows one address on all of its cards.
fn same_macs(machine: &Machine) -> Option<Concern> {
    let mut seen = BTreeSet::new();
    let mut macs = machine.nics.iter().filter_map(|nic| Some(nic.mac.as_ref()?.to_ascii_lowercase()));
    let twice = macs.find(|mac| !seen.insert(mac.clone()))?;
    let message = format!("two network cards have the address {twice}");
    let remedy = "if the source bonds them, give each card its permanent address";
    Some(concern(Severity::Warning, "kvm.same-mac", message, Some(remedy)))
}

fn useless_options(machine: &Machine, format: &str) -> Vec<Concern> {
    let useless = ["wish.cluster-size", "wish.compression"]
        .into_iter()
        .filter(|key| format == "raw" && find(&machine.facts, key).is_some());
    let tell = |key| {
        let message = format!("`{key}` means nothing for raw disks and is ignored");
        concern(Severity::Warning, "kvm.useless-wish", message, Some("wish for the format qcow2"))
    };
    useless.map(tell).collect()
}

fn blocking(id: &str, message: String, remedy: &str) -> Concern {
    concern(Severity::Blocking, id, message, Some(remedy))
}

impl Choice {
    /// The profile as it came back from the host, which may have been edited or stored meanwhile.
    pub fn from_profile(machine: &Machine, profile: &DeviceProfile) -> Result<Self> {
        let known = |what: &str, value: &str, values: &[&str]| match values.contains(&value) {
            true => Ok(value.to_owned()),
            false => {
                let message = format!("{what} `{value}` is not offered; choose one of {}", values.join(", "));
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        };
        known("architecture", &profile.architecture, &[ARCHITECTURE])?;
        let format = find(&machine.facts, "wish.format").unwrap_or("qcow2");
        let compression = find(&machine.facts, "wish.compression");
        known("compression", compression.unwrap_or("none"), COMPRESSIONS)?;
        let mut disk_options = Vec::new();
        if format == "qcow2" {
            let wish = |key| find(&machine.facts, &format!("wish.{key}")).map(|value| fact(key, value));
            disk_options.extend(["cluster-size", "compression"].into_iter().filter_map(wish));
        }
        Ok(Self {
            firmware: known("firmware", &profile.firmware, FIRMWARES)?,
            disk_bus: known("disk bus", &profile.disk_bus, DISK_BUSES)?,
            nic_model: known("nic model", &profile.nic_model, NIC_MODELS)?,
            machine: known("machine", &profile.machine, MACHINES)?,
            format: known("format", format, FORMATS)?,
            disk_options,
        })
    }

    pub fn uefi(&self) -> bool {
        self.firmware == "uefi"
    }
}
