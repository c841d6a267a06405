//! An output directory, a machine, and the calls in their order.

use target_kvm::Kvm;
use wherry_sdk::target::{DiskNeed, Machine, NicNeed, Sink};
pub use wherry_sdk::testing::Directory;
use wherry_sdk::testing::target;
use wherry_sdk::{Result, TargetPlatform, fact};

pub const BUSES: [&str; 4] = ["virtio-blk", "virtio-scsi", "ahci", "nvme"];
pub const NICS: [&str; 3] = ["virtio-net", "e1000", "e1000e"];
pub const FIRMWARES: [&str; 2] = ["bios", "uefi"];
pub const BOARDS: [&str; 2] = ["q35", "i440fx"];

pub fn machine(wishes: &[(&str, &str)]) -> Machine {
    let disk = |index| DiskNeed { index, virtual_size: 1 << 20, bootable: index == 0 };
    Machine {
        name: "web-a.1".into(),
        cpus: 2,
        memory_mib: 256,
        disks: (0..8).map(disk).collect(),
        nics: vec![
            NicNeed { mac: Some("52:54:00:AB:cd:01".into()), network: Some("a <b> & 'c'".into()) },
            NicNeed { mac: None, network: None },
        ],
        facts: wishes.iter().map(|(key, value)| fact(*key, value)).collect(),
    }
}

pub fn blocking(machine: &Machine) -> usize {
    target::blocking(&Kvm::profile(machine).unwrap().concerns).len()
}

/// Prepares and finishes; the sinks.
pub fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    let offer = Kvm::profile(machine)?;
    let sinks = Kvm::prepare(output, key, machine, &offer.profile)?;
    Kvm::finish(output, key, machine, &offer.profile)?;
    Ok(sinks)
}

pub fn names(sinks: &[Sink]) -> Vec<String> {
    target::files(sinks).into_iter().map(|file| file.name.clone()).collect()
}
