//! libvirt reads the files as it reads those of ESXi and Workstation (`domxml-from-native vmware-vmx`). Its driver wants to see
//! VMware's programs first; stand-ins that only tell a version are enough for that.

use crate::bench::{DEBIAN, Directory, NT4, machine, make};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use wherry_sdk::target::Machine;

const PROGRAM: &str = "#!/bin/sh\necho VMware Player 15.5.0 build-14665864\n";

fn stand_ins(folder: &Path) {
    for name in ["vmplayer", "vmware", "vmrun"] {
        let file = folder.join(name);
        std::fs::write(&file, PROGRAM).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What libvirt makes of the VMX file of this machine, or says against it.
fn read(text: &str) -> Result<String, String> {
    let place = Directory::new("reader");
    stand_ins(&place.path);
    let file = place.path.join("machine.vmx");
    std::fs::write(&file, text).unwrap();
    let path = format!("{}:{}", place.path.display(), std::env::var("PATH").unwrap());
    let virsh = Command::new("virsh")
        .args(["-c", "vmwareplayer:///session", "domxml-from-native", "vmware-vmx"])
        .arg(&file)
        .env("PATH", path)
        .env("HOME", &place.path)
        .output()
        .unwrap();
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if virsh.status.success() { Ok(words(&virsh.stdout)) } else { Err(words(&virsh.stderr)) }
}

fn made(machine: &Machine) -> String {
    let output = Directory::new("reader-made");
    make(&output, "k|1", machine).unwrap();
    std::fs::read_to_string(output.path.join("web-a.1.vmx")).unwrap()
}

#[test]
fn libvirt_reads_every_choice() {
    let buses = [
        ("pvscsi", "<controller type='scsi' index='0' model='vmpvscsi'/>"),
        ("lsi-sas", "<controller type='scsi' index='0' model='lsisas1068'/>"),
        ("lsi-scsi", "<controller type='scsi' index='0' model='lsilogic'/>"),
        ("buslogic", "<controller type='scsi' index='0' model='buslogic'/>"),
        ("ide", "<controller type='ide' index='0'/>"),
        ("ahci", "<controller type='sata' index='0'/>"),
    ];
    let cards = ["vmxnet3", "e1000e", "e1000", "pcnet"];
    for (turn, (bus, controller)) in buses.into_iter().enumerate() {
        let card = cards[turn % cards.len()];
        let firmware = if turn % 2 == 0 { "bios" } else { "uefi" };
        let wishes = [("wish.disk-bus", bus), ("wish.nic-model", card), ("firmware", firmware)];
        let xml = read(&made(&machine(DEBIAN, &wishes))).unwrap();
        let model = if card == "pcnet" { "vlance" } else { card };
        let expected = [
            "<name>web-a.1</name>",
            "<description>wherry-key: k|1</description>",
            "<memory unit='KiB'>1048576</memory>",
            "<vcpu placement='static'>2</vcpu>",
            "<source file='web-a.1-1.vmdk'/>",
            "<mac address='00:50:56:3f:cd:01' type='static'/>",
            // It takes the escapes back in names and notes alone.
            "<source bridge='B\u{fc}ro |22a|7Cb|22'/>",
            &format!("<model type='{model}'/>"),
            controller,
        ];
        for part in expected {
            assert!(xml.contains(part), "{bus}: {part} in {xml}");
        }
        assert_eq!(xml.matches("<disk type='file'").count(), 3, "{bus}: {xml}");
        assert_eq!(xml.contains("<os firmware='efi'>"), firmware == "uefi", "{bus}: {xml}");
        // The disk that boots comes first.
        let first = xml.split("<disk ").nth(1).unwrap();
        assert!(first.contains("web-a.1-1.vmdk"), "{bus}: {first}");
    }
}

#[test]
fn libvirt_sees_cores_and_foreign_addresses() {
    let mut many = machine(DEBIAN, &[("wish.cores-per-socket", "2")]);
    many.cpus = 4;
    many.nics[0].mac = Some("52:54:00:12:34:56".into());
    let xml = read(&made(&many)).unwrap();
    assert!(xml.contains("sockets='2' dies='1' cores='2'"), "{xml}");
    assert!(xml.contains("<mac address='52:54:00:12:34:56' type='static' check='no'/>"), "{xml}");
}

#[test]
fn libvirt_finds_every_disk_of_many() {
    for (bus, count) in [("pvscsi", 60), ("ahci", 40), ("lsi-sas", 17)] {
        let mut many = machine(DEBIAN, &[("wish.disk-bus", bus)]);
        let disk = many.disks[0];
        many.disks = (0..count).map(|index| wherry_sdk::target::DiskNeed { index, ..disk }).collect();
        let xml = read(&made(&many)).unwrap();
        assert_eq!(xml.matches("<disk type='file'").count(), count as usize, "{bus}: {xml}");
    }
}

#[test]
fn libvirt_refuses_what_is_damaged() {
    let good = made(&machine(NT4, &[]));
    assert!(
        read(&good).unwrap().contains("<address type='drive' controller='0' bus='1' target='0' unit='0'/>")
    );
    for (from, to) in
        [("\"vlance\"", "\"tulip\""), ("config.version", "x"), ("memSize = \"1024\"", "memSize = \"1023\"")]
    {
        assert!(good.contains(from), "{from}");
        assert!(read(&good.replace(from, to)).is_err(), "{from}");
    }
}
