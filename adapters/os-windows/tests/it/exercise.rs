//! Drives the adapter over a guest of which every file that it parses holds the same bytes, or hives that were damaged.

use os_windows::Windows;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, SourceOs, fact};

/// Files that are parsed besides the hives.
const FILES: &[&str] = &[
    "/boot.ini",
    "/Boot/BCD",
    "/Windows/System32/hal.dll",
    "/Windows/System32/ntoskrnl.exe",
    "/Windows/Driver Cache/i386/driver.cab",
    "/Windows/Driver Cache/i386/sp3.cab",
];

fn profile(disk: &str, nic: &str, machine: &str) -> DeviceProfile {
    DeviceProfile {
        firmware: "bios".into(),
        disk_bus: disk.into(),
        nic_model: nic.into(),
        architecture: "x86_64".into(),
        machine: machine.into(),
        facts: vec![fact("nic.0.slot", "0000:00:03.0")],
    }
}

/// A guest of these hives, `bytes` in everything else.
pub fn guest(system: &[u8], software: &[u8], bytes: &[u8]) -> Vec<MemoryVolume> {
    let facts = [("fs.kind", "ntfs"), ("disk.index", "0"), ("partition.number", "1"), ("parent", "disk:0")];
    let mut volume = MemoryVolume::new("part:1", &facts)
        .file("/Windows/System32/config/SYSTEM", system)
        .file("/Windows/System32/config/SOFTWARE", software)
        .file("/bootmgr", "x")
        .file("/ntldr", "x");
    for path in FILES {
        volume = volume.file(path, bytes);
    }
    let disk = MemoryVolume::new("disk:0", &[("disk.index", "0"), ("table.id", "12345678")]).kind("disk");
    vec![disk, volume]
}

/// Identifies and adapts it; what was adapted needs nothing the second time.
pub fn exercise_guest(volumes: &[MemoryVolume]) {
    let profiles = [
        profile("ide", "rtl8139", "i440fx"),
        profile("ahci", "e1000e", "q35"),
        profile("virtio-blk", "virtio-net", "q35"),
        profile("hyperv-scsi", "hyperv-net", "generation-1"),
    ];
    let options = [fact("nic.0.mac", "52:54:00:12:34:56"), fact("first-boot", "yes")];
    for profile in profiles {
        let tree = MemoryTree::new(volumes.to_vec());
        let Ok(Some(_)) = Windows::identify(&tree) else { return };
        if Windows::adapt(&tree, &profile, &options).is_err() {
            continue;
        }
        tree.forget();
        Windows::identify(&tree).expect("it was read before");
        Windows::adapt(&tree, &profile, &options).expect("it worked before");
        assert_eq!(tree.edits(), [], "a second run changes something");
    }
}

/// The bytes in every place.
#[allow(dead_code, reason = "the fuzz target's")]
pub fn exercise(bytes: &[u8]) {
    exercise_guest(&guest(bytes, bytes, bytes));
}
