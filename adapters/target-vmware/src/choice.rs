//! What the operator may wish for, and the device profile that follows from it.

use crate::{machine, system, vmx};
use wherry_sdk::guest::Guest;
use wherry_sdk::platform::{
    check_cards, check_name, firmware_assumed, offered, other_architecture, same_macs, unknown_wishes, wished,
};
use wherry_sdk::target::{Machine, Offer};
use wherry_sdk::{Concern, DeviceProfile, Fact, Result, Severity, concern, fact, find};

const DISK_BUSES: &[&str] = &["pvscsi", "lsi-sas", "lsi-scsi", "buslogic", "ide", "ahci", "nvme"];
const NIC_MODELS: &[&str] = &["vmxnet3", "e1000e", "e1000", "pcnet"];
const FIRMWARES: &[&str] = &["bios", "uefi", "uefi-secure-boot"];
const FORMATS: &[&str] = &["vmdk"];
const SUBFORMATS: &[&str] = &["monolithicSparse", "streamOptimized"];
const SECURE_BOOTS: &[&str] = &["off", "on"];
/// 13 is ESXi 6.5 and Workstation 14, the first with NVMe and secure boot.
const VERSIONS: &[&str] = &["13", "7", "8", "9", "10", "11", "14", "15", "16", "17", "18", "19", "20", "21"];
const CORES: &[&str] = &["1", "2", "4", "8", "16", "32", "64"];
const ARCHITECTURE: &str = "x86_64";
const POWERS: &[&str] = &["off", "on"];
const KNOWN: [&str; 6] = ["disk-bus", "nic-model", "machine", "secure-boot", "format", "cores-per-socket"];
/// For the server alone.
const PLACES: [&str; 7] =
    ["datacenter", "cluster", "resource-pool", "folder", "datastore", "snapshot", "power"];

/// Whether the machine is to be made on a server.
pub fn is_live(machine: &Machine) -> bool {
    find(&machine.facts, "target.name") == Some("vsphere")
}

/// Everything with alternatives, decided.
#[derive(Clone)]
pub struct Choice {
    pub firmware: String,
    pub disk_bus: String,
    pub nic_model: String,
    /// Of the virtual hardware.
    pub version: u32,
    pub subformat: String,
    pub cores: u32,
    /// The guest's system as the vSphere API calls it.
    pub guest: String,
}

/// A fact for each value. What a guest gets by default is in the README.
pub fn capabilities() -> Vec<Fact> {
    let versions: Vec<String> = VERSIONS.iter().map(|version| format!("vmx-{version}")).collect();
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    let lists: [(&str, &[&str]); 11] = [
        ("machine", &versions),
        ("disk-bus", DISK_BUSES),
        ("nic-model", NIC_MODELS),
        ("firmware", FIRMWARES),
        ("secure-boot", SECURE_BOOTS),
        ("format", FORMATS),
        ("subformat", SUBFORMATS),
        ("snapshot", POWERS),
        ("power", POWERS),
        ("cores-per-socket", CORES),
        ("architecture", &[ARCHITECTURE]),
    ];
    lists.iter().flat_map(|(key, values)| values.iter().map(move |value| fact(*key, value))).collect()
}

