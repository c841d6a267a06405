//! Wishes, defaults by what the guest is, and what is refused.

use crate::bench::{
    DEBIAN, Directory, NT4, WINDOWS_7, WINDOWS_2003, WINDOWS_2022, at, blocking, files, machine, make,
    profile, vmx,
};
use target_vmware::VMware;
use wherry_sdk::target::{DiskNeed, Machine, NicNeed};
use wherry_sdk::{ErrorKind, LivePlatform, Output, find};

#[test]
fn defaults_follow_from_the_guest() {
    let cases = [
        (NT4, "bios", "ide", "pcnet"),
        (WINDOWS_2003, "bios", "ide", "e1000"),
        (WINDOWS_7, "bios", "lsi-sas", "e1000"),
        (WINDOWS_2022, "uefi", "lsi-sas", "e1000e"),
        (DEBIAN, "bios", "pvscsi", "vmxnet3"),
        (&[("firmware", "uefi-secure-boot")], "uefi-secure-boot", "lsi-scsi", "e1000"),
    ];
    for (system, firmware, bus, card) in cases {
        let machine = machine(system, &[]);
        let profile = profile(&machine).unwrap().profile;
        assert_eq!((profile.machine.as_str(), profile.firmware.as_str()), ("vmx-13", firmware), "{system:?}");
        assert_eq!((profile.disk_bus.as_str(), profile.nic_model.as_str()), (bus, card), "{system:?}");
        assert!(blocking(&machine).is_empty(), "{system:?}");
    }
}

