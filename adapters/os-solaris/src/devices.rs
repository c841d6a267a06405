//! What a target's disk bus and cards are to Solaris: names under which drivers ask for them (pci_boot.c of illumos: vendor and
//! device, class), and where the disks are in the device tree.

use crate::aliases::{Aliases, has_module};
use wherry_sdk::{DeviceProfile, Tree};

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
/// SCSI's own target, which no disk has (VMware's adapters).
const SCSI_OWN: u32 = 7;

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

/// Where one disk is going to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `/pci@0,0/pci-ide@1,1/ide@0/cmdk@0,0`
    pub path: String,
    /// Its name below `/dev/dsk`, without the slice. The number of the controller is ours to choose: links that are there
    /// tell devfsadm which it is.
    pub name: String,
    /// Whether nothing but this place is possible.
    pub certain: bool,
}

/// The place of the target's disk with this number; none where the profile does not say.
pub fn place(profile: &DeviceProfile, disk: u32) -> Option<Place> {
    let vmware = profile.machine.starts_with("vmx-");
    match profile.disk_bus.as_str() {
        "ide" => {
            // PIIX3's function for disks, or PIIX4's
            let function = match profile.machine.as_str() {
                "i440fx" | "xenfv" => "1,1",
                "generation-1" => "7,1",
                other if other.starts_with("virtualbox") => "1,1",
                _ if vmware => "7,1",
                _ => return None,
            };
            let (channel, unit) = (disk / 2, disk % 2);
            let path = format!("/pci@0,0/pci-ide@{function}/ide@{channel}/cmdk@{unit},0");
            (channel < 2).then(|| Place { path, name: format!("c{channel}d{unit}"), certain: true })
        }
        bus @ ("lsi-scsi" | "lsi-sas") if vmware => {
            let target = disk + u32::from(disk >= SCSI_OWN);
            // VMware gives the first adapter these slots, unless they are taken: 16, and 160, which is behind the first bridge at 15
            let controller =
                if bus == "lsi-scsi" { "pci15ad,1976@10" } else { "pci15ad,7a0@15/pci15ad,1976@0" };
            let path = format!("/pci@0,0/{controller}/sd@{target:x},0");
            (target < 16).then(|| Place { path, name: format!("c0t{target}d0"), certain: false })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(bus: &str, machine: &str) -> DeviceProfile {
        DeviceProfile {
            firmware: "bios".into(),
            disk_bus: bus.into(),
            nic_model: "e1000".into(),
            architecture: "x86_64".into(),
            machine: machine.into(),
            facts: Vec::new(),
        }
    }

    #[test]
    fn places() {
        for (bus, machine, disk, expected) in [
            ("ide", "i440fx", 0, Some(("/pci@0,0/pci-ide@1,1/ide@0/cmdk@0,0", "c0d0"))),
            ("ide", "i440fx", 3, Some(("/pci@0,0/pci-ide@1,1/ide@1/cmdk@1,0", "c1d1"))),
            ("ide", "i440fx", 4, None),
            ("ide", "vmx-13", 1, Some(("/pci@0,0/pci-ide@7,1/ide@0/cmdk@1,0", "c0d1"))),
            ("ide", "q35", 0, None),
            ("lsi-scsi", "vmx-13", 0, Some(("/pci@0,0/pci15ad,1976@10/sd@0,0", "c0t0d0"))),
            ("lsi-scsi", "vmx-13", 9, Some(("/pci@0,0/pci15ad,1976@10/sd@a,0", "c0t10d0"))),
            ("lsi-scsi", "vmx-13", 15, None),
            ("lsi-sas", "vmx-13", 7, Some(("/pci@0,0/pci15ad,7a0@15/pci15ad,1976@0/sd@8,0", "c0t8d0"))),
            ("ahci", "q35", 0, None),
            ("virtio-blk", "i440fx", 0, None),
        ] {
            let found = place(&profile(bus, machine), disk);
            let found = found.as_ref().map(|place| (place.path.as_str(), place.name.as_str()));
            assert_eq!(found, expected, "{bus} {machine} {disk}");
        }
    }
}