/// The profile of `machine`, and what speaks against it.
pub fn offer(machine: &Machine) -> Offer {
    let guest = Guest::of(machine);
    let mut concerns = Vec::new();
    let mut wish = |key: &str, known: &[&'static str]| wished(machine, key, known, "vmware", &mut concerns);
    let disk_bus = wish("wish.disk-bus", system::buses(&guest));
    let nic_model = wish("wish.nic-model", system::cards(&guest));
    let found = wish("firmware", FIRMWARES);
    let secure: &[&str] = if found == "uefi-secure-boot" { &["on", "off"] } else { SECURE_BOOTS };
    let secure = wish("wish.secure-boot", secure) == "on";
    wish("wish.format", FORMATS);
    wish("wish.subformat", SUBFORMATS);
    wish("wish.snapshot", POWERS);
    wish("wish.power", POWERS);
    let sockets = wish("wish.cores-per-socket", CORES);
    concerns.extend(unknown_version(machine));
    let own: &[&str] = if is_live(machine) { &PLACES } else { &["subformat"] };
    concerns.extend(unknown_wishes(machine, &[&KNOWN, own].concat(), "vmware"));
    concerns.extend(firmware_assumed(machine, "vmware"));
    concerns.extend(same_macs(machine, "vmware"));
    concerns.extend(other_architecture(machine, "vmware"));
    let firmware = match (found, secure) {
        ("bios", _) => "bios",
        (_, false) => "uefi",
        (_, true) => "uefi-secure-boot",
    };
    if secure && firmware == "bios" {
        let message = "a machine that starts by bios has no secure boot".into();
        concerns.push(blocking("vmware.secure-boot", message, "wish for secure-boot=off"));
    }
    let version = version(machine).unwrap_or(13);
    let divided = (find(&machine.facts, "wish.cores-per-socket").is_none_or(|wish| wish == sockets))
        .then(|| cores(machine, &guest))
        .and_then(|cores| cores.err());
    concerns
        .extend(divided.map(|e| blocking("vmware.cores", e.message, "wish for another cores-per-socket")));
    concerns.extend(too_old(version, disk_bus, nic_model, firmware));
    concerns.extend(odd_machine(machine, disk_bus));
    let profile = DeviceProfile {
        firmware: firmware.into(),
        disk_bus: disk_bus.into(),
        nic_model: nic_model.into(),
        architecture: ARCHITECTURE.into(),
        machine: format!("vmx-{version}"),
        facts: places(machine, disk_bus, nic_model),
    };
    Offer { profile, concerns }
}

/// Where cards and disks will be. A server chooses that by itself.
fn places(machine: &Machine, disk_bus: &str, nic_model: &str) -> Vec<Fact> {
    if is_live(machine) {
        return Vec::new();
    }
    let path = |n: usize| Some(fact(format!("nic.{n}.path"), vmx::path(nic_model, n)?));
    let mut facts: Vec<Fact> = (0..machine.nics.len()).filter_map(path).collect();
    let disks = machine::places(machine, disk_bus).into_iter();
    facts.extend(disks.filter_map(|(index, controller, unit)| {
        Some(fact(format!("disk.{index}.slot"), vmx::disk_slot(disk_bus, controller, unit)?))
    }));
    facts
}

/// The version of the virtual hardware that was wished for, else 13; none: no such version.
fn version(machine: &Machine) -> Option<u32> {
    let wish = find(&machine.facts, "wish.machine").unwrap_or("vmx-13");
    parse_version(wish)
}

fn parse_version(word: &str) -> Option<u32> {
    let number = word.strip_prefix("vmx-")?;
    VERSIONS.contains(&number).then(|| number.parse().ok()).flatten()
}

fn unknown_version(machine: &Machine) -> Option<Concern> {
    let wish = find(&machine.facts, "wish.machine").filter(|wish| parse_version(wish).is_none())?;
    let message = format!("`wish.machine` is `{wish}`, which is not offered here");
    let remedy = format!("choose vmx-N, N being one of {}", VERSIONS.join(", "));
    Some(blocking("vmware.unknown-wish", message, &remedy))
}

/// Devices that came with a later version of the virtual hardware (VMware's article 2051652, "hardware features").
fn too_old(version: u32, disk_bus: &str, nic_model: &str, firmware: &str) -> Vec<Concern> {
    let disk = match disk_bus {
        "nvme" => 13,
        "ahci" => 10,
        _ => 7,
    };
    let firmware_since = match firmware {
        "uefi-secure-boot" => 13,
        "uefi" => 8,
        _ => 7,
    };
    let card = if nic_model == "e1000e" { 8 } else { 7 };
    let needs = [(disk_bus, disk), (nic_model, card), (firmware, firmware_since)];
    let tell = |(what, since): (&str, u32)| {
        let message = format!("virtual hardware {version} has no {what}, which came with {since}");
        blocking("vmware.version", message, "wish for a later machine=vmx-N, or for another device")
    };
    needs.into_iter().filter(|(_, since)| *since > version).map(tell).collect()
}

/// What no choice of devices can cure.
fn odd_machine(machine: &Machine, disk_bus: &str) -> Vec<Concern> {
    let mut concerns = Vec::new();
    if let Err(error) = machine::check_sectors(machine) {
        let remedy =
            "if its partition table counts sectors of 512 bytes, name the source disk with ,sector=512";
        concerns.push(blocking("vmware.sector-size", error.message, remedy));
    }
    let checks = [
        check_name(&machine.name),
        machine::check(machine),
        check_cards(machine),
        machine::check_room(machine, disk_bus),
    ];
    let odd = checks.into_iter().filter_map(|check| check.err());
    concerns.extend(odd.map(|e| blocking("vmware.machine", e.message, "change the machine's description")));
    concerns
}

fn blocking(id: &str, message: String, remedy: &str) -> Concern {
    concern(Severity::Blocking, id, message, Some(remedy))
}

/// As was wished; else two sockets at most for a client edition of Windows, which uses no more, and one core in each for others.
fn cores(machine: &Machine, guest: &Guest<'_>) -> Result<u32> {
    let client = guest.windows.is_some_and(|windows| !windows.is_server && windows.kernel >= (5, 1));
    let cores = match (find(&machine.facts, "wish.cores-per-socket"), machine.cpus) {
        (Some(wish), _) => offered("number of cores", wish, CORES)?.parse().unwrap_or(1),
        (None, cpus) if client && cpus > 2 && cpus.is_multiple_of(2) => cpus / 2,
        (None, cpus) if client && cpus > 2 => cpus,
        _ => 1,
    };
    machine::check_cores(machine.cpus, cores)?;
    Ok(cores)
}

impl Choice {
    /// The profile as it came back from the host, which may have been edited or stored meanwhile.
    pub fn from_profile(machine: &Machine, profile: &DeviceProfile) -> Result<Self> {
        let wish = |key: &str, usual: &'static str| find(&machine.facts, key).unwrap_or(usual).to_owned();
        offered("architecture", &profile.architecture, &[ARCHITECTURE])?;
        offered("format", &wish("wish.format", "vmdk"), FORMATS)?;
        let number = profile.machine.strip_prefix("vmx-").unwrap_or_default();
        let version = offered("virtual hardware", number, VERSIONS)?.parse().unwrap_or(13);
        let guest = Guest::of(machine);
        Ok(Self {
            firmware: offered("firmware", &profile.firmware, FIRMWARES)?,
            disk_bus: offered("disk bus", &profile.disk_bus, DISK_BUSES)?,
            nic_model: offered("nic model", &profile.nic_model, NIC_MODELS)?,
            version,
            subformat: match is_live(machine) {
                true => "streamOptimized".into(),
                false => offered("subformat", &wish("wish.subformat", "monolithicSparse"), SUBFORMATS)?,
            },
            cores: cores(machine, &guest)?,
            guest: system::identifier(&guest, version),
        })
    }
}
