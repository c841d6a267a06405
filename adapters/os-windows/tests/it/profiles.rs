//! Machines that guests are moved to.

use wherry_sdk::{DeviceProfile, Fact, fact};

fn profile(firmware: &str, disk: &str, nic: &str, machine: &str, slots: &[&str]) -> DeviceProfile {
    let slots = slots.iter().enumerate().map(|(n, slot)| fact(format!("nic.{n}.slot"), slot));
    DeviceProfile {
        firmware: firmware.into(),
        disk_bus: disk.into(),
        nic_model: nic.into(),
        architecture: "x86_64".into(),
        machine: machine.into(),
        facts: slots.collect(),
    }
}

/// KVM without drivers of anybody's.
pub fn kvm(firmware: &str, version: (u32, u32)) -> DeviceProfile {
    match version {
        (4, _) => profile(firmware, "ide", "pcnet", "i440fx", &["0000:00:03.0"]),
        (0..6, _) => profile(firmware, "ide", "rtl8139", "i440fx", &["0000:00:03.0"]),
        _ => profile(firmware, "ahci", "e1000", "q35", &["0000:00:03.0"]),
    }
}

/// KVM with virtio.
pub fn virtio(firmware: &str, version: (u32, u32)) -> DeviceProfile {
    let machine = if version < (6, 0) { "i440fx" } else { "q35" };
    profile(firmware, "virtio-blk", "virtio-net", machine, &["0000:00:08.0"])
}

/// Hyper-V, generation by firmware.
pub fn hyperv(firmware: &str, version: (u32, u32)) -> DeviceProfile {
    if firmware == "uefi" {
        return profile(firmware, "hyperv-scsi", "hyperv-net", "generation-2", &[]);
    }
    let nic = if version < (6, 1) { "tulip" } else { "hyperv-net" };
    profile(firmware, "ide", nic, "generation-1", &[])
}

/// VMware.
pub fn vmware(firmware: &str, version: (u32, u32)) -> DeviceProfile {
    let (disk, nic) = match version {
        (4, _) | (5, 0) => ("buslogic", "pcnet"),
        (5, 1) => ("ide", "pcnet"),
        (5, _) => ("ide", "e1000"),
        (6, 0 | 1) => ("lsi-sas", "e1000"),
        _ => ("lsi-sas", "e1000e"),
    };
    let mut profile = profile(firmware, disk, nic, "vmx-19", &[]);
    if nic != "e1000e" {
        profile.facts.push(fact("nic.0.path", "11.0/01.0"));
    }
    profile
}

/// Xen's HVM machines.
pub fn xen(firmware: &str, _version: (u32, u32)) -> DeviceProfile {
    profile(firmware, "ide", "rtl8139", "xenfv", &[])
}

/// One card's address.
pub fn options() -> Vec<Fact> {
    vec![fact("nic.0.mac", "52:54:00:12:34:56")]
}
