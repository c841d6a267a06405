//! Wishes, defaults, and what speaks against them.

use crate::bench::{Directory, FLAVOURS, blocking, machine};
use target_ovf::Ovf;
use wherry_sdk::target::{DiskNeed, Machine, NicNeed, Sink};
use wherry_sdk::{ErrorKind, TargetPlatform, find};

#[test]
fn defaults_are_the_first_of_each_flavour() {
    for (flavour, buses, cards) in FLAVOURS {
        let profile = Ovf::profile(&machine(&[("wish.flavour", flavour)])).unwrap().profile;
        assert_eq!((profile.disk_bus.as_str(), profile.nic_model.as_str()), (buses[0], cards[0]));
    }
    let offer = Ovf::profile(&machine(&[("target.name", "ova")])).unwrap();
    assert_eq!(
        (offer.profile.machine.as_str(), find(&offer.profile.facts, "disk-sink")),
        ("vmx-13", Some("packed"))
    );
    assert!(blocking(&machine(&[])).is_empty());
    let all = Ovf::capabilities().unwrap();
    for key in ["flavour", "ovf-version", "disk-bus", "nic-model", "firmware", "format"] {
        assert!(find(&all, key).is_some(), "{key}");
    }
    assert_eq!(find(&all, "needs"), Some("disk.sha256"));
}

#[test]
fn wrong_wishes_and_odd_machines_block() {
    for wish in [
        ("wish.flavour", "xen"),
        ("wish.ovf-version", "3"),
        ("wish.format", "qcow2"),
        ("wish.disk-bus", "ide"),
        ("wish.disk-bus", "virtio-scsi"),
        ("wish.nic-model", "virtio-net"),
        ("wish.colour", "red"),
        ("firmware", "uefi-secure-boot"),
        ("wish.compression-level", "10"),
    ] {
        assert_eq!(blocking(&machine(&[wish])), ["ovf.unknown-wish"], "{wish:?}");
    }
    assert_eq!(blocking(&machine(&[("os.architecture", "aarch64")])), ["ovf.architecture"]);
    assert_eq!(blocking(&machine(&[("disk.1.sector-size", "4096")])), ["ovf.sector-size"]);
    let good = machine(&[]);
    let disk = |index| DiskNeed { index, virtual_size: 1 << 20, bootable: false };
    let nic = |mac: &str, network: &str| NicNeed { mac: Some(mac.into()), network: Some(network.into()) };
    let odd = [
        Machine { name: "../x".into(), ..good.clone() },
        Machine { cpus: 0, ..good.clone() },
        Machine { memory_mib: 0, ..good.clone() },
        Machine { cpus: 129, ..good.clone() },
        Machine { disks: vec![], ..good.clone() },
        Machine { disks: vec![disk(0), disk(0)], ..good.clone() },
        Machine { disks: (0..16).map(disk).collect(), ..good.clone() },
        Machine { nics: vec![nic("nonsense", "n")], ..good.clone() },
        Machine { nics: vec![nic("52:54:00:aa:bb:01", "\n")], ..good.clone() },
        Machine { nics: vec![good.nics[0].clone(); 9], ..good.clone() },
    ];
    let output = Directory::new("out");
    for bad in odd {
        assert_eq!(blocking(&bad), ["ovf.machine"], "{bad:?}");
        let profile = Ovf::profile(&bad).unwrap().profile;
        assert_eq!(Ovf::prepare(&output, "k", &bad, &profile).unwrap_err().kind, ErrorKind::InvalidInput);
    }
}

#[test]
fn disks_are_stream_optimized() {
    let output = Directory::new("out");
    let machine = machine(&[("wish.disk-bus", "ahci"), ("wish.compression-level", "3")]);
    let profile = Ovf::profile(&machine).unwrap().profile;
    let sinks = Ovf::prepare(&output, "k", &machine, &profile).unwrap();
    let Sink::File(file) = &sinks[0] else { panic!() };
    assert_eq!((file.format.as_str(), file.name.as_str()), ("format-vmdk", "web-a.1-disk2.vmdk"));
    for (key, value) in
        [("subformat", "streamOptimized"), ("adapter-type", "ide"), ("compression-level", "3")]
    {
        assert_eq!(find(&file.options, key), Some(value));
    }
}