#[test]
fn wishes_are_known_or_refused() {
    for capability in VMware::capabilities().unwrap() {
        let (key, value) = (capability.key.as_str(), capability.value.as_str());
        // What is for the server alone is refused for files.
        if ["firmware", "architecture", "snapshot", "power"].contains(&key) {
            continue;
        }
        let system = if key == "secure-boot" { WINDOWS_2022 } else { DEBIAN };
        let mut machine = machine(system, &[(&format!("wish.{key}"), value)]);
        machine.cpus = 64;
        assert!(blocking(&machine).is_empty(), "{key} {value}");
    }
    let keys = [
        "machine",
        "disk-bus",
        "nic-model",
        "secure-boot",
        "format",
        "subformat",
        "cores-per-socket",
        "colour",
    ];
    for key in keys {
        let pink = machine(DEBIAN, &[(&format!("wish.{key}"), "pink")]);
        assert_eq!(blocking(&pink), ["vmware.unknown-wish"], "{key}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let cases: [(&[_], &[_], &str); 9] = [
        (DEBIAN, &[("wish.secure-boot", "on")], "vmware.secure-boot"),
        (DEBIAN, &[("wish.cores-per-socket", "4")], "vmware.cores"),
        (DEBIAN, &[("wish.disk-bus", "nvme"), ("wish.machine", "vmx-11")], "vmware.version"),
        (DEBIAN, &[("wish.disk-bus", "ahci"), ("wish.machine", "vmx-9")], "vmware.version"),
        (WINDOWS_2022, &[("wish.secure-boot", "on"), ("wish.machine", "vmx-11")], "vmware.version"),
        (NT4, &[("wish.disk-bus", "nvme")], "vmware.unknown-wish"),
        (WINDOWS_7, &[("wish.nic-model", "pcnet")], "vmware.unknown-wish"),
        (DEBIAN, &[("os.architecture", "aarch64")], "vmware.architecture"),
        (DEBIAN, &[("disk.2.sector-size", "4096")], "vmware.sector-size"),
    ];
    for (system, wishes, expected) in cases {
        assert_eq!(blocking(&machine(system, wishes)), [expected], "{wishes:?}");
    }
}

#[test]
fn machines_that_vmware_would_refuse_are_refused_first() {
    let good = machine(DEBIAN, &[]);
    let profile = profile(&good).unwrap().profile;
    let nic = |mac: &str, network: &str| NicNeed { mac: Some(mac.into()), network: Some(network.into()) };
    let huge = DiskNeed { virtual_size: (62 << 40) + 512, ..good.disks[0] };
    let odd = [
        Machine { name: "a b".into(), ..good.clone() },
        Machine { cpus: 0, ..good.clone() },
        Machine { cpus: 129, ..good.clone() },
        Machine { memory_mib: 0, ..good.clone() },
        Machine { disks: Vec::new(), ..good.clone() },
        Machine { disks: vec![good.disks[0]; 2], ..good.clone() },
        Machine { disks: vec![huge], ..good.clone() },
        Machine { nics: vec![good.nics[1].clone(); 11], ..good.clone() },
        Machine { nics: vec![nic("01:00:5e:00:00:01", "a")], ..good.clone() },
        Machine { nics: vec![nic("00:15:5d:00:00:01", "")], ..good.clone() },
    ];
    for machine in odd {
        assert_eq!(blocking(&machine), ["vmware.machine"], "{machine:?}");
        let output = Directory::new("odd");
        let error = VMware::prepare(at(&output), "k", &machine, &profile).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(output.names().unwrap().is_empty());
    }
    for (bus, most) in [("ide", 4), ("ahci", 120), ("pvscsi", 60), ("nvme", 60)] {
        let many = |count| {
            let mut many = machine(DEBIAN, &[("wish.disk-bus", bus)]);
            many.disks = (0..count).map(|index| DiskNeed { index, ..good.disks[0] }).collect();
            blocking(&many)
        };
        assert!(many(most).is_empty(), "{bus}");
        assert_eq!(many(most + 1), ["vmware.machine"], "{bus}");
    }
}

#[test]
fn client_editions_get_two_sockets() {
    let cores = |system, cpus| {
        let mut machine = machine(system, &[]);
        machine.cpus = cpus;
        let text = vmx(&machine);
        let (_, rest) = text.split_once("cpuid.coresPerSocket = \"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    assert_eq!((cores(WINDOWS_7, 8).as_str(), cores(WINDOWS_7, 3).as_str()), ("4", "3"));
    assert_eq!((cores(WINDOWS_7, 2).as_str(), cores(WINDOWS_2022, 8).as_str()), ("1", "1"));
}

/// Windows is told where the cards will be, in the places that are written down for VMware. A server chooses by itself.
#[test]
fn cards_are_where_the_profile_says() {
    let paths = |machine: &Machine| -> Vec<String> {
        let profile = profile(machine).unwrap().profile;
        let paths = profile.facts.iter().filter(|fact| fact.key.ends_with(".path"));
        paths.map(|fact| format!("{} {}", fact.key, fact.value)).collect()
    };
    for system in [NT4, WINDOWS_7] {
        let machine = machine(system, &[]);
        let text = vmx(&machine);
        let found = paths(&machine);
        assert_eq!(found.len(), machine.nics.len());
        assert!(text.contains("pciBridge0.pciSlotNumber = \"17\"\n"), "{text}");
        for (n, found) in found.iter().enumerate() {
            assert_eq!(*found, format!("nic.{n}.path 11.0/{:02x}.0", n + 1));
            let pinned = format!("ethernet{n}.pciSlotNumber = \"{}\"\n", 32 + n + 1);
            assert!(text.contains(&pinned), "{pinned}");
        }
    }
    assert!(paths(&machine(WINDOWS_2022, &[])).is_empty());
    assert!(!vmx(&machine(WINDOWS_2022, &[])).contains("ethernet0.pciSlotNumber"));
    assert!(paths(&machine(WINDOWS_7, &[("target.name", "vsphere")])).is_empty());
}

#[test]
fn sinks_carry_the_format_and_its_options() {
    let output = Directory::new("sinks");
    let sinks = make(&output, "k", &machine(NT4, &[("wish.subformat", "streamOptimized")])).unwrap();
    let files = files(&sinks);
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["web-a.1.vmdk", "web-a.1-1.vmdk", "web-a.1-2.vmdk"]);
    assert!(files.iter().all(|file| file.format == "format-vmdk"));
    let option = |place: usize, key| find(&files[place].options, key);
    assert_eq!((option(0, "subformat"), option(0, "adapter-type")), (Some("streamOptimized"), Some("ide")));
    assert_eq!(option(1, "file-name"), Some("web-a.1-1.vmdk"));
    assert!(option(0, "cid") != option(1, "cid") && option(0, "cid").unwrap().len() == 8);
    VMware::undo(at(&output), "k", &machine(NT4, &[])).unwrap();
    assert!(output.names().unwrap().is_empty());
}

/// Disks are where the profile says, on a controller whose place is written down. A server chooses by itself.
#[test]
fn disks_are_where_the_profile_says() {
    let slots = |machine: &Machine| -> Vec<String> {
        let profile = profile(machine).unwrap().profile;
        let slots = profile.facts.iter().filter(|fact| fact.key.ends_with(".slot"));
        slots.map(|fact| format!("{} {}", fact.key, fact.value)).collect()
    };
    let sas = machine(WINDOWS_7, &[]);
    let text = vmx(&sas);
    for line in ["scsi0.pciSlotNumber = \"160\"\n", "pciBridge4.pciSlotNumber = \"21\"\n"] {
        assert!(text.contains(line), "{line}");
    }
    // the disk that boots comes first
    assert!(text.contains("scsi0:0.fileName = \"web-a.1-1.vmdk\"\n"), "{text}");
    assert!(slots(&sas).contains(&"disk.1.slot 15.0/00.0 target=0 lun=0".to_owned()), "{:?}", slots(&sas));
    let scsi = machine(WINDOWS_7, &[("wish.disk-bus", "lsi-scsi")]);
    assert!(vmx(&scsi).contains("scsi0.pciSlotNumber = \"16\"\n"));
    assert!(slots(&scsi).contains(&"disk.1.slot 10.0 target=0 lun=0".to_owned()));
    let ide = machine(WINDOWS_7, &[("wish.disk-bus", "ide")]);
    assert!(slots(&ide).contains(&"disk.1.slot 07.1 channel=0 unit=0".to_owned()));
    assert!(slots(&machine(WINDOWS_7, &[("wish.disk-bus", "ahci")])).is_empty());
    assert!(slots(&machine(WINDOWS_7, &[("target.name", "vsphere")])).is_empty());
}
