//! Wishes, defaults, and what is refused.

use crate::bench::{BUSES, Directory, FIRMWARES, blocking, machine, make, names};
use target_kvm::Kvm;
use wherry_sdk::target::{Machine, NicNeed, Sink};
use wherry_sdk::{ErrorKind, Output, TargetPlatform, find};

#[test]
fn defaults_and_wishes() {
    let profile = Kvm::profile(&machine(&[("firmware", "uefi")])).unwrap().profile;
    assert_eq!((profile.firmware.as_str(), profile.disk_bus.as_str()), ("uefi", "virtio-blk"));
    assert_eq!((profile.nic_model.as_str(), profile.machine.as_str()), ("virtio-net", "q35"));
    assert_eq!(find(&profile.facts, "serial-console"), Some("ttyS0"));
    let slots = ["nic.0.slot", "nic.1.slot", "nic.2.slot"].map(|key| find(&profile.facts, key));
    assert_eq!(slots, [Some("0000:00:08.0"), Some("0000:00:09.0"), None]);
    let slots = ["disk.0.slot", "disk.7.slot", "disk.8.slot"].map(|key| find(&profile.facts, key));
    assert_eq!(slots, [Some("10.0"), Some("17.0"), None]);
    for capability in Kvm::capabilities().unwrap() {
        let key = match capability.key.as_str() {
            "firmware" | "architecture" => continue,
            other => format!("wish.{other}"),
        };
        let mut wished = machine(&[(&key, &capability.value)]);
        wished.disks.truncate(4);
        assert_eq!(blocking(&wished), 0, "{key} {}", capability.value);
    }
    for key in ["disk-bus", "nic-model", "machine", "format", "compression", "colour"] {
        assert_eq!(blocking(&machine(&[(&format!("wish.{key}"), "pink")])), 1, "{key}");
    }
    assert_eq!(blocking(&machine(&[("firmware", "uefi-secure-boot")])), 1);
    assert_eq!(blocking(&machine(&[("os.architecture", "aarch64")])), 1);
}

#[test]
fn names_that_would_hurt_are_refused() {
    let output = Directory::new("names");
    let good = machine(&[]);
    let profile = Kvm::profile(&good).unwrap().profile;
    for name in ["", "..", ".a", "-a", "a/b", "a b", "a'b", "a\nb", "ä", &"a".repeat(65)] {
        let bad = Machine { name: name.into(), ..good.clone() };
        assert_eq!(blocking(&bad), 1, "{name:?}");
        let error = Kvm::prepare(&output, "k", &bad, &profile).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert_eq!(Kvm::undo(&output, "k", &bad).unwrap_err().kind, ErrorKind::InvalidInput);
    }
    for mac in ["", "52:54:00:ab:cd", "52:54:00:ab:cd:0g", "01:00:5e:00:00:01", "+2:54:00:ab:cd:01"] {
        let bad = Machine { nics: vec![NicNeed { mac: Some(mac.into()), network: None }], ..good.clone() };
        assert_eq!(Kvm::prepare(&output, "k", &bad, &profile).unwrap_err().kind, ErrorKind::InvalidInput);
    }
    assert!(output.names().unwrap().is_empty());
}

#[test]
fn machines_that_qemu_would_refuse_are_refused_first() {
    let good = machine(&[]);
    let odd = [
        Machine { cpus: 0, ..good.clone() },
        Machine { cpus: 256, ..good.clone() },
        Machine { memory_mib: 0, ..good.clone() },
        Machine { disks: Vec::new(), ..good.clone() },
        Machine { disks: vec![good.disks[0]; 2], ..good.clone() },
    ];
    let profile = Kvm::profile(&good).unwrap().profile;
    for machine in odd {
        assert_eq!(blocking(&machine), 1);
        let error = Kvm::prepare(&Directory::new("odd"), "k", &machine, &profile).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
    }
    // A bond shows the same address twice, in whatever case; the machine can be made all the same.
    let mut bond = good.clone();
    bond.nics[1].mac = bond.nics[0].mac.as_ref().map(|mac| mac.to_ascii_lowercase());
    let concerns = Kvm::profile(&bond).unwrap().concerns;
    assert!(blocking(&bond) == 0 && concerns.iter().any(|one| one.id == "kvm.same-mac"), "{concerns:?}");
}

#[test]
fn sectors_that_a_bus_or_firmware_cannot_have_are_refused() {
    let large = ("disk.3.sector-size", "4096");
    let first = ("disk.0.sector-size", "4096");
    for bus in BUSES {
        for firmware in FIRMWARES {
            let asked = |fact| machine(&[("wish.disk-bus", bus), ("firmware", firmware), fact]);
            assert_eq!(blocking(&asked(large)), usize::from(bus == "ahci"), "{bus} {firmware}");
            let refused = bus == "ahci" || firmware == "bios";
            assert_eq!(blocking(&asked(first)), usize::from(refused), "{bus} {firmware}");
            assert_eq!(blocking(&asked(("disk.0.sector-size", "512"))), 0);
            for odd in ["2048", "4k", "", "-1"] {
                assert_eq!(blocking(&asked(("disk.3.sector-size", odd))), 1, "{odd}");
            }
        }
    }
    let bad = machine(&[("wish.disk-bus", "ahci"), large]);
    let concerns = Kvm::profile(&bad).unwrap().concerns;
    assert!(concerns.iter().any(|one| one.id == "kvm.sector-size"), "{concerns:?}");
    let error = make(&Directory::new("sectors"), "k", &bad).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
}

#[test]
fn sinks_carry_the_format_and_its_options() {
    let output = Directory::new("sinks");
    let wishes = [("wish.cluster-size", "2M"), ("wish.compression", "zstd")];
    let sinks = make(&output, "k", &machine(&wishes)).unwrap();
    assert_eq!(names(&sinks)[..3], ["web-a.1.qcow2", "web-a.1-1.qcow2", "web-a.1-2.qcow2"]);
    let Some(Sink::File(first)) = sinks.first() else { panic!() };
    assert_eq!(first.format, "format-qcow2");
    assert_eq!(find(&first.options, "cluster-size"), Some("2M"));
    assert_eq!(find(&first.options, "compression"), Some("zstd"));

    let output = Directory::new("sinks-raw");
    let sinks = make(&output, "k", &machine(&[("wish.format", "raw"), ("wish.cluster-size", "2M")])).unwrap();
    let Some(Sink::File(first)) = sinks.first() else { panic!() };
    assert_eq!((first.format.as_str(), first.name.as_str()), ("format-raw", "web-a.1.raw"));
    assert!(first.options.is_empty());
}
