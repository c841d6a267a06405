//! What a target's disk bus and cards are to Solaris: names under which drivers ask for them (pci_boot.c of illumos: vendor and
//! device, class).

use crate::aliases::{Aliases, has_module};
use wherry_sdk::Tree;

/// Compatible names of a device, most specific first; of several lists each has to have a driver.
type Names = &'static [&'static [&'static str]];

/// Names of the disk buses' controllers.
const BUSES: &[(&str, Names)] = &[
    ("ide", &[&["pciclass,01018a", "pciclass,010180", "pciclass,0101"]]),
    ("ahci", &[&["pciclass,010601"]]),
    ("buslogic", &[&["pci104b,1040"]]),
    ("lsi-scsi", &[&["pci1000,30"]]),
    ("lsi-sas", &[&["pciex1000,54", "pci1000,54"]]),
    ("pvscsi", &[&["pciex15ad,7c0", "pci15ad,7c0"]]),
    ("nvme", &[&["pciexclass,010802", "pciclass,010802"]]),
    ("virtio-blk", &[&["pci1af4,1001"]]),
    ("virtio-scsi", &[&["pci1af4,1004"]]),
];
/// virtio devices that libvirt puts behind a PCI Express port of q35 are not transitional, and have other numbers
/// (virtio specification 1.1, 4.1.2).
const MODERN: &[(&str, &[&str])] = &[
    ("virtio-blk", &["pciex1af4,1042", "pci1af4,1042"]),
    ("virtio-scsi", &["pciex1af4,1048", "pci1af4,1048"]),
];
/// Names of the cards. The e1000 is 100e in QEMU and VirtualBox, 100f in VMware.
const CARDS: &[(&str, Names)] = &[
    ("e1000", &[&["pci8086,100e"], &["pci8086,100f"]]),
    ("e1000e", &[&["pciex8086,10d3", "pci8086,10d3"]]),
    ("vmxnet3", &[&["pciex15ad,7b0", "pci15ad,7b0"]]),
    ("virtio-net", &[&["pci1af4,1000"]]),
    ("rtl8139", &[&["pci10ec,8139"]]),
    ("pcnet", &[&["pci1022,2000"]]),
    ("tulip", &[&["pci1011,9"]]),
];

/// Drivers that have driven these devices ever since they were made, and the names by which driver_aliases gives them the device.
const MAKERS: &[(&str, &str, &[&str])] = &[
    ("ide", "pci-ide", &["pciclass,0101"]),
    ("ahci", "ahci", &["pciclass,010601"]),
    ("lsi-scsi", "mpt", &["pci1000,30"]),
    ("nvme", "nvme", &["pciexclass,010802"]),
    ("virtio-blk", "vioblk", &["pci1af4,1001"]),
    ("virtio-scsi", "vioscsi", &["pci1af4,1004"]),
    ("e1000", "e1000g", &["pci8086,100e", "pci8086,100f"]),
    ("virtio-net", "vioif", &["pci1af4,1000"]),
    ("rtl8139", "rtls", &["pci10ec,8139"]),
    ("pcnet", "pcn", &["pci1022,2000"]),
    ("tulip", "dnet", &["pci1011,9"]),
];

/// A device that its driver could be given: the module is there, and the table lacks the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The driver.
    pub driver: &'static str,
    /// Names of the device that the table lacks.
    pub aliases: Vec<&'static str>,
}

impl Claim {
    /// The guest's own command for it.
    pub fn command(&self) -> String {
        let aliases: Vec<String> = self.aliases.iter().map(|alias| format!("\"{alias}\"")).collect();
        format!("update_drv -a -i '{}' {}", aliases.join(" "), self.driver)
    }

    /// What that command writes into the table.
    pub fn lines(&self) -> String {
        self.aliases.iter().map(|alias| format!("{} \"{alias}\"\n", self.driver)).collect()
    }
}

/// What the device's driver could be given; none if that would not help.
pub fn claim(guest: &dyn Tree, aliases: &Aliases, device: &str) -> Option<Claim> {
    let (_, driver, names) = MAKERS.iter().find(|(name, ..)| *name == device)?;
    let lacking = names.iter().copied().filter(|alias| aliases.driver(&[alias]).is_none());
    let claim = Claim { driver, aliases: lacking.collect() };
    (!claim.aliases.is_empty() && has_module(guest, driver)).then_some(claim)
}

/// The guest's driver for a device, and whether the table knows the device at all.
#[derive(Debug, PartialEq, Eq)]
pub enum Driver {
    /// Its name.
    Found(String),
    /// The guest has none.
    Missing,
    /// No names are known for such a device.
    Unknown,
}

fn lookup(guest: &dyn Tree, aliases: &Aliases, table: &[(&str, Names)], device: &str) -> Driver {
    let Some((_, names)) = table.iter().find(|(name, _)| *name == device) else { return Driver::Unknown };
    let drivers: Option<Vec<&str>> = names.iter().map(|names| aliases.driver(names)).collect();
    let first = drivers.and_then(|drivers| drivers.first().map(|driver| (*driver).to_owned()));
    first.filter(|driver| has_module(guest, driver)).map_or(Driver::Missing, Driver::Found)
}

/// The driver of a disk bus.
pub fn disk_driver(guest: &dyn Tree, aliases: &Aliases, bus: &str) -> Driver {
    lookup(guest, aliases, BUSES, bus)
}

/// The driver of a card.
pub fn card_driver(guest: &dyn Tree, aliases: &Aliases, model: &str) -> Driver {
    lookup(guest, aliases, CARDS, model)
}

/// Whether the guest drives the bus where its devices are not transitional; none where that makes no difference.
pub fn drives_modern(aliases: &Aliases, bus: &str) -> Option<bool> {
    let (_, names) = MODERN.iter().find(|(name, _)| *name == bus)?;
    Some(aliases.driver(names).is_some())
}
