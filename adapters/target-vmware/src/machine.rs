//! The machine to make, checked: names that are safe in files, and where each disk goes.

use crate::choice::Choice;
use wherry_sdk::platform::{
    check_cards, check_name, check_size, disk_file, identity, is_disk_file, sector_size,
};
use wherry_sdk::target::{DiskNeed, Machine, NicNeed};
use wherry_sdk::{Error, ErrorKind, Fact, Result, fact, find};

/// What hardware 13 gives a machine (VMware's configuration maximums).
const CPUS_MOST: u32 = 128;
const CARDS_MOST: usize = 10;
const CONTROLLERS_MOST: usize = 4;
/// Places on a SCSI controller but its own, 7; NVMe has as many.
const SCSI_PLACES: usize = 15;
const SCSI_OWN: usize = 7;
const SATA_PLACES: usize = 30;
const MEMORY_PIECE_MIB: u64 = 4;
/// Of a VMDK.
const DISK_MOST: u64 = 62 << 40;
/// What no package or person said.
const USUAL_NETWORK: &str = "VM Network";

/// A disk, its file in the output directory and its place.
pub struct Disk {
    pub index: u32,
    pub file: String,
    /// bytes
    pub size: u64,
    pub controller: usize,
    pub unit: usize,
}

/// A network card.
pub struct Card {
    pub mac: Option<String>,
    pub network: String,
}

/// A machine that can be written down without further checks.
pub struct Plan {
    pub name: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// The one that firmware starts from first.
    pub disks: Vec<Disk>,
    pub cards: Vec<Card>,
    pub choice: Choice,
}

impl Plan {
    pub fn new(machine: &Machine, choice: Choice) -> Result<Self> {
        check_name(&machine.name)?;
        check(machine)?;
        check_cards(machine)?;
        check_room(machine, &choice.disk_bus)?;
        check_sectors(machine)?;
        Ok(Self {
            name: machine.name.clone(),
            cpus: machine.cpus,
            memory_mib: machine.memory_mib.next_multiple_of(MEMORY_PIECE_MIB),
            disks: disks(machine, &choice),
            cards: cards(machine),
            choice,
        })
    }

    /// A file of this machine.
    pub fn file(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.name)
    }

    /// One that a person would take for a disk of this machine.
    pub fn is_like_a_disk(&self, name: &str) -> bool {
        [".vmdk", "-0.vmdk"].iter().any(|suffix| name == self.file(suffix))
    }

    /// Every file that this machine may leave, except the claim itself. VMware makes the one with firmware's variables.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = self.disks.iter().map(|disk| disk.file.clone()).collect();
        files.extend([self.file(".vmx"), self.file(".nvram")]);
        files
    }

    /// For the format's writer. A VMDK's descriptor knows fewer controllers than there are.
    pub fn disk_options(&self, disk: &Disk, key: &str) -> Vec<Fact> {
        let adapter = match self.choice.disk_bus.as_str() {
            "ide" | "ahci" => "ide",
            "buslogic" => "buslogic",
            _ => "lsilogic",
        };
        let [a, b, c, d, ..] = identity(key, &format!("disk {}", disk.index));
        vec![
            fact("subformat", &self.choice.subformat),
            fact("adapter-type", adapter),
            fact("hardware-version", self.choice.version),
            // The last bit is clear, so that it is not the content id of no parent, `ffffffff`.
            fact("cid", format!("{a:02x}{b:02x}{c:02x}{:02x}", d & 0xfe)),
            fact("file-name", &disk.file),
        ]
    }
}

/// Controller and unit of each disk, by its index.
pub fn places(machine: &Machine, disk_bus: &str) -> Vec<(u32, usize, usize)> {
    let mut order: Vec<_> = machine.disks.iter().collect();
    order.sort_by_key(|need| !need.bootable);
    let place = |(turn, need): (usize, &&DiskNeed)| {
        let (controller, unit) = place(turn, disk_bus);
        (need.index, controller, unit)
    };
    order.iter().enumerate().map(place).collect()
}

