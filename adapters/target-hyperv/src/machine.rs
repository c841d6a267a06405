//! The machine to make, checked: names that are safe in files and scripts, and where each disk goes.

use crate::choice::Choice;
use wherry_sdk::platform::{check_cards, check_name, check_size, disk_file, is_disk_file, sector_size, uuid};
use wherry_sdk::target::{Machine, NicNeed};
use wherry_sdk::{Error, ErrorKind, Fact, Result, fact};

/// Processors of both generations, on Windows Server 2016 and later (learn.microsoft.com, "Plan for Hyper-V scalability").
const CPUS_MOST: [u32; 2] = [64, 240];
/// Two controllers with two places each.
const IDE_MOST: usize = 4;
/// Places on one SCSI controller.
const SCSI_MOST: usize = 64;
/// Cards of a machine, legacy and others.
const CARDS_MOST: usize = 8;
const LEGACY_CARDS_MOST: usize = 4;
const VHD_MOST: u64 = 2040 << 30;
const VHDX_MOST: u64 = 64 << 40;
/// Of the disk that a BIOS starts from.
const BIOS_MOST: u64 = 2 << 40;
/// Memory is given in pieces of so many MiB.
const MEMORY_PIECE_MIB: u64 = 2;
const MEMORY_LEAST_MIB: u64 = 32;

/// A place on a controller.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place {
    /// `IDE` or `SCSI`, as the cmdlets call them.
    pub kind: &'static str,
    pub controller: usize,
    pub location: usize,
}

/// A disk and its file in the output directory.
pub struct Disk {
    pub file: String,
    pub place: Place,
    index: u32,
    sector: u32,
}

/// A network adapter.
pub struct Card {
    /// Twelve hexadecimal digits.
    pub mac: Option<String>,
    pub network: Option<String>,
}

/// A machine that can be written down without further checks.
pub struct Plan {
    pub name: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// In the source's order.
    pub disks: Vec<Disk>,
    /// The one that the machine starts from.
    pub boot: usize,
    pub cards: Vec<Card>,
    pub choice: Choice,
}

impl Plan {
    pub fn new(machine: &Machine, choice: Choice) -> Result<Self> {
        let second = choice.generation == 2;
        check_name(&machine.name)?;
        check(machine, second)?;
        check_cards(machine)?;
        check_room(machine, choice.all_ide, choice.legacy_cards)?;
        check_disks(machine, &choice.format, second, choice.all_ide)?;
        let card = |need: &NicNeed| Card {
            mac: need.mac.as_ref().map(|mac| mac.replace(':', "").to_ascii_uppercase()),
            network: need.network.clone(),
        };
        Ok(Self {
            name: machine.name.clone(),
            cpus: machine.cpus,
            memory_mib: machine.memory_mib.next_multiple_of(MEMORY_PIECE_MIB),
            disks: disks(machine, &choice),
            boot: boot(machine),
            cards: machine.nics.iter().map(card).collect(),
            choice,
        })
    }

    /// A file of this machine.
    pub fn file(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.name)
    }

    /// One that a person would take for a disk of this machine.
    pub fn is_like_a_disk(&self, name: &str) -> bool {
        [".vhdx", "-0.vhdx", ".vhd", "-0.vhd"].iter().any(|suffix| name == self.file(suffix))
    }

    /// Every file that this machine may leave, except the claim itself.
    pub fn files(&self) -> Vec<String> {
        let disks = self.disks.iter().map(|disk| disk.file.clone());
        disks.chain([self.file(".ps1")]).collect()
    }
}

impl Disk {
    /// For the format's writer. Disks of one identifier would be taken for one disk.
    pub fn options(&self, choice: &Choice, key: &str) -> Vec<Fact> {
        let mut options = vec![
            fact("subformat", &choice.subformat),
            fact("uuid", uuid(key, &format!("disk {}", self.index))),
        ];
        if self.sector != 512 {
            options.push(fact("sector-size", self.sector));
        }
        options
    }
}

