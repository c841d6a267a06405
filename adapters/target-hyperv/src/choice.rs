//! What the operator may wish for, and the device profile that follows from it.

use crate::machine;
use wherry_sdk::guest::Guest;
use wherry_sdk::platform::{
    check_cards, check_name, firmware_assumed, offered, other_architecture, same_macs, unknown_wishes, wished,
};
use wherry_sdk::target::{Machine, Offer};
use wherry_sdk::{Concern, DeviceProfile, Error, ErrorKind, Fact, Result, Severity, concern, fact, find};

const MACHINES: &[&str] = &["generation-1", "generation-2"];
const DISK_BUSES: &[&str] = &["ide", "hyperv-scsi"];
const NIC_MODELS: &[&str] = &["hyperv-net", "tulip"];
const FIRMWARES: &[&str] = &["bios", "uefi", "uefi-secure-boot"];
const FORMATS: &[&str] = &["vhdx", "vhd"];
const SUBFORMATS: &[&str] = &["dynamic", "fixed"];
const SECURE_BOOTS: &[&str] = &["off", "on"];
const ARCHITECTURE: &str = "x86_64";
/// The profile's word for where further disks are; the others are on `disk-bus`.
const FURTHER: &str = "disk-bus.further";

/// Signers that secure boot accepts (Set-VMFirmware, `-SecureBootTemplate`).
#[derive(Clone, Copy, PartialEq)]
pub enum Template {
    Windows,
    /// Microsoft's signature for others, with which shim is signed.
    Others,
}

/// Everything with alternatives, decided.
pub struct Choice {
    /// 1 or 2.
    pub generation: u8,
    /// None: secure boot is off.
    pub secure_boot: Option<Template>,
    /// All disks are on the IDE controllers, not the first one alone.
    pub all_ide: bool,
    pub legacy_cards: bool,
    pub format: String,
    pub subformat: String,
    /// Hide what NT 4 stumbles over in new processors.
    pub old_processor: bool,
}

/// A fact for each value; the first of each key is the default where the guest needs no other.
pub fn capabilities() -> Vec<Fact> {
    let lists = [
        ("machine", MACHINES),
        ("disk-bus", DISK_BUSES),
        ("nic-model", NIC_MODELS),
        ("firmware", FIRMWARES),
        ("secure-boot", SECURE_BOOTS),
        ("format", FORMATS),
        ("subformat", SUBFORMATS),
        ("architecture", &[ARCHITECTURE]),
    ];
    lists.iter().flat_map(|(key, values)| values.iter().map(move |value| fact(*key, value))).collect()
}

/// The values that fit a machine, the default first.
struct Fitting {
    buses: Vec<&'static str>,
    cards: Vec<&'static str>,
}

impl Fitting {
    fn of(guest: &Guest<'_>, generation: &str) -> Self {
        if generation == "generation-2" {
            return Self { buses: vec!["hyperv-scsi"], cards: vec!["hyperv-net"] };
        }
        // Windows starts from the IDE disk by its IDE driver. Linux leaves that disk to its Hyper-V driver (ata_piix,
        // `prefer_ms_hyperv`), so that it needs the latter.
        let linux = guest.windows.is_none() && !guest.id.is_empty();
        let buses = if linux { vec!["hyperv-scsi", "ide"] } else { vec!["ide", "hyperv-scsi"] };
        // Windows has had a driver of its own for the synthetic card since 7 and 2008 R2, and still has one for the other.
        let old = guest.windows.is_some_and(|windows| windows.kernel < (6, 1));
        let cards = if old { vec!["tulip", "hyperv-net"] } else { vec!["hyperv-net", "tulip"] };
        Self { buses, cards }
    }
}

