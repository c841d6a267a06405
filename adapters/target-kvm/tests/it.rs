//! The adapter against an output directory on disk, `virt-xml-validate` and QEMU itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use target_kvm::Kvm;
use wherry_sdk::target::{DiskNeed, Machine, NicNeed, Sink};
use wherry_sdk::{Error, ErrorKind, Output, Result, Severity, TargetPlatform, fact, find};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wherry-kvm-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn io(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, error.to_string())
}

impl Output for Directory {
    fn write(&self, name: &str, bytes: &[u8], executable: bool) -> Result<()> {
        assert!(!name.contains('/'));
        fs::write(self.0.join(name), bytes).map_err(io)?;
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).map_err(io)
    }
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.0.join(name)).map_err(io)
    }
    fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        Ok(names)
    }
    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.0.join(name)).map_err(io)
    }
    fn path(&self) -> String {
        self.0.to_str().unwrap().into()
    }
}

fn machine(wishes: &[(&str, &str)]) -> Machine {
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

fn blocking(machine: &Machine) -> usize {
    let offer = Kvm::profile(machine).unwrap();
    offer.concerns.iter().filter(|it| it.severity == Severity::Blocking).count()
}

/// Prepares and finishes; the sinks.
fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    let offer = Kvm::profile(machine)?;
    let sinks = Kvm::prepare(output, key, machine, &offer.profile)?;
    Kvm::finish(output, key, machine, &offer.profile)?;
    Ok(sinks)
}

fn names(sinks: &[Sink]) -> Vec<String> {
    let name = |sink: &Sink| match sink {
        Sink::File(file) => file.name.clone(),
        Sink::Device(device) => panic!("{device}"),
    };
    sinks.iter().map(name).collect()
}

