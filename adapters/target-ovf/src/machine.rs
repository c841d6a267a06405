//! The machine to make, checked: names that are safe in files and XML, and where each disk goes.

use crate::choice::Choice;
use wherry_sdk::platform::{check_cards, check_name, check_size};
use wherry_sdk::target::{DiskNeed, Machine, NicNeed};
use wherry_sdk::{Error, ErrorKind, Result, find};

/// What ESXi 6.5 gives a machine; others have less.
const CPUS_MOST: u32 = 128;
/// VirtualBox has 8 cards with the default chipset, VMware 10.
const CARDS_MOST: usize = 8;

/// A disk and its file in the output directory.
pub struct Disk {
    pub index: u32,
    pub file: String,
    pub capacity: u64,
}

/// What the host says of a finished file.
pub struct Stored {
    pub size: u64,
    pub sha256: String,
}

impl Disk {
    /// By the facts that `needs` in the capabilities asks for.
    pub fn stored(&self, machine: &Machine) -> Result<Stored> {
        let said = |what: &str| find(&machine.facts, &format!("disk.{}.{what}", self.index));
        let size = said("stored-size").and_then(|size| size.parse().ok());
        let hex = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match (size, said("sha256").filter(hex)) {
            (Some(size), Some(sha256)) => Ok(Stored { size, sha256: sha256.to_owned() }),
            _ => invalid(format!(
                "the size and digest of {} are not known, so no manifest can be written",
                self.file
            )),
        }
    }
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
    /// Those that firmware starts from first.
    pub disks: Vec<Disk>,
    pub cards: Vec<Card>,
    pub choice: Choice,
    /// Whether the host packs it into a container.
    pub packed: bool,
}

impl Plan {
    pub fn new(machine: &Machine, choice: Choice) -> Result<Self> {
        check_name(&machine.name)?;
        check(machine)?;
        check_room(machine, &choice.disk_bus)?;
        if let Some(index) = large_sectors(machine) {
            return invalid(format!("disk {index} has sectors of 4096 bytes, and VMDK knows 512 alone"));
        }
        // Importers start from the first disk.
        let mut order: Vec<_> = machine.disks.iter().collect();
        order.sort_by_key(|need| !need.bootable);
        let disk = |(place, need): (usize, &&DiskNeed)| Disk {
            index: need.index,
            file: format!("{}-disk{}.vmdk", machine.name, place + 1),
            capacity: need.virtual_size,
        };
        let disks: Vec<Disk> = order.iter().enumerate().map(disk).collect();
        Ok(Self {
            name: machine.name.clone(),
            cpus: machine.cpus,
            memory_mib: machine.memory_mib,
            disks,
            cards: cards(machine, &choice),
            choice,
            packed: is_packed(machine),
        })
    }

    /// A file of this machine.
    pub fn file(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.name)
    }

    /// Every file that this machine may leave, except the claim itself.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = self.disks.iter().map(|disk| disk.file.clone()).collect();
        files.extend([self.file(".ovf"), self.file(".mf")]);
        files.extend(self.packed.then(|| self.file(".ova")));
        files
    }
}

/// Whether the operator said `ova`.
pub fn is_packed(machine: &Machine) -> bool {
    find(&machine.facts, "target.name") == Some("ova")
}

/// A network that was named, else the one the source had, else what the importer knows.
fn cards(machine: &Machine, choice: &Choice) -> Vec<Card> {
    let usual = match choice.flavour {
        crate::choice::Flavour::VMware => "VM Network",
        crate::choice::Flavour::VirtualBox => "NAT",
        crate::choice::Flavour::Dmtf => "network",
    };
    let card = |(number, need): (usize, &NicNeed)| {
        let had = find(&machine.facts, &format!("source.nic.{number}.network")).map(str::to_owned);
        Card {
            mac: need.mac.as_ref().map(|mac| mac.to_ascii_lowercase()),
            network: need.network.clone().or(had).unwrap_or_else(|| usual.to_owned()),
        }
    };
    machine.nics.iter().enumerate().map(card).collect()
}

/// Numbers that importers would refuse.
pub fn check(machine: &Machine) -> Result<()> {
    check_size(machine, CPUS_MOST)?;
    check_cards(machine)
}

/// Places on one controller: 15 on a SCSI bus (7 is the controller's own), 30 on AHCI, 15 on NVMe.
pub fn check_room(machine: &Machine, disk_bus: &str) -> Result<()> {
    let most = if disk_bus == "ahci" { 30 } else { 15 };
    let (disks, cards) = (machine.disks.len(), machine.nics.len());
    if disks > most {
        return invalid(format!("{disks} disks on {disk_bus}, where {most} have room"));
    }
    if cards > CARDS_MOST {
        return invalid(format!("{cards} network cards, where {CARDS_MOST} have room"));
    }
    Ok(())
}

/// The first disk whose sectors are not of 512 bytes.
pub fn large_sectors(machine: &Machine) -> Option<u32> {
    let large = |index: u32| {
        find(&machine.facts, &format!("disk.{index}.sector-size")).is_some_and(|size| size != "512")
    };
    machine.disks.iter().map(|disk| disk.index).find(|index| large(*index))
}

/// `NAME.ovf`, `NAME.mf`, `NAME.ova`, `NAME-disk1.vmdk` and the like.
pub fn could_be_ours(file: &str, machine: &str) -> bool {
    let Some(rest) = file.strip_prefix(machine) else { return false };
    let number = rest.strip_prefix("-disk").and_then(|rest| rest.strip_suffix(".vmdk"));
    let numbered = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    [".ovf", ".mf", ".ova"].contains(&rest) || number.is_some_and(numbered)
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, message))
}
