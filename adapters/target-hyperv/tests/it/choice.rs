//! Wishes, defaults by what the guest is, and what is refused.

use crate::bench::{
    DEBIAN, Directory, NT4, WINDOWS_7, WINDOWS_2003, WINDOWS_2022, at, blocking, files, machine, make,
    nowhere,
};
use target_hyperv::HyperV;
use wherry_sdk::target::{Machine, NicNeed};
use wherry_sdk::{ErrorKind, LivePlatform, Output, Severity, find};

const WINDOWS_2008: &[(&str, &str)] = &[
    ("os.family", "windows"),
    ("os.version", "6.0.6002"),
    ("os.architecture", "x86_64"),
    ("firmware", "bios"),
];

#[test]
fn defaults_follow_from_the_guest() {
    let cases = [
        (NT4, "generation-1", "bios", "ide", "tulip", None),
        (WINDOWS_2003, "generation-1", "bios", "ide", "tulip", None),
        (WINDOWS_2008, "generation-1", "bios", "ide", "tulip", None),
        (WINDOWS_7, "generation-1", "bios", "ide", "hyperv-net", Some("hyperv-scsi")),
        (WINDOWS_2022, "generation-2", "uefi", "hyperv-scsi", "hyperv-net", None),
        (DEBIAN, "generation-1", "bios", "hyperv-scsi", "hyperv-net", None),
        (&[("firmware", "bios")], "generation-1", "bios", "ide", "hyperv-net", Some("hyperv-scsi")),
        (
            &[("firmware", "uefi-secure-boot")],
            "generation-2",
            "uefi-secure-boot",
            "hyperv-scsi",
            "hyperv-net",
            None,
        ),
    ];
    for (system, board, firmware, bus, card, further) in cases {
        let machine = machine(system, &[]);
        let profile = HyperV::profile(nowhere(), &machine).unwrap().profile;
        let seen = (profile.machine.as_str(), profile.firmware.as_str());
        assert_eq!(seen, (board, firmware), "{system:?}");
        assert_eq!((profile.disk_bus.as_str(), profile.nic_model.as_str()), (bus, card), "{system:?}");
        assert_eq!(find(&profile.facts, "disk-bus.further"), further, "{system:?}");
        assert!(blocking(&machine).is_empty(), "{system:?}");
    }
}

