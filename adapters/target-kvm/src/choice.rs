//! What the operator may wish for, and the device profile that follows from it.

use crate::machine;
use crate::place::Place;
use wherry_sdk::guest::{Guest, Solaris};
use wherry_sdk::platform::{
    check_name, check_size, firmware_assumed, offered, other_architecture, same_macs, unknown_wishes, wished,
};
use wherry_sdk::target::{Machine, Offer};
use wherry_sdk::{Concern, DeviceProfile, Fact, Result, Severity, concern, fact, find};

const DISK_BUSES: &[&str] = &["virtio-blk", "virtio-scsi", "ahci", "nvme", "ide"];
const NIC_MODELS: &[&str] = &["virtio-net", "e1000", "e1000e", "rtl8139", "pcnet"];
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
    /// The kernel's version if the guest is a Windows.
    pub windows: Option<(u32, u32)>,
}

/// What a guest gets that nobody wishes anything for: disk bus, card, board. A Windows has drivers of its own for these, and so
/// has a Solaris.
fn usual(machine: &Machine) -> [&'static str; 3] {
    let guest = Guest::of(machine);
    match guest.solaris() {
        Some(Solaris::Ten) => return ["ide", "e1000", "i440fx"],
        Some(_) => return ["ahci", "e1000", "q35"],
        None => {}
    }
    match guest.windows.map(|windows| windows.kernel) {
        None => [DISK_BUSES[0], NIC_MODELS[0], MACHINES[0]],
        Some((..=4, _)) => ["ide", "pcnet", "i440fx"],
        Some((5, _)) => ["ide", "rtl8139", "i440fx"],
        // Not e1000e: it has a serial number, and whether Windows names it by that or by its place is not known.
        Some(_) => ["ahci", "e1000", "q35"],
    }
}

/// All values, the usual one first.
fn first(usual: &'static str, all: &[&'static str]) -> Vec<&'static str> {
    let others = all.iter().copied().filter(|value| *value != usual);
    std::iter::once(usual).chain(others).collect()
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
    let [disk_bus, nic_model, board] = usual(machine);
    let disk_bus = wish("wish.disk-bus", &first(disk_bus, DISK_BUSES));
    let nic_model = wish("wish.nic-model", &first(nic_model, NIC_MODELS));
    let board = wish("wish.machine", &first(if disk_bus == "ide" { "i440fx" } else { board }, MACHINES));
    let format = wish("wish.format", FORMATS);
    wish("wish.compression", COMPRESSIONS);
    let firmware = wish("firmware", FIRMWARES);
    concerns.extend(firmware_assumed(machine, "kvm"));
    let known = ["disk-bus", "nic-model", "machine", "format", "cluster-size", "compression"];
    concerns.extend(unknown_wishes(machine, &known, "kvm"));
    concerns.extend(odd_machine(machine, disk_bus, firmware));
    if disk_bus == "ide" && board != "i440fx" {
        let message = format!("the board {board} has no IDE controller");
        concerns.push(blocking("kvm.machine", message, "choose the board i440fx, or disks on ahci"));
    }
    concerns.extend(same_macs(machine, "kvm"));
    concerns.extend(useless_options(machine, format));
    let mut facts = vec![fact("serial-console", SERIAL_CONSOLE)];
    let slots = machine::nic_slots(machine.nics.len()).enumerate();
    facts.extend(slots.map(|(n, slot)| fact(format!("nic.{n}.slot"), format!("0000:00:{slot:02x}.0"))));
    // more than there is room for is refused
    let disks = machine.disks.iter().take(machine::DISKS_MOST).enumerate();
    facts.extend(disks.map(|(number, need)| {
        let place = Place::of(disk_bus, board, number);
        fact(format!("disk.{}.slot", need.index), place.told(disk_bus))
    }));
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
    let mut concerns: Vec<_> = other_architecture(machine, "kvm").into_iter().collect();
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
    /// A processor whose features NT 4.0 and 2000 can count, for those.
    pub fn old_processor(&self) -> Option<&'static str> {
        self.windows.filter(|kernel| *kernel < (5, 1)).map(|_| "pentium3")
    }

    /// The profile as it came back from the host, which may have been edited or stored meanwhile.
    pub fn from_profile(machine: &Machine, profile: &DeviceProfile) -> Result<Self> {
        offered("architecture", &profile.architecture, &[ARCHITECTURE])?;
        let format = find(&machine.facts, "wish.format").unwrap_or("qcow2");
        let compression = find(&machine.facts, "wish.compression");
        offered("compression", compression.unwrap_or("none"), COMPRESSIONS)?;
        let mut disk_options = Vec::new();
        if format == "qcow2" {
            let wish = |key| find(&machine.facts, &format!("wish.{key}")).map(|value| fact(key, value));
            disk_options.extend(["cluster-size", "compression"].into_iter().filter_map(wish));
        }
        Ok(Self {
            firmware: offered("firmware", &profile.firmware, FIRMWARES)?,
            disk_bus: offered("disk bus", &profile.disk_bus, DISK_BUSES)?,
            nic_model: offered("nic model", &profile.nic_model, NIC_MODELS)?,
            machine: offered("machine", &profile.machine, MACHINES)?,
            format: offered("format", format, FORMATS)?,
            disk_options,
            windows: Guest::of(machine).windows.map(|windows| windows.kernel),
        })
    }

    pub fn uefi(&self) -> bool {
        self.firmware == "uefi"
    }
}