#[test]
fn defaults_and_wishes() {
    let profile = Kvm::profile(&machine(&[("firmware", "uefi")])).unwrap().profile;
    assert_eq!((profile.firmware.as_str(), profile.disk_bus.as_str()), ("uefi", "virtio-blk"));
    assert_eq!((profile.nic_model.as_str(), profile.machine.as_str()), ("virtio-net", "q35"));
    assert_eq!(find(&profile.facts, "serial-console"), Some("ttyS0"));
    for capability in Kvm::capabilities().unwrap() {
        let key = match capability.key.as_str() {
            "firmware" | "architecture" => continue,
            other => format!("wish.{other}"),
        };
        assert_eq!(blocking(&machine(&[(&key, &capability.value)])), 0, "{key}");
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

#[test]
fn a_place_belongs_to_its_key() {
    let output = Directory::new("claims");
    let one = machine(&[]);
    let sinks = make(&output, "one", &one).unwrap();
    for name in names(&sinks) {
        output.write(&name, b"data", false).unwrap();
    }
    output.write("web-a.1.notes", b"a person's", false).unwrap();
    make(&output, "one", &one).expect("the same key again");
    let profile = Kvm::profile(&one).unwrap().profile;
    assert_eq!(make(&output, "two", &one).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(Kvm::finish(&output, "two", &one, &profile).unwrap_err().kind, ErrorKind::Exists);

    let neighbour = Machine { name: "web-a.1-1".into(), disks: one.disks[..1].to_vec(), ..one.clone() };
    let error = make(&output, "two", &neighbour).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exists);
    output.remove("web-a.1-1.qcow2").unwrap();
    let error = make(&output, "two", &neighbour).unwrap_err();
    assert!(error.message.contains("belongs to machine `web-a.1`"), "{}", error.message);

    let before = output.names().unwrap();
    Kvm::undo(&output, "two", &one).unwrap();
    assert_eq!(output.names().unwrap(), before);
    Kvm::undo(&output, "one", &one).unwrap();
    Kvm::undo(&output, "one", &one).unwrap();
    assert_eq!(output.names().unwrap(), ["web-a.1.notes"]);
    assert_eq!(Kvm::finish(&output, "one", &one, &profile).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn files_of_others_stay() {
    for file in ["web-a.1.qcow2", "web-a.1-0.qcow2", "web-a.1-3.qcow2", "web-a.1.xml", "web-a.1.sh"] {
        let output = Directory::new(file);
        output.write(file, b"precious", false).unwrap();
        let error = make(&output, "k", &machine(&[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.message.contains(file));
        Kvm::undo(&output, "k", &machine(&[])).unwrap();
        assert_eq!(output.names().unwrap(), [file]);
    }
    let output = Directory::new("foreign-claim");
    output.write("web-a.1.wherry.json", b"{]", false).unwrap();
    assert_eq!(make(&output, "k", &machine(&[])).unwrap_err().kind, ErrorKind::Exists);
    let lying = br#"{"key":"k","files":["other.txt","web-a.1.qcow2","web-a.10.qcow2"]}"#;
    output.write("web-a.1.wherry.json", lying, false).unwrap();
    output.write("other.txt", b"precious", false).unwrap();
    output.write("web-a.10.qcow2", b"precious", false).unwrap();
    Kvm::undo(&output, "k", &machine(&[])).unwrap();
    assert_eq!(output.names().unwrap(), ["other.txt", "web-a.10.qcow2"]);
}

const BUSES: [&str; 4] = ["virtio-blk", "virtio-scsi", "ahci", "nvme"];

#[test]
fn libvirt_accepts_every_definition() {
    for bus in BUSES {
        for (firmware, board) in [("bios", "q35"), ("uefi", "q35"), ("bios", "i440fx"), ("uefi", "i440fx")] {
            let output = Directory::new(&format!("xml, {bus} & '{firmware}' {board}"));
            let wishes = [("wish.disk-bus", bus), ("firmware", firmware), ("wish.machine", board)];
            make(&output, "k", &machine(&wishes)).unwrap();
            let file = output.0.join("web-a.1.xml");
            let result = Command::new("virt-xml-validate").arg(&file).arg("domain").output().unwrap();
            let said = String::from_utf8_lossy(&result.stderr);
            assert!(
                result.status.success(),
                "{bus} {firmware}: {said}\n{}",
                fs::read_to_string(&file).unwrap()
            );
            let text = fs::read_to_string(&file).unwrap();
            assert_eq!(text.contains("<os firmware='efi'>"), firmware == "uefi");
        }
    }
}

#[test]
fn scripts_are_shell() {
    for wishes in
        [[("firmware", "bios"), ("wish.disk-bus", "ahci")], [("firmware", "uefi"), ("wish.disk-bus", "nvme")]]
    {
        let output = Directory::new(&format!("it's sh, {}", wishes[0].1));
        make(&output, "k", &machine(&wishes)).unwrap();
        let file = output.0.join("web-a.1.sh");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(Command::new("sh").arg("-n").arg(&file).status().unwrap().success());
        // With `echo` for QEMU and no firmware needed, the words arrive as they were meant.
        if wishes[0].1 == "bios" {
            let result = Command::new(&file).arg("-nographic").env("QEMU", "echo").output().unwrap();
            let said = String::from_utf8(result.stdout).unwrap();
            let path = output.0.to_str().unwrap().replace(',', ",,");
            assert!(said.contains(&format!("file={path}/web-a.1-7.qcow2 ")), "{said}");
            assert!(said.contains("accel=kvm:tcg") && said.ends_with(" -nographic\n"), "{said}");
            assert!(said.contains("ide-hd,bus=ahci1.1,drive=disk7 "), "{said}");
        }
    }
}

/// The script builds every machine in QEMU, which is then told to quit before the guest runs.
#[test]
fn qemu_accepts_every_script() {
    let boards = ["q35", "i440fx"];
    for (number, bus) in BUSES.iter().enumerate() {
        for (nic, firmware) in [("virtio-net", "bios"), ("e1000", "uefi"), ("e1000e", "bios")] {
            let board = boards[number % 2];
            let output = Directory::new(&format!("qemu, {bus} it's {nic}"));
            let wishes = [
                ("wish.disk-bus", *bus),
                ("wish.nic-model", nic),
                ("firmware", firmware),
                ("wish.machine", board),
                ("wish.format", "raw"),
            ];
            for name in names(&make(&output, "k", &machine(&wishes)).unwrap()) {
                output.write(&name, &[0; 1 << 20], false).unwrap();
            }
            let mut child = Command::new(output.0.join("web-a.1.sh"))
                .args(["-S", "-display", "none", "-serial", "none", "-monitor", "stdio"])
                .env("ACCEL", "tcg")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let _ = child.stdin.take().unwrap().write_all(b"info block\nquit\n");
            let result = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&result.stderr);
            assert!(result.status.success(), "{bus} {nic} {board} {firmware}: {said}");
            let blocks = String::from_utf8_lossy(&result.stdout).matches("web-a.1-7.raw").count();
            assert!(blocks > 0, "{bus} {nic} {board}: {}", String::from_utf8_lossy(&result.stdout));
            assert_eq!(output.names().unwrap().contains(&"web-a.1-vars.fd".into()), firmware == "uefi");
            Kvm::undo(&output, "k", &machine(&wishes)).unwrap();
            assert!(output.names().unwrap().is_empty());
        }
    }
}
