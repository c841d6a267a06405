//! The script builds every machine in QEMU, which is asked what it has and told to quit before the guest runs.

use crate::bench::{BOARDS, BUSES, Directory, FIRMWARES, NICS, machine, make, names};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use target_kvm::Kvm;
use wherry_sdk::target::DiskNeed;
use wherry_sdk::{Output, TargetPlatform};

/// What QEMU's monitor answers to these questions about the machine of this script.
fn ask(output: &Directory, questions: &str) -> String {
    let mut child = Command::new(output.path.join("web-a.1.sh"))
        .args(["-S", "-display", "none", "-serial", "none", "-monitor", "stdio"])
        .env("ACCEL", "tcg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(format!("{questions}quit\n").as_bytes());
    let result = child.wait_with_output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    String::from_utf8_lossy(&result.stdout).into_owned()
}

/// The class that `info pci` names for a slot of bus 0.
fn class(answer: &str, slot: usize) -> String {
    let place = format!("Bus  0, device {slot:3}, function 0:");
    let (_, rest) = answer.split_once(&place).unwrap_or_default();
    rest.trim_start().split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn qemu_accepts_every_script() {
    let mut turn = 0;
    for bus in BUSES {
        for board in BOARDS {
            for firmware in FIRMWARES {
                let nic = NICS[turn % NICS.len()];
                turn += 1;
                let output = Directory::new(&format!("qemu, {bus} it's {nic}"));
                let wishes = [
                    ("wish.disk-bus", bus),
                    ("wish.nic-model", nic),
                    ("firmware", firmware),
                    ("wish.machine", board),
                    ("wish.format", "raw"),
                ];
                for name in names(&make(&output, "k", &machine(&wishes)).unwrap()) {
                    output.write(&name, &[0; 1 << 20], false).unwrap();
                }
                let answer = ask(&output, "info block\ninfo pci\ninfo network\n");
                let what = format!("{bus} {nic} {board} {firmware}: {answer}");
                assert!(answer.contains("web-a.1-7.raw"), "{what}");
                assert!(answer.matches("Detect zeroes:    unmap").count() == 8, "{what}");
                assert!(answer.contains("macaddr=52:54:00:ab:cd:01"), "{what}");
                assert_eq!((class(&answer, 8), class(&answer, 9)), two("Ethernet controller"), "{what}");
                assert_eq!(output.names().unwrap().contains(&"web-a.1-vars.fd".into()), firmware == "uefi");
                Kvm::undo(&output, "k", &machine(&wishes)).unwrap();
                assert!(output.names().unwrap().is_empty());
            }
        }
    }
}

#[test]
fn qemu_gives_disks_the_sectors_they_had() {
    for bus in BUSES.into_iter().filter(|bus| *bus != "ahci") {
        let output = Directory::new("sectors");
        let facts = [("wish.disk-bus", bus), ("wish.format", "raw"), ("firmware", "uefi")];
        let mut large = machine(&facts);
        large.facts.push(wherry_sdk::fact("disk.1.sector-size", "4096"));
        for name in names(&make(&output, "k", &large).unwrap()) {
            output.write(&name, &[0; 1 << 20], false).unwrap();
        }
        let answer = ask(&output, "info qtree\n");
        let count = |size: &str| answer.matches(&format!(" logical_block_size = {size} ")).count();
        // The board's own CD drive has sectors as well.
        assert!(count("4096") == 1 && count("512") >= 7, "{bus}: {answer}");
    }
}

/// Why `ahci` is refused, in QEMU's own words.
#[test]
fn qemu_has_no_large_sectors_on_ahci() {
    let arguments = ["-S", "-display", "none", "-device", "ahci,id=a", "-device"];
    let disk =
        "ide-hd,bus=a.0,drive=d,logical_block_size=4096,physical_block_size=4096,discard_granularity=0";
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-blockdev", "null-co,read-zeroes=on,node-name=d"]).args(arguments).arg(disk);
    let said = String::from_utf8_lossy(&qemu.output().unwrap().stderr).into_owned();
    assert!(said.contains("logical_block_size must be 512"), "{said}");
}

/// Why a disk to start from by `bios` is refused, in SeaBIOS's own words (on its debugging port).
#[test]
fn seabios_does_not_start_from_large_sectors() {
    for (disk, words) in [
        ("virtio-blk-pci", " block size 4096 is unsupported"),
        ("scsi-hd", "virtio-scsi: unsupported block size 4096"),
    ] {
        let disk = format!("{disk},drive=d,logical_block_size=4096,physical_block_size=4096");
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-display", "none", "-nic", "none", "-device", "virtio-scsi,addr=5"])
            .args(["-blockdev", "null-co,read-zeroes=on,size=1048576,node-name=d", "-device", &disk])
            .args(["-chardev", "stdio,id=c", "-device", "isa-debugcon,iobase=0x402,chardev=c"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(qemu.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        let said: Vec<String> = lines.take_while(|line| !line.contains("Booting from")).collect();
        qemu.kill().unwrap();
        qemu.wait().unwrap();
        assert!(said.iter().any(|line| line.contains(words)), "{said:?}");
    }
}

fn two(text: &str) -> (String, String) {
    (text.into(), text.into())
}

/// As many disks as there is room for, and cards in the same slots as with few.
#[test]
fn qemu_has_room_for_as_many_as_are_offered() {
    for (bus, most) in [("virtio-blk", 15), ("nvme", 15), ("ahci", 24), ("virtio-scsi", 60)] {
        for board in BOARDS {
            let output = Directory::new("room");
            let mut full =
                machine(&[("wish.disk-bus", bus), ("wish.machine", board), ("wish.format", "raw")]);
            full.disks =
                (0..most).map(|index| DiskNeed { index, virtual_size: 1, bootable: false }).collect();
            full.nics = vec![full.nics[1].clone(); 8];
            for name in names(&make(&output, "k", &full).unwrap()) {
                output.write(&name, &[0; 512], false).unwrap();
            }
            let answer = ask(&output, "info block\ninfo pci\n");
            assert!(answer.contains(&format!("web-a.1-{}.raw", most - 1)), "{bus} {board}: {answer}");
            for slot in 8..16 {
                assert_eq!(class(&answer, slot), "Ethernet controller", "{bus} {board}: {answer}");
            }
            full.disks.push(DiskNeed { index: most, virtual_size: 1, bootable: false });
            assert_eq!(crate::bench::blocking(&full), 1, "{bus}");
            full.disks.pop();
            full.nics.push(full.nics[0].clone());
            assert_eq!(crate::bench::blocking(&full), 1, "{bus}");
        }
    }
}

/// Each generation gets devices that it has drivers for, where the profile says they are.
#[test]
fn windows_gets_what_it_knows() {
    let cases = [
        ("4.0.1381", "ide", "pcnet", "i440fx"),
        ("5.0.2195", "ide", "rtl8139", "i440fx"),
        ("5.1.2600", "ide", "rtl8139", "i440fx"),
        ("5.2.3790", "ide", "rtl8139", "i440fx"),
        ("6.0.6002", "ahci", "e1000", "q35"),
        ("10.0.20348", "ahci", "e1000", "q35"),
    ];
    for (version, bus, nic, board) in cases {
        let output = Directory::new(&format!("windows {version}"));
        let mut windows = machine(&[
            ("os.family", "windows"),
            ("os.version", version),
            ("firmware", "bios"),
            ("wish.format", "raw"),
        ]);
        windows.disks.truncate(4);
        let profile = Kvm::profile(&windows).unwrap().profile;
        let found = (profile.disk_bus.as_str(), profile.nic_model.as_str(), profile.machine.as_str());
        assert_eq!(found, (bus, nic, board), "{version}");
        for name in names(&make(&output, "k", &windows).unwrap()) {
            output.write(&name, &[0; 1 << 20], false).unwrap();
        }
        let answer = ask(&output, "info block\ninfo pci\ninfo qtree\n");
        assert!(answer.contains("web-a.1-3.raw") && answer.contains(&format!("dev: {nic}, id")), "{answer}");
        assert_eq!(class(&answer, 8), "Ethernet controller", "{version}: {answer}");
        assert!(!answer.contains("virtio"), "{version}: {answer}");
    }
    let odd = machine(&[("wish.disk-bus", "ide"), ("wish.machine", "q35"), ("firmware", "bios")]);
    assert!(crate::bench::blocking(&odd) >= 1);
}

/// Where the definition says that disks are, QEMU has them.
#[test]
fn disks_are_where_the_profile_says() {
    for (bus, board, own, places) in [
        ("ide", "i440fx", "IDE controller", ["01.1 channel=0 unit=0", "01.1 channel=1 unit=1"]),
        ("ahci", "q35", "SATA controller", ["1f.2 port=0", "1f.2 port=3"]),
        ("ahci", "i440fx", "SATA controller", ["04.0 port=0", "04.0 port=3"]),
        ("virtio-scsi", "q35", "SCSI controller", ["04.0 target=0 lun=0", "04.0 target=3 lun=0"]),
        ("virtio-blk", "i440fx", "SCSI controller", ["10.0", "13.0"]),
        ("nvme", "q35", "Class 0264", ["10.0", "13.0"]),
    ] {
        let output = Directory::new("places");
        let wishes = [("wish.disk-bus", bus), ("wish.machine", board), ("wish.format", "raw")];
        let mut four = machine(&wishes);
        four.disks.truncate(4);
        let profile = Kvm::profile(&four).unwrap().profile;
        let told = ["disk.0.slot", "disk.3.slot"].map(|key| wherry_sdk::find(&profile.facts, key).unwrap());
        assert_eq!(told, places, "{bus} {board}");
        for name in names(&make(&output, "k", &four).unwrap()) {
            output.write(&name, &[0; 1 << 20], false).unwrap();
        }
        let answer = ask(&output, "info pci\n");
        for place in told {
            let (slot, function) = place.split(' ').next().unwrap().split_once('.').unwrap();
            let slot = usize::from_str_radix(slot, 16).unwrap();
            let head = format!("Bus  0, device {slot:3}, function {function}:");
            let (_, rest) = answer.split_once(&head).unwrap();
            assert!(rest.trim_start().starts_with(own), "{bus} {board} {place}: {answer}");
        }
    }
}

/// A Solaris gets what its releases have drivers for.
#[test]
fn solaris_gets_what_it_knows() {
    for (id, version, expected) in [
        ("solaris", "10", ("ide", "e1000", "i440fx")),
        ("solaris", "11.4", ("ahci", "e1000", "q35")),
        ("omnios", "r151046", ("ahci", "e1000", "q35")),
    ] {
        let solaris = machine(&[("os.family", "solaris"), ("os.id", id), ("os.version", version)]);
        let profile = Kvm::profile(&solaris).unwrap().profile;
        let found = (profile.disk_bus.as_str(), profile.nic_model.as_str(), profile.machine.as_str());
        assert_eq!(found, expected, "{id} {version}");
    }
}
