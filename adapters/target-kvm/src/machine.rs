//! The machine to make, checked: names that are safe in files, XML and shell, and where each disk goes.

use crate::choice::Choice;
use std::ops::Range;
use wherry_sdk::platform::{check_cards, check_name, check_size, disk_file, is_disk_file, sector_size};
use wherry_sdk::target::Machine;
use wherry_sdk::{Error, ErrorKind, Result};

/// What both boards take without an interrupt remapping unit (qemu-system-x86_64(1), `-smp`).
pub const CPUS_MOST: u32 = 255;
const NICS_MOST: usize = 8;
/// On the bus that has room for most.
pub const DISKS_MOST: usize = 60;
/// Bytes of a sector where nothing else is said, and of a large one.
pub const SECTOR: u32 = 512;
const LARGE_SECTOR: u32 = 4096;
/// The first card's slot on PCI bus 0; every definition puts the cards there.
const NIC_SLOT: usize = 8;

/// A disk and its file in the output directory.
pub struct Disk {
    pub file: String,
    /// Its turn in the boot order, from 1.
    pub boot: Option<usize>,
    /// Bytes of a logical sector.
    pub sector: u32,
}

/// A network interface.
pub struct Nic {
    pub mac: Option<String>,
    pub network: Option<String>,
}

/// A machine that can be written down without further checks.
pub struct Plan {
    pub name: String,
    pub cpus: u32,
    pub memory_mib: u64,
    pub disks: Vec<Disk>,
    pub nics: Vec<Nic>,
    pub choice: Choice,
}

impl Plan {
    pub fn new(machine: &Machine, choice: Choice) -> Result<Self> {
        check_name(&machine.name)?;
        check_size(machine, CPUS_MOST)?;
        check_nics(machine)?;
        check_room(machine, &choice.disk_bus)?;
        check_sectors(machine, &choice.disk_bus, &choice.firmware)?;
        let disks = disks(machine, &choice.format);
        let nic = |need: &wherry_sdk::target::NicNeed| Nic {
            mac: need.mac.as_ref().map(|mac| mac.to_ascii_lowercase()),
            network: need.network.clone(),
        };
        Ok(Self {
            name: machine.name.clone(),
            cpus: machine.cpus,
            memory_mib: machine.memory_mib,
            disks,
            nics: machine.nics.iter().map(nic).collect(),
            choice,
        })
    }

    /// A file of this machine.
    pub fn file(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.name)
    }

    /// One that a person would take for a disk of this machine.
    pub fn is_like_a_disk(&self, name: &str) -> bool {
        [".qcow2", "-0.qcow2", ".raw", "-0.raw"].iter().any(|suffix| name == self.file(suffix))
    }

    /// Every file that this machine may leave, except the claim itself.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = self.disks.iter().map(|disk| disk.file.clone()).collect();
        files.extend([self.file(".xml"), self.file(".sh")]);
        if self.choice.uefi() {
            // The second is what an interrupted first start leaves.
            files.extend([self.file("-vars.fd"), self.file("-vars.fd.new")]);
        }
        files
    }
}

/// The first disk is `NAME.qcow2`, others carry their index. Firmware tries the bootable ones in order; without
/// any, the first disk.
fn disks(machine: &Machine, format: &str) -> Vec<Disk> {
    let none_boots = !machine.disks.iter().any(|disk| disk.bootable);
    let mut turn = 0;
    let mut disks = Vec::new();
    for (position, need) in machine.disks.iter().enumerate() {
        let boots = need.bootable || (none_boots && position == 0);
        turn += usize::from(boots);
        let file = disk_file(machine, position, format);
        disks.push(Disk { file, boot: boots.then_some(turn), sector: sector_size(machine, need.index) });
    }
    disks
}

impl Disk {
    /// The properties that QEMU's device needs where sectors are not of its default size.
    pub fn sectors(&self) -> String {
        let Self { sector, .. } = self;
        match *sector {
            SECTOR => String::new(),
            _ => format!(",logical_block_size={sector},physical_block_size={sector}"),
        }
    }
}

/// IDE and AHCI disks have sectors of 512 bytes in QEMU (`ide-hd` refuses others), and SeaBIOS starts from no others on
/// any bus.
pub fn check_sectors(machine: &Machine, disk_bus: &str, firmware: &str) -> Result<()> {
    for (need, disk) in machine.disks.iter().zip(disks(machine, "")) {
        let (index, size) = (need.index, disk.sector);
        let what = format!("disk {index} has sectors of {size} bytes");
        if ![SECTOR, LARGE_SECTOR].contains(&size) {
            return invalid(format!("{what}; {SECTOR} and {LARGE_SECTOR} work here"));
        }
        if size != SECTOR && ["ahci", "ide"].contains(&disk_bus) {
            return invalid(format!(
                "{what}, which disks on {disk_bus} cannot have; wish for another disk-bus"
            ));
        }
        if size != SECTOR && firmware == "bios" && disk.boot.is_some() {
            let next = "only uefi starts from such a disk";
            return invalid(format!("{what}, and the machine would start from it by bios; {next}"));
        }
    }
    Ok(())
}

/// The slots of so many cards on PCI bus 0, as far as there is room.
pub fn nic_slots(cards: usize) -> Range<usize> {
    NIC_SLOT..NIC_SLOT + cards.min(NICS_MOST)
}

/// MAC addresses as libvirt takes them, networks by printable names.
pub fn check_nics(machine: &Machine) -> Result<()> {
    check_cards(machine)?;
    let mut networks = machine.nics.iter().filter_map(|nic| nic.network.as_deref());
    match networks.find(|network| network.contains('/')) {
        Some(network) => invalid(format!("{network:?} cannot be the name of a libvirt network")),
        None => Ok(()),
    }
}

/// Whether the devices have room: each disk on virtio-blk or NVMe takes a PCI slot, as does each card.
pub fn check_room(machine: &Machine, disk_bus: &str) -> Result<()> {
    let most = match disk_bus {
        "virtio-scsi" => DISKS_MOST,
        "ahci" => 24,
        // Two channels of two disks each.
        "ide" => 4,
        _ => 15,
    };
    let (disks, nics) = (machine.disks.len(), machine.nics.len());
    if disks > most {
        return invalid(format!("{disks} disks on {disk_bus}, where {most} have room; virtio-scsi has most"));
    }
    if nics > NICS_MOST {
        return invalid(format!("{nics} network cards, where {NICS_MOST} have room"));
    }
    Ok(())
}

/// `NAME.xml`, `NAME.sh`, `NAME-vars.fd`, `NAME.qcow2`, `NAME-3.qcow2` and the like.
pub fn could_be_ours(file: &str, machine: &str) -> bool {
    let others = [".xml", ".sh", "-vars.fd", "-vars.fd.new"];
    let other = file.strip_prefix(machine).is_some_and(|rest| others.contains(&rest));
    other || is_disk_file(file, machine, &["qcow2", "raw"])
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, message))
}
