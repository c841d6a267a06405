//! Devices in boot configuration data: `BCD_DEVICE_OPTION` and `BL_DEVICE_DESCRIPTOR` as ReactOS has them (boot/environ,
//! `bl.h`), checked with a store of Windows 10. The bytes are kept as they are, so that what is not understood stays.

use crate::bytes::{number, word};
use wherry_sdk::bytes::{field, put};
use wherry_sdk::image::Uuid;

/// Bytes before the descriptor: the object with options for the device.
const OPTIONS: usize = 16;
/// Bytes of a descriptor, of its head and of a disk's or a partition's as a whole.
const HEAD: usize = 16;
const SIZE: usize = 72;
/// `BL_DEVICE_TYPE`.
const DISK: u32 = 0;
const BOOT: u32 = 5;
const PARTITION: u32 = 6;
const LOCATE: u32 = 8;
/// `BL_LOCAL_DEVICE_TYPE`; 0 is a disk.
const RAMDISK: u32 = 3;
const FILE: u32 = 5;
const VIRTUAL_DISK: u32 = 6;
/// `BL_PARTITION_TYPE`.
const GPT: u32 = 0;
const MBR: u32 = 1;

/// A partition, as boot programs find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// By the disk's signature (at 440 of its first sector) and where it begins.
    Mbr {
        /// The disk's signature.
        signature: u32,
        /// Bytes from the disk's beginning.
        offset: u64,
    },
    /// By identifiers.
    Gpt {
        /// The disk's.
        disk: Uuid,
        /// The partition's own.
        partition: Uuid,
    },
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// What the machine was booted from.
    Boot,
    /// A partition of a disk.
    Partition(Partition),
    /// A file that is loaded into memory (`winre.wim`).
    Ramdisk,
    /// A file.
    File,
    /// A virtual disk in a file (VHD).
    VirtualDisk,
    /// Whatever has a certain file.
    Locate,
    /// `BL_DEVICE_TYPE` and `BL_LOCAL_DEVICE_TYPE` of what is not known here.
    Other(u32, u32),
}

/// A device as an element has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device(Vec<u8>);

fn guid(bytes: &[u8], at: usize) -> Uuid {
    let mut guid = [0; 16];
    put(&mut guid, 0, field(bytes, at, 16));
    Uuid::from_guid(&guid)
}

impl Partition {
    /// The descriptor of a partition on a disk at `bytes`, if it is one.
    fn read(bytes: &[u8]) -> Option<Self> {
        let disk = HEAD + 16;
        let whole = bytes.len() >= SIZE && word(bytes, 8) as usize == SIZE;
        if !whole || word(bytes, 0) != PARTITION || word(bytes, disk) != 0 {
            return None;
        }
        match word(bytes, disk + 4) {
            GPT => Some(Self::Gpt { disk: guid(bytes, disk + 8), partition: guid(bytes, HEAD) }),
            MBR => Some(Self::Mbr { signature: word(bytes, disk + 8), offset: number(bytes, HEAD, 8) }),
            _ => None,
        }
    }

    /// Puts its identifiers into a descriptor; type, flags and size stay.
    fn write(&self, bytes: &mut [u8]) {
        let mut identifiers = [0; SIZE - HEAD];
        match self {
            Self::Gpt { disk, partition } => {
                put(&mut identifiers, 0, &partition.guid());
                put(&mut identifiers, 20, &GPT.to_le_bytes());
                put(&mut identifiers, 24, &disk.guid());
            }
            Self::Mbr { signature, offset } => {
                put(&mut identifiers, 0, &offset.to_le_bytes());
                put(&mut identifiers, 20, &MBR.to_le_bytes());
                put(&mut identifiers, 24, &signature.to_le_bytes());
            }
        }
        put(bytes, HEAD, &identifiers);
    }
}

impl Device {
    /// As an element has it.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes of the element.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the machine is booted from.
    pub fn boot() -> Self {
        Self::of_type(BOOT)
    }

    /// A partition.
    pub fn partition(partition: &Partition) -> Self {
        let mut device = Self::of_type(PARTITION);
        partition.write(&mut device.0[OPTIONS..]);
        device
    }

    fn of_type(kind: u32) -> Self {
        let mut bytes = vec![0; OPTIONS + SIZE];
        put(&mut bytes, OPTIONS, &kind.to_le_bytes());
        put(&mut bytes, OPTIONS + 8, &(SIZE as u32).to_le_bytes());
        Self(bytes)
    }

    /// What it is.
    pub fn kind(&self) -> DeviceKind {
        let descriptor = self.0.get(OPTIONS..).unwrap_or_default();
        if let Some(partition) = Partition::read(descriptor) {
            return DeviceKind::Partition(partition);
        }
        let kind = word(descriptor, 0);
        // A partition's identifiers lie before its disk.
        let local = word(descriptor, if kind == PARTITION { HEAD + 16 } else { HEAD });
        match (kind, local) {
            (BOOT, _) => DeviceKind::Boot,
            (LOCATE, _) => DeviceKind::Locate,
            (DISK | PARTITION, VIRTUAL_DISK) => DeviceKind::VirtualDisk,
            (DISK | PARTITION, FILE) => DeviceKind::File,
            (DISK, RAMDISK) => DeviceKind::Ramdisk,
            _ => DeviceKind::Other(kind, local),
        }
    }

    /// The object that has options for it, such as a ramdisk's; none as a rule.
    pub fn options(&self) -> Option<Uuid> {
        let options = guid(&self.0, 0);
        (options.0 != [0; 16]).then_some(options)
    }

    /// Every partition that is named: of a ramdisk's or a virtual disk's file too, whose place is a descriptor in the descriptor.
    pub fn partitions(&self) -> Vec<Partition> {
        self.places().into_iter().filter_map(|at| Partition::read(&self.0[at..])).collect()
    }

    fn places(&self) -> Vec<usize> {
        let end = self.0.len();
        (OPTIONS..end).step_by(4).filter(|at| Partition::read(&self.0[*at..]).is_some()).collect()
    }

    /// The same with other partitions in place of those for which `new` has one; none if nothing changes.
    pub fn moved(&self, new: impl Fn(&Partition) -> Option<Partition>) -> Option<Self> {
        let mut moved = self.clone();
        for at in self.places() {
            if let Some(partition) = Partition::read(&self.0[at..]).and_then(|old| new(&old)) {
                partition.write(&mut moved.0[at..]);
            }
        }
        (moved != *self).then_some(moved)
    }
}