#[test]
fn wishes_are_known_or_refused() {
    let fits = |key: &str, value: &str| match key {
        "machine" if value == "generation-2" => WINDOWS_2022,
        "secure-boot" => WINDOWS_2022,
        _ => DEBIAN,
    };
    for capability in HyperV::capabilities().unwrap() {
        let (key, value) = (capability.key.as_str(), capability.value.as_str());
        if ["firmware", "architecture"].contains(&key) {
            continue;
        }
        let wish = format!("wish.{key}");
        assert!(blocking(&machine(fits(key, value), &[(&wish, value)])).is_empty(), "{key} {value}");
    }
    for key in ["machine", "disk-bus", "nic-model", "secure-boot", "format", "subformat", "colour"] {
        let pink = machine(DEBIAN, &[(&format!("wish.{key}"), "pink")]);
        assert_eq!(blocking(&pink), ["hyperv.unknown-wish"], "{key}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let cases: [(&[_], &[_], &[&str]); 9] = [
        (DEBIAN, &[("wish.machine", "generation-2")], &["hyperv.firmware"]),
        (WINDOWS_2022, &[("wish.machine", "generation-1")], &["hyperv.firmware"]),
        (DEBIAN, &[("wish.secure-boot", "on")], &["hyperv.secure-boot"]),
        (WINDOWS_2022, &[("wish.format", "vhd")], &["hyperv.format"]),
        (WINDOWS_2022, &[("wish.disk-bus", "ide")], &["hyperv.unknown-wish"]),
        (WINDOWS_2022, &[("wish.nic-model", "tulip")], &["hyperv.unknown-wish"]),
        (WINDOWS_7, &[("firmware", "uefi")], &["hyperv.generation-2"]),
        (WINDOWS_2022, &[("os.architecture", "i686")], &["hyperv.generation-2"]),
        (DEBIAN, &[("os.architecture", "aarch64")], &["hyperv.architecture"]),
    ];
    for (system, wishes, expected) in cases {
        assert_eq!(blocking(&machine(system, wishes)), expected, "{wishes:?}");
    }
}

#[test]
fn missing_drivers_are_told() {
    let told = |system, wishes: &[_]| {
        let concerns = HyperV::profile(nowhere(), &machine(system, wishes)).unwrap().concerns;
        concerns.iter().any(|one| one.id == "hyperv.card-driver" && one.severity == Severity::Warning)
    };
    assert!(told(WINDOWS_2003, &[]));
    assert!(!told(WINDOWS_2003, &[("os.architecture", "i686")]));
    assert!(told(NT4, &[("wish.nic-model", "hyperv-net")]));
    assert!(!told(NT4, &[]) && !told(WINDOWS_7, &[]) && !told(DEBIAN, &[("wish.nic-model", "tulip")]));
}

#[test]
fn sizes_and_sectors_have_limits() {
    let sized = |system, wishes: &[_], size: u64, index: usize| {
        let mut machine = machine(system, wishes);
        machine.disks[index].virtual_size = size;
        blocking(&machine)
    };
    let (tib, gib) = (1 << 40, 1 << 30);
    let disk = ["hyperv.disk"];
    assert!(sized(DEBIAN, &[], 2 * tib, 1).is_empty() && sized(DEBIAN, &[], 64 * tib, 0).is_empty());
    assert_eq!(sized(DEBIAN, &[], 2 * tib + 512, 1), disk);
    assert_eq!(sized(WINDOWS_2022, &[], 64 * tib + 512, 1), disk);
    assert!(sized(DEBIAN, &[("wish.format", "vhd")], 2040 * gib, 0).is_empty());
    assert_eq!(sized(DEBIAN, &[("wish.format", "vhd")], 2040 * gib + 512, 0), disk);
    let large = |system, wishes: &[_]| blocking(&machine(system, wishes));
    let (first, second) = (("disk.1.sector-size", "4096"), ("disk.0.sector-size", "4096"));
    assert_eq!(large(DEBIAN, &[first]), disk, "a BIOS does not start from it");
    assert!(large(DEBIAN, &[second]).is_empty() && large(WINDOWS_2022, &[first, second]).is_empty());
    assert_eq!(large(NT4, &[second]), disk);
    assert_eq!(large(DEBIAN, &[second, ("wish.format", "vhd")]), disk);
    assert_eq!(large(WINDOWS_2022, &[("disk.0.sector-size", "2048")]), disk);
}

#[test]
fn machines_that_hyperv_would_refuse_are_refused_first() {
    let good = machine(DEBIAN, &[]);
    let profile = HyperV::profile(nowhere(), &good).unwrap().profile;
    let nic = |mac: &str, network: &str| NicNeed { mac: Some(mac.into()), network: Some(network.into()) };
    let odd = [
        Machine { name: "it's".into(), ..good.clone() },
        Machine { name: "..".into(), ..good.clone() },
        Machine { cpus: 0, ..good.clone() },
        Machine { cpus: 65, ..good.clone() },
        Machine { memory_mib: 31, ..good.clone() },
        Machine { disks: Vec::new(), ..good.clone() },
        Machine { disks: vec![good.disks[0]; 2], ..good.clone() },
        Machine { nics: vec![good.nics[1].clone(); 9], ..good.clone() },
        Machine { nics: vec![nic("01:00:5e:00:00:01", "a")], ..good.clone() },
        Machine { nics: vec![nic("00:15:5d:00:00:01", "a\nb")], ..good.clone() },
    ];
    for machine in odd {
        assert_eq!(blocking(&machine), ["hyperv.machine"]);
        let output = Directory::new("odd");
        let error = HyperV::prepare(at(&output), "k", &machine, &profile).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(output.names().unwrap().is_empty());
    }
    let many = |count| {
        let mut many = machine(NT4, &[]);
        let disk = many.disks[0];
        many.disks = (0..count).map(|index| wherry_sdk::target::DiskNeed { index, ..disk }).collect();
        many
    };
    assert!(blocking(&many(4)).is_empty());
    assert_eq!(blocking(&many(5)), ["hyperv.machine"], "there are four places on IDE");
    assert_eq!(
        blocking(&Machine { nics: vec![good.nics[1].clone(); 5], ..machine(NT4, &[]) }),
        ["hyperv.machine"]
    );
    // A stored profile may have been edited.
    let mixed = wherry_sdk::DeviceProfile { machine: "generation-2".into(), ..profile };
    assert_eq!(HyperV::prepare(nowhere(), "k", &good, &mixed).unwrap_err().kind, ErrorKind::InvalidInput);
}

#[test]
fn sinks_carry_the_format_and_its_options() {
    let output = Directory::new("sinks");
    let sinks = make(&output, "k", &machine(WINDOWS_2022, &[("disk.2.sector-size", "4096")])).unwrap();
    let files = files(&sinks);
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["web-a.1.vhdx", "web-a.1-1.vhdx", "web-a.1-2.vhdx"]);
    assert!(files.iter().all(|file| file.format == "format-vhdx"));
    let option = |place: usize, key| find(&files[place].options, key);
    assert_eq!((option(0, "subformat"), option(0, "sector-size")), (Some("dynamic"), None));
    assert_eq!(option(2, "sector-size"), Some("4096"));
    let uuids: std::collections::BTreeSet<_> = (0..3).map(|place| option(place, "uuid").unwrap()).collect();
    assert_eq!((uuids.len(), uuids.first().unwrap().len()), (3, 36));

    let output = Directory::new("sinks-vhd");
    let wishes = [("wish.format", "vhd"), ("wish.subformat", "fixed")];
    let sinks = make(&output, "k", &machine(NT4, &wishes)).unwrap();
    let first = self::files(&sinks)[0];
    assert_eq!((first.format.as_str(), find(&first.options, "subformat")), ("format-vhd", Some("fixed")));
}