/// Firmware starts from the first disk of the first controller.
fn disks(machine: &Machine, choice: &Choice) -> Vec<Disk> {
    let mut order: Vec<_> = machine.disks.iter().enumerate().collect();
    order.sort_by_key(|(_, need)| !need.bootable);
    let disk = |(turn, (position, need)): (usize, &(usize, &DiskNeed))| {
        let (controller, unit) = place(turn, &choice.disk_bus);
        let (index, file, size) = (need.index, disk_file(machine, *position, "vmdk"), need.virtual_size);
        Disk { index, file, size, controller, unit }
    };
    order.iter().enumerate().map(disk).collect()
}

/// Controller and unit of the disk with this turn.
fn place(turn: usize, disk_bus: &str) -> (usize, usize) {
    match disk_bus {
        "ide" => (turn / 2, turn % 2),
        "ahci" => (turn / SATA_PLACES, turn % SATA_PLACES),
        "nvme" => (turn / SCSI_PLACES, turn % SCSI_PLACES),
        _ => {
            let unit = turn % SCSI_PLACES;
            (turn / SCSI_PLACES, unit + usize::from(unit >= SCSI_OWN))
        }
    }
}

/// Whether this is one of the addresses that VMware gives to people (`00:50:56:00` to `00:50:56:3f`); others it takes only
/// unchecked.
pub fn is_own(mac: &str) -> bool {
    let rest = mac.strip_prefix("00:50:56:").and_then(|rest| rest.get(..2));
    rest.and_then(|byte| u8::from_str_radix(byte, 16).ok()).is_some_and(|byte| byte < 0x40)
}

/// A network that was named, else the one the source had, else what ESXi has.
fn cards(machine: &Machine) -> Vec<Card> {
    let card = |(number, need): (usize, &NicNeed)| {
        let had = find(&machine.facts, &format!("source.nic.{number}.network")).map(str::to_owned);
        Card {
            mac: need.mac.as_ref().map(|mac| mac.to_ascii_lowercase()),
            network: need.network.clone().or(had).unwrap_or_else(|| USUAL_NETWORK.to_owned()),
        }
    };
    machine.nics.iter().enumerate().map(card).collect()
}

/// Numbers that VMware would refuse.
pub fn check(machine: &Machine) -> Result<()> {
    check_size(machine, CPUS_MOST)?;
    match machine.disks.iter().find(|disk| disk.virtual_size > DISK_MOST) {
        Some(disk) => {
            invalid(format!("disk {} has {} bytes; 62 TiB are the most", disk.index, disk.virtual_size))
        }
        None => Ok(()),
    }
}

/// Sockets are whole.
pub fn check_cores(cpus: u32, cores: u32) -> Result<()> {
    if cores == 0 || !cpus.is_multiple_of(cores) {
        return invalid(format!("{cpus} processors cannot be had with {cores} cores in each socket"));
    }
    Ok(())
}

/// Whether the devices have room.
pub fn check_room(machine: &Machine, disk_bus: &str) -> Result<()> {
    let most = match disk_bus {
        "ide" => 4,
        "ahci" => SATA_PLACES * CONTROLLERS_MOST,
        _ => SCSI_PLACES * CONTROLLERS_MOST,
    };
    let (disks, cards) = (machine.disks.len(), machine.nics.len());
    if disks > most {
        return invalid(format!("{disks} disks on {disk_bus}, where {most} have room"));
    }
    if cards > CARDS_MOST {
        return invalid(format!("{cards} network cards, where {CARDS_MOST} have room"));
    }
    Ok(())
}

/// VMDK has sectors of 512 bytes.
pub fn check_sectors(machine: &Machine) -> Result<()> {
    let large = |index: &u32| sector_size(machine, *index) != 512;
    match machine.disks.iter().map(|disk| disk.index).find(large) {
        Some(index) => {
            let size = sector_size(machine, index);
            invalid(format!("disk {index} has sectors of {size} bytes, and VMDK knows 512 alone"))
        }
        None => Ok(()),
    }
}

/// `NAME.vmx`, `NAME.nvram`, `NAME.vmdk`, `NAME-3.vmdk` and the like.
pub fn could_be_ours(file: &str, machine: &str) -> bool {
    let other = file.strip_prefix(machine).is_some_and(|rest| [".vmx", ".nvram"].contains(&rest));
    other || is_disk_file(file, machine, &["vmdk"])
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, message))
}
