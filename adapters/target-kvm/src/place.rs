//! Where disks are, the same in both definitions: the slot of their controller on PCI bus 0, and their place on it. Slots beside
//! those of the cards are always the same, so that names in the guest stay when disks come and go. The boards have devices
//! of their own in 0, 1, 2 and 31.

/// The first controller's slot.
const CONTROLLER_SLOT: usize = 4;
/// The first slot of disks that are PCI devices themselves.
const DISK_SLOT: usize = 16;
/// Ports of one AHCI controller.
const AHCI_PORTS: usize = 6;

/// One disk's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// PCI, of the controller or of the disk itself.
    pub slot: usize,
    pub function: usize,
    /// Which of the machine's controllers it is.
    pub controller: usize,
    /// Channel of IDE.
    pub channel: usize,
    /// Unit of IDE, port of AHCI, target of SCSI.
    pub unit: usize,
}

impl Place {
    /// Of the disk with this number.
    pub fn of(disk_bus: &str, board: &str, number: usize) -> Self {
        let at = |slot, function| Self { slot, function, controller: 0, channel: 0, unit: 0 };
        match disk_bus {
            "ide" => Self { channel: number / 2, unit: number % 2, ..at(1, 1) },
            "virtio-scsi" => Self { unit: number, ..at(CONTROLLER_SLOT, 0) },
            "ahci" => {
                let (controller, unit) = (number / AHCI_PORTS, number % AHCI_PORTS);
                // q35 has one of its own
                let place = if is_built_in(board, controller) {
                    at(31, 2)
                } else {
                    at(CONTROLLER_SLOT + controller, 0)
                };
                Self { controller, unit, ..place }
            }
            _ => at(DISK_SLOT + number, 0),
        }
    }

    /// What the profile says of it.
    pub fn told(&self, disk_bus: &str) -> String {
        let Self { slot, function, channel, unit, .. } = self;
        let on = match disk_bus {
            "ide" => format!(" channel={channel} unit={unit}"),
            "ahci" => format!(" port={unit}"),
            "virtio-scsi" => format!(" target={unit} lun=0"),
            _ => String::new(),
        };
        format!("{slot:02x}.{function}{on}")
    }

    /// libvirt's address of the PCI device.
    pub fn pci(&self) -> String {
        let Self { slot, function, .. } = self;
        format!(
            "<address type='pci' domain='0x0000' bus='0x00' slot='{slot:#04x}' function='{function:#x}'/>"
        )
    }

    /// libvirt's address of the disk.
    pub fn address(&self, disk_bus: &str) -> String {
        let Self { controller, channel, unit, .. } = self;
        let drive = |target: usize, unit: usize| {
            format!(
                "<address type='drive' controller='{controller}' bus='{channel}' target='{target}' unit='{unit}'/>"
            )
        };
        match disk_bus {
            "virtio-scsi" => drive(*unit, 0),
            "ide" | "ahci" => drive(0, *unit),
            _ => self.pci(),
        }
    }
}

/// Whether the board has this AHCI controller itself.
pub fn is_built_in(board: &str, controller: usize) -> bool {
    board == "q35" && controller == 0
}

/// Places of the controllers that so many disks need, each once; none for disks that are PCI devices themselves.
pub fn controllers(disk_bus: &str, board: &str, disks: usize) -> Vec<Place> {
    if ["virtio-blk", "nvme"].contains(&disk_bus) {
        return Vec::new();
    }
    let mut places: Vec<Place> = (0..disks).map(|number| Place::of(disk_bus, board, number)).collect();
    places.dedup_by_key(|place| place.controller);
    places
}
