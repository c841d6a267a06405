//! Where the target's disks are in the device tree. Nodes are called after the subsystem of their device (pci_boot.c of illumos),
//! which QEMU and VMware set: 1af4,1100 for QEMU's own, 1af4 and the kind of device for virtio, 15ad,1976 for VMware's LSI Logic.

use wherry_sdk::{DeviceProfile, find};

/// SCSI's own target, which no disk has (VMware's adapters).
const SCSI_OWN: u32 = 7;

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
    match find(&profile.facts, &format!("disk.{disk}.slot")) {
        Some(slot) => told(profile, slot),
        None => usual(profile, disk),
    }
}

/// The profile's `disk.N.slot`, taken apart: `15.0/00.0 target=3 lun=0`.
struct Slot<'a> {
    /// Device and function of each bridge, and of the controller.
    nodes: Vec<(u8, u8)>,
    words: Vec<(&'a str, u32)>,
}

impl<'a> Slot<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(' ');
        let node = |text: &str| {
            let (device, function) = text.split_once('.')?;
            let device = u8::from_str_radix(device, 16).ok().filter(|device| *device < 32)?;
            Some((device, function.parse().ok().filter(|function| *function < 8)?))
        };
        let nodes = parts.next()?.split('/').map(node).collect::<Option<_>>()?;
        let word =
            |word: &'a str| word.split_once('=').and_then(|(key, value)| Some((key, value.parse().ok()?)));
        Some(Self { nodes, words: parts.map(word).collect::<Option<_>>()? })
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.words.iter().find(|(known, _)| *known == key).map(|(_, number)| *number)
    }

    /// The path of the controller, its node being called `name`, behind a bridge of the other name if there is one.
    fn path(&self, name: &str, bridge: Option<&str>) -> Option<String> {
        let unit = |(device, function): &(u8, u8)| match function {
            0 => format!("{device:x}"),
            function => format!("{device:x},{function:x}"),
        };
        match (self.nodes.as_slice(), bridge) {
            ([own], None) => Some(format!("/pci@0,0/{name}@{}", unit(own))),
            ([above, own], Some(bridge)) => {
                Some(format!("/pci@0,0/{bridge}@{}/{name}@{}", unit(above), unit(own)))
            }
            _ => None,
        }
    }
}

/// VMware's bridge for PCI Express.
const BRIDGE: &str = "pci15ad,7a0";

/// A number for the controller that is not that of another: its position among those that disks are on.
fn controller(profile: &DeviceProfile, slot: &str) -> Option<usize> {
    let own = slot.split(' ').next()?;
    let slots =
        profile.facts.iter().filter(|fact| fact.key.starts_with("disk.") && fact.key.ends_with(".slot"));
    let mut all: Vec<&str> = slots.filter_map(|fact| fact.value.split(' ').next()).collect();
    all.dedup();
    all.iter().position(|one| *one == own)
}

fn told(profile: &DeviceProfile, slot: &str) -> Option<Place> {
    let controller = controller(profile, slot)?;
    let slot = Slot::parse(slot)?;
    let vmware = profile.machine.starts_with("vmx-");
    let scsi = |node: &str, bridge, child: &str| {
        let (target, lun) = (slot.number("target")?, slot.number("lun")?);
        let path = format!("{}/{child}@{target:x},{lun:x}", slot.path(node, bridge)?);
        Some((path, format!("c{controller}t{target}d{lun}")))
    };
    let (path, name) = match profile.disk_bus.as_str() {
        "ide" => {
            let (channel, unit) = (slot.number("channel")?, slot.number("unit")?);
            let path = format!("{}/ide@{channel}/cmdk@{unit},0", slot.path("pci-ide", None)?);
            (path, format!("c{channel}d{unit}"))
        }
        "ahci" if !vmware => {
            let port = slot.number("port")?;
            let path = format!("{}/disk@{port:x},0", slot.path("pci1af4,1100", None)?);
            (path, format!("c{controller}t{port}d0"))
        }
        "virtio-blk" => {
            (format!("{}/blkdev@0,0", slot.path("pci1af4,2", None)?), format!("c{controller}t0d0"))
        }
        "virtio-scsi" => scsi("pci1af4,8", None, "iport@iport0/disk")?,
        "lsi-scsi" if vmware => scsi("pci15ad,1976", None, "sd")?,
        "lsi-sas" if vmware => scsi("pci15ad,1976", Some(BRIDGE), "sd")?,
        "pvscsi" if vmware => scsi("pci15ad,7c0", Some(BRIDGE), "iport@iport0/disk")?,
        _ => return None,
    };
    Some(Place { path, name, certain: true })
}

/// Where disks are on boards that leave no choice, and where VMware puts them by itself.
fn usual(profile: &DeviceProfile, disk: u32) -> Option<Place> {
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
    fn places_that_are_told() {
        for (bus, machine, slot, expected) in [
            ("ide", "i440fx", "01.1 channel=1 unit=0", Some(("/pci@0,0/pci-ide@1,1/ide@1/cmdk@0,0", "c1d0"))),
            ("ahci", "q35", "1f.2 port=5", Some(("/pci@0,0/pci1af4,1100@1f,2/disk@5,0", "c0t5d0"))),
            ("ahci", "i440fx", "04.0 port=0", Some(("/pci@0,0/pci1af4,1100@4/disk@0,0", "c0t0d0"))),
            ("ahci", "q35", "05.0 port=0", Some(("/pci@0,0/pci1af4,1100@5/disk@0,0", "c1t0d0"))),
            ("virtio-blk", "q35", "10.0", Some(("/pci@0,0/pci1af4,2@10/blkdev@0,0", "c0t0d0"))),
            (
                "virtio-scsi",
                "q35",
                "04.0 target=11 lun=0",
                Some(("/pci@0,0/pci1af4,8@4/iport@iport0/disk@b,0", "c0t11d0")),
            ),
            (
                "lsi-scsi",
                "vmx-13",
                "10.0 target=3 lun=0",
                Some(("/pci@0,0/pci15ad,1976@10/sd@3,0", "c0t3d0")),
            ),
            (
                "lsi-sas",
                "vmx-13",
                "15.0/00.0 target=0 lun=0",
                Some(("/pci@0,0/pci15ad,7a0@15/pci15ad,1976@0/sd@0,0", "c0t0d0")),
            ),
            ("lsi-sas", "vmx-13", "10.0 target=0 lun=0", None),
            ("nvme", "q35", "10.0", None),
            ("ahci", "q35", "1f.2", None),
            ("ahci", "q35", "1f.9 port=0", None),
            ("ahci", "q35", "40.0 port=0", None),
            ("ahci", "q35", "port=0", None),
            ("ahci", "q35", "1f.2 port=-1", None),
            ("ahci", "q35", "", None),
        ] {
            let mut profile = profile(bus, machine);
            if slot == "05.0 port=0" {
                profile.facts.push(wherry_sdk::fact("disk.0.slot", "1f.2 port=0"));
            }
            profile.facts.push(wherry_sdk::fact("disk.2.slot", slot));
            let found = place(&profile, 2);
            assert!(found.as_ref().is_none_or(|place| place.certain));
            let found = found.as_ref().map(|place| (place.path.as_str(), place.name.as_str()));
            assert_eq!(found, expected, "{bus} {machine} {slot}");
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