/// The profile of `machine`, and what speaks against it.
pub fn offer(machine: &Machine) -> Offer {
    let mut concerns = Vec::new();
    let mut wish = |key: &str, known: &[&'static str]| wished(machine, key, known, "hyperv", &mut concerns);
    let found = wish("firmware", FIRMWARES);
    let usual = if found == "bios" { MACHINES } else { &["generation-2", "generation-1"] };
    let generation = wish("wish.machine", usual);
    let guest = Guest::of(machine);
    let fitting = Fitting::of(&guest, generation);
    let disk_bus = wish("wish.disk-bus", &fitting.buses);
    let nic_model = wish("wish.nic-model", &fitting.cards);
    let secure: &[&str] = if found == "uefi-secure-boot" { &["on", "off"] } else { SECURE_BOOTS };
    let secure = wish("wish.secure-boot", secure) == "on";
    let format = wish("wish.format", FORMATS);
    wish("wish.subformat", SUBFORMATS);
    let known = ["machine", "disk-bus", "nic-model", "secure-boot", "format", "subformat"];
    let live: &[&str] = if crate::live::is_live(machine) { &crate::live::WISHES } else { &[] };
    concerns.extend(unknown_wishes(machine, &[&known[..], live].concat(), "hyperv"));
    concerns.extend(firmware_assumed(machine, "hyperv"));
    concerns.extend(same_macs(machine, "hyperv"));
    concerns.extend(other_architecture(machine, "hyperv"));
    let firmware = match (generation, secure) {
        ("generation-1", _) => "bios",
        (_, false) => "uefi",
        (_, true) => "uefi-secure-boot",
    };
    let mut facts = Vec::new();
    if disk_bus == "ide" && machine.disks.len() > 1 && !stays_on_ide(machine, &guest) {
        facts.push(fact(FURTHER, "hyperv-scsi"));
    }
    let profile = DeviceProfile {
        firmware: firmware.into(),
        disk_bus: disk_bus.into(),
        nic_model: nic_model.into(),
        architecture: ARCHITECTURE.into(),
        machine: generation.into(),
        facts,
    };
    concerns.extend(odd_firmware(found, generation, secure));
    concerns.extend(odd_guest(&guest, generation, nic_model));
    concerns.extend(odd_machine(machine, &profile, format));
    Offer { profile, concerns }
}

/// Whether further disks are on IDE as well: where that was wished for, and where Windows has no driver of its own for the
/// synthetic controller (before 7 and 2008 R2).
fn stays_on_ide(machine: &Machine, guest: &Guest<'_>) -> bool {
    let old = guest.windows.is_some_and(|windows| windows.kernel < (6, 1));
    old || find(&machine.facts, "wish.disk-bus") == Some("ide")
}

/// A generation has one firmware.
fn odd_firmware(found: &str, generation: &str, secure: bool) -> Vec<Concern> {
    let mut concerns = Vec::new();
    if (found == "bios") != (generation == "generation-1") {
        let only = if generation == "generation-1" { "bios" } else { "uefi" };
        let message = format!("the source starts by {found}, and machines of {generation} by {only} alone");
        concerns.push(blocking("hyperv.firmware", message, "leave out the wish for `machine`"));
    }
    if secure && generation == "generation-1" {
        let message = "machines of generation 1 have no secure boot".into();
        concerns.push(blocking("hyperv.secure-boot", message, "wish for secure-boot=off"));
    }
    concerns
}

/// What the guest cannot do with such a machine (learn.microsoft.com, "Should I create a generation 1 or 2 virtual machine").
fn odd_guest(guest: &Guest<'_>, generation: &str, nic_model: &str) -> Vec<Concern> {
    let mut concerns = Vec::new();
    let second = generation == "generation-2";
    if second && (!guest.is_wide || guest.windows.is_some_and(|windows| windows.kernel < (6, 2))) {
        let message =
            "generation 2 runs systems of 64 bits alone, and Windows from 8 and Server 2012 on".into();
        let remedy = "make it start by BIOS first, or use another target";
        concerns.push(blocking("hyperv.generation-2", message, remedy));
    }
    let old = guest.windows.filter(|windows| windows.kernel < (6, 1));
    let told = match (old, nic_model) {
        (Some(windows), "tulip") if windows.kernel == (5, 2) && guest.is_wide => {
            "Windows XP and 2003 of 64 bits have no driver for the legacy network adapter"
        }
        (Some(_), "hyperv-net") => {
            "this Windows has no driver of its own for the network adapter; it needs the integration services"
        }
        _ => return concerns,
    };
    let remedy = "install the integration services in the guest, or connect it otherwise";
    concerns.push(concern(Severity::Warning, "hyperv.card-driver", told, Some(remedy)));
    concerns
}

/// What no choice of devices can cure.
fn odd_machine(machine: &Machine, profile: &DeviceProfile, format: &str) -> Vec<Concern> {
    let second = profile.machine == "generation-2";
    let mut concerns = Vec::new();
    if second && format == "vhd" {
        let message = "machines of generation 2 take no disks in the format vhd".into();
        concerns.push(blocking("hyperv.format", message, "wish for format=vhdx"));
    }
    let all_ide = is_all_ide(profile);
    if let Err(error) = machine::check_disks(machine, format, second, all_ide) {
        concerns.push(blocking("hyperv.disk", error.message, "see the README of target-hyperv"));
    }
    let legacy = profile.nic_model == "tulip";
    let checks = [
        check_name(&machine.name),
        machine::check(machine, second),
        check_cards(machine),
        machine::check_room(machine, all_ide, legacy),
    ];
    let odd = checks.into_iter().filter_map(|check| check.err());
    concerns.extend(odd.map(|e| blocking("hyperv.machine", e.message, "change the machine's description")));
    concerns
}

fn is_all_ide(profile: &DeviceProfile) -> bool {
    profile.disk_bus == "ide" && find(&profile.facts, FURTHER).is_none()
}

fn blocking(id: &str, message: String, remedy: &str) -> Concern {
    concern(Severity::Blocking, id, message, Some(remedy))
}

impl Choice {
    /// The profile as it came back from the host, which may have been edited or stored meanwhile.
    pub fn from_profile(machine: &Machine, profile: &DeviceProfile) -> Result<Self> {
        offered("architecture", &profile.architecture, &[ARCHITECTURE])?;
        offered("firmware", &profile.firmware, FIRMWARES)?;
        offered("disk bus", &profile.disk_bus, DISK_BUSES)?;
        offered("nic model", &profile.nic_model, NIC_MODELS)?;
        let second = offered("machine", &profile.machine, MACHINES)? == "generation-2";
        let devices = (profile.disk_bus.as_str(), profile.nic_model.as_str());
        if second == (profile.firmware == "bios") || (second && devices != ("hyperv-scsi", "hyperv-net")) {
            let message = format!("{} has no {} or no such devices", profile.machine, profile.firmware);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let wish = |key: &str, usual: &'static str| find(&machine.facts, key).unwrap_or(usual).to_owned();
        let guest = Guest::of(machine);
        let template = if guest.windows.is_some() { Template::Windows } else { Template::Others };
        Ok(Self {
            generation: if second { 2 } else { 1 },
            secure_boot: (profile.firmware == "uefi-secure-boot").then_some(template),
            all_ide: is_all_ide(profile),
            legacy_cards: profile.nic_model == "tulip",
            format: offered("format", &wish("wish.format", "vhdx"), FORMATS)?,
            subformat: offered("subformat", &wish("wish.subformat", "dynamic"), SUBFORMATS)?,
            old_processor: guest.windows.is_some_and(|windows| windows.kernel < (5, 0)),
        })
    }
}
