//! What ovftool, VirtualBox and plain DMTF tools write.

use crate::lab::{DMTF, VIRTUALBOX, VMWARE, beside, ids, system};
use wherry_sdk::definition::{Machine, Place};
use wherry_sdk::{Severity, find};

fn file(machine: &Machine, disk: usize) -> &str {
    match &machine.members[machine.disks[disk].member as usize].at {
        Place::Beside(name) => name,
        Place::Within(_) => panic!("within"),
    }
}

#[test]
fn a_machine_by_vmware() {
    let manifest = format!(
        "SHA256(a.ovf)= {}\r\nSHA256(web 01-disk1.vmdk)= {}\nSHA1(web 01-disk2.vmdk)= {}\n",
        "01".repeat(32),
        "AB".repeat(32),
        "cd".repeat(20)
    );
    let machine = beside(VMWARE, Some(&manifest), &[]).unwrap();
    let name = machine.name.as_deref();
    assert_eq!((name, machine.cpus, machine.memory_mib), (Some("web 01"), Some(4), Some(8192)));
    assert_eq!(machine.firmware.as_deref(), Some("uefi"));
    // by their places on the controller, not in the order of the text
    assert_eq!((file(&machine, 0), file(&machine, 1)), ("web 01-disk1.vmdk", "web 01-disk2.vmdk"));
    let capacities: Vec<_> = machine.disks.iter().map(|disk| disk.capacity.unwrap()).collect();
    assert_eq!(capacities, [16 << 30, 512 << 20]);
    assert!(machine.disks.iter().all(|disk| disk.format == "vmdk"));
    assert_eq!(find(&machine.disks[1].facts, "bus"), Some("pvscsi"));
    assert_eq!(find(&machine.disks[1].facts, "address"), Some("0:1"));
    let nic = &machine.nics[0];
    let said = [&nic.mac, &nic.network, &nic.model].map(|one| one.as_deref().unwrap());
    assert_eq!(said, ["00:50:56:9a:12:34", "VM Network", "vmxnet3"]);
    let digest = |member: usize| {
        let digest = &machine.members[member].digests[0];
        (digest.algorithm.as_str(), digest.hex.len())
    };
    assert_eq!([digest(0), digest(1), digest(2)], [("sha256", 64), ("sha256", 64), ("sha1", 40)]);
    let facts = [
        ("ovf.version", "1"),
        ("ovf.flavour", "vmware"),
        ("system.type", "vmx-19"),
        ("os.type", "debian11_64Guest"),
        ("os.description", "Debian GNU/Linux 11 (64-bit)"),
        ("product.version", "1.2"),
        ("property.ip", "10.0.0.7"),
        ("property.secret", "(hidden)"),
        ("annotation", "the shop & its mail"),
        ("secure-boot", "true"),
    ];
    for (key, value) in facts {
        assert_eq!(find(&machine.facts, key), Some(value), "{key}");
    }
    let kept: Vec<_> = machine.facts.iter().filter(|fact| fact.key.starts_with("kept.")).collect();
    assert_eq!(kept.len(), 2, "annotation and product, not the boot order of the old hardware");
    assert!(kept[1].value.contains("10.0.0.7") && !kept[1].value.contains("hunter2"), "{kept:?}");
    assert_eq!(ids(&machine), ["ovf.unknown-section", "ovf.device-left-out", "ovf.secure-boot"]);
    assert!(!machine.concerns.iter().any(|concern| concern.severity == Severity::Blocking));
}

#[test]
fn a_machine_by_virtualbox() {
    let machine = beside(VIRTUALBOX, None, &[]).unwrap();
    let name = machine.name.as_deref();
    assert_eq!((name, machine.cpus, machine.memory_mib), (Some("mail"), Some(1), Some(1024)));
    assert_eq!((machine.firmware.as_deref(), file(&machine, 0)), (Some("uefi"), "mail-disk001.vmdk"));
    assert_eq!((machine.disks[0].capacity, machine.disks.len()), (Some(20 << 30), 1));
    assert_eq!(find(&machine.disks[0].facts, "bus"), Some("ahci"));
    let nic = &machine.nics[0];
    let said = [&nic.mac, &nic.network, &nic.model].map(|one| one.as_deref().unwrap());
    assert_eq!(said, ["08:00:27:dd:e1:85", "NAT", "e1000"], "the address is in VirtualBox's part alone");
    for (key, value) in [
        ("ovf.flavour", "virtualbox"),
        ("os.type", "Debian_64"),
        ("eula", "Do as you like."),
        ("os.id", "96"),
    ] {
        assert_eq!(find(&machine.facts, key), Some(value), "{key}");
    }
    assert_eq!(ids(&machine), ["ovf.no-manifest", "ovf.device-left-out"]);
}

#[test]
fn one_of_several_machines_in_version_2() {
    let refused = beside(DMTF, None, &[]).unwrap_err();
    assert!(refused.message.contains("say which one") && refused.message.contains("db, app"), "{refused:?}");
    let unknown = beside(DMTF, None, &system("web")).unwrap_err();
    assert!(unknown.message.contains("no machine \"web\""), "{unknown:?}");
    let machine = beside(DMTF, None, &system("db")).unwrap();
    let name = machine.name.as_deref();
    assert_eq!((name, machine.cpus, machine.memory_mib), (Some("db"), Some(6), Some(3072)));
    assert_eq!(
        (find(&machine.facts, "ovf.version"), find(&machine.facts, "configuration")),
        (Some("2"), Some("large"))
    );
    assert_eq!((file(&machine, 0), machine.disks.len()), ("db.vmdk", 1));
    let nic = &machine.nics[0];
    assert_eq!((nic.mac.as_deref(), nic.model.as_deref()), (Some("52:54:00:aa:bb:cc"), Some("virtio-net")));
    assert_eq!(
        ids(&machine),
        ["ovf.no-manifest", "ovf.disk-empty", "ovf.disk-unused", "ovf.unknown-section"]
    );
    let section = machine.concerns.last().unwrap();
    assert!(
        section.severity == Severity::Blocking && section.message.contains("urn:example:backup"),
        "{section:?}"
    );
    let machine = beside(DMTF, None, &system("app")).unwrap();
    let name = machine.name.as_deref();
    assert_eq!((name, machine.memory_mib, file(&machine, 0)), (Some("app server"), Some(512), "app.vhd"));
    assert_eq!(
        (machine.disks[0].format.as_str(), find(&machine.disks[0].facts, "bus")),
        ("vhd", Some("ide"))
    );
}

#[test]
fn what_is_kept_is_whole_by_itself() {
    let machine = beside(DMTF, None, &system("db")).unwrap();
    let text = find(&machine.facts, "kept.0").unwrap();
    let document = text.replace("<n0:BackupSection", "<?xml version=\"1.0\"?>\n<n0:BackupSection");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.xml");
    std::fs::write(&path, document).unwrap();
    let query = "string(/*[namespace-uri()='urn:example:backup']/*[local-name()='Window'])";
    let output = std::process::Command::new("xmllint").args(["--xpath", query]).arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "nights & Sundays");
}