/// The first that boots, or else the first.
fn boot(machine: &Machine) -> usize {
    machine.disks.iter().position(|disk| disk.bootable).unwrap_or(0)
}

/// The disk that the machine starts from comes first: a BIOS tries nothing else.
fn disks(machine: &Machine, choice: &Choice) -> Vec<Disk> {
    let boot = boot(machine);
    let turn = |position: usize| match position {
        position if position == boot => 0,
        position => position + usize::from(position < boot),
    };
    let disk = |(position, need): (usize, &wherry_sdk::target::DiskNeed)| Disk {
        file: disk_file(machine, position, &choice.format),
        place: place(turn(position), choice),
        index: need.index,
        sector: sector_size(machine, need.index),
    };
    machine.disks.iter().enumerate().map(disk).collect()
}

fn place(turn: usize, choice: &Choice) -> Place {
    let scsi = |location| Place { kind: "SCSI", controller: 0, location };
    match (choice.generation, turn) {
        (1, turn) if choice.all_ide || turn == 0 => {
            Place { kind: "IDE", controller: turn / 2, location: turn % 2 }
        }
        (1, turn) => scsi(turn - 1),
        (_, turn) => scsi(turn),
    }
}

/// Numbers that Hyper-V would refuse.
pub fn check(machine: &Machine, second: bool) -> Result<()> {
    check_size(machine, CPUS_MOST[usize::from(second)])?;
    if machine.memory_mib < MEMORY_LEAST_MIB {
        return invalid(format!(
            "{} MiB of memory, where {MEMORY_LEAST_MIB} are the least",
            machine.memory_mib
        ));
    }
    Ok(())
}

/// Whether the devices have room.
pub fn check_room(machine: &Machine, all_ide: bool, legacy: bool) -> Result<()> {
    let (disks, cards) = (machine.disks.len(), machine.nics.len());
    if all_ide && disks > IDE_MOST {
        return invalid(format!("{disks} disks on ide, where {IDE_MOST} have room"));
    }
    if disks > SCSI_MOST {
        return invalid(format!("{disks} disks, where {SCSI_MOST} have room"));
    }
    let most = if legacy { LEGACY_CARDS_MOST } else { CARDS_MOST };
    if cards > most {
        return invalid(format!("{cards} network cards, where {most} of this model have room"));
    }
    Ok(())
}

/// Sizes and sectors that a format, the IDE controller or a BIOS cannot have.
pub fn check_disks(machine: &Machine, format: &str, second: bool, all_ide: bool) -> Result<()> {
    let most = if format == "vhd" { VHD_MOST } else { VHDX_MOST };
    for (position, need) in machine.disks.iter().enumerate() {
        let (index, size, sector) = (need.index, need.virtual_size, sector_size(machine, need.index));
        let starts = position == boot(machine);
        if size > most {
            return invalid(format!("disk {index} has {size} bytes, where {format} holds {most}"));
        }
        if starts && !second && size > BIOS_MOST {
            return invalid(format!(
                "disk {index} has {size} bytes, and generation 1 starts from 2 TiB at most"
            ));
        }
        if ![512, 4096].contains(&sector) {
            return invalid(format!("disk {index} has sectors of {sector} bytes; 512 and 4096 work here"));
        }
        let ide = !second && (starts || all_ide);
        if sector == 4096 && (format == "vhd" || ide) {
            let holder = if format == "vhd" { "vhd" } else { "ide" };
            return invalid(format!("disk {index} has sectors of 4096 bytes, which {holder} does not have"));
        }
    }
    Ok(())
}

/// `NAME.ps1`, `NAME.vhdx`, `NAME-3.vhd` and the like.
pub fn could_be_ours(file: &str, machine: &str) -> bool {
    file.strip_prefix(machine) == Some(".ps1") || is_disk_file(file, machine, &["vhdx", "vhd"])
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, message))
}
