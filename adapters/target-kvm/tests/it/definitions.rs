//! What is written: XML that libvirt's schema accepts, and shell that is shell.

use crate::bench::{BOARDS, BUSES, Directory, FIRMWARES, NICS, machine, make};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use wherry_sdk::Output as _;
use wherry_sdk::target::DiskNeed;

/// The definition, after `virt-xml-validate` has accepted it.
fn accepted(output: &Directory) -> String {
    let file = output.path.join("web-a.1.xml");
    let result = Command::new("virt-xml-validate").arg(&file).arg("domain").output().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(result.status.success(), "{}\n{text}", String::from_utf8_lossy(&result.stderr));
    text
}

#[test]
fn libvirt_accepts_every_definition() {
    for bus in BUSES {
        for nic in NICS {
            for firmware in FIRMWARES {
                for board in BOARDS {
                    let output = Directory::new(&format!("xml, {bus} & '{firmware}' {board}"));
                    let wishes = [
                        ("wish.disk-bus", bus),
                        ("wish.nic-model", nic),
                        ("firmware", firmware),
                        ("wish.machine", board),
                    ];
                    make(&output, "k", &machine(&wishes)).unwrap();
                    let text = accepted(&output);
                    assert_eq!(text.contains("<os firmware='efi'>"), firmware == "uefi");
                    assert!(text.contains("<mac address='52:54:00:ab:cd:01'/>"), "{text}");
                    assert_eq!(
                        text.matches("type='drive'").count() + text.matches("slot='0x1").count(),
                        match (bus, board) {
                            ("nvme", _) => 0,
                            ("ahci", "q35") => 9,
                            _ => 8,
                        },
                        "{text}"
                    );
                    for slot in ["0x08", "0x09"] {
                        let address = format!("bus='0x00' slot='{slot}' function='0x0'/>");
                        assert_eq!(text.matches(&address).count(), 1, "{text}");
                    }
                    assert_eq!(
                        text.matches("detect_zeroes='unmap'").count(),
                        if bus == "nvme" { 0 } else { 8 }
                    );
                }
            }
        }
    }
}

#[test]
fn libvirt_accepts_disks_with_large_sectors() {
    for bus in BUSES.into_iter().filter(|bus| *bus != "ahci") {
        let output = Directory::new("sectors");
        let facts = [("wish.disk-bus", bus), ("firmware", "uefi"), ("disk.0.sector-size", "4096")];
        make(&output, "k", &machine(&facts)).unwrap();
        let text = accepted(&output);
        let written = match bus {
            "nvme" => "logical_block_size=4096,physical_block_size=4096",
            _ => "<blockio logical_block_size='4096' physical_block_size='4096'/>",
        };
        assert_eq!(text.matches(written).count(), 1, "{bus}: {text}");
        assert_eq!(text.matches("_block_size").count(), 2, "{bus}: {text}");
    }
}

#[test]
fn libvirt_adds_no_scsi_controller_of_its_own() {
    let output = Directory::new("many");
    let mut many = machine(&[("wish.disk-bus", "virtio-scsi")]);
    many.disks = (0..31).map(|index| DiskNeed { index, virtual_size: 1, bootable: false }).collect();
    make(&output, "k", &many).unwrap();
    let text = accepted(&output);
    assert_eq!(text.matches("model='virtio-scsi'").count(), 1);
    assert_eq!(text.matches("controller='0' bus='0' target='30' unit='0'/>").count(), 1, "{text}");
}

/// Runs the script with `echo` for QEMU, so that the words are seen as they arrive.
fn echo(output: &Directory) -> Output {
    Command::new(output.path.join("web-a.1.sh")).arg("-nographic").env("QEMU", "echo").output().unwrap()
}

#[test]
fn scripts_are_shell_whatever_the_directory_is_called() {
    let output = Directory::new("it's sh, $HOME `id`");
    make(&output, "k", &machine(&[("firmware", "bios"), ("wish.disk-bus", "ahci")])).unwrap();
    let file = output.path.join("web-a.1.sh");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(Command::new("sh").arg("-n").arg(&file).status().unwrap().success());
    let said = String::from_utf8(echo(&output).stdout).unwrap();
    let path = output.path.to_str().unwrap().replace(',', ",,");
    assert!(said.contains(&format!("file={path}/web-a.1-7.qcow2 ")), "{said}");
    assert!(said.contains("accel=kvm:tcg") && said.ends_with(" -nographic\n"), "{said}");
    assert!(
        said.contains("ide-hd,bus=ide.5,drive=disk5 ") && said.contains("ide-hd,bus=ahci1.1,drive=disk7 "),
        "{said}"
    );
}

#[test]
fn firmware_fits_the_variables_that_a_machine_brings() {
    let output = Directory::new("efi");
    let uefi = machine(&[("firmware", "uefi")]);
    make(&output, "k", &uefi).unwrap();
    let vars = output.path.join("web-a.1-vars.fd");
    let code = |said: &Output| {
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        text.split_whitespace().find_map(|word| word.split("file=").nth(1).map(str::to_owned)).unwrap()
    };
    let size = |path: &str| fs::metadata(path).unwrap().len();
    assert_eq!(code(&echo(&output)), "/usr/share/OVMF/OVMF_CODE_4M.fd");
    assert_eq!(fs::metadata(&vars).unwrap().len(), size("/usr/share/OVMF/OVMF_VARS_4M.fd"));
    // Variables once written are kept.
    let mut own = fs::read("/usr/share/OVMF/OVMF_VARS.fd").unwrap();
    own[100] ^= 1;
    fs::write(&vars, &own).unwrap();
    assert_eq!(code(&echo(&output)), "/usr/share/OVMF/OVMF_CODE.fd");
    assert_eq!(fs::read(&vars).unwrap(), own);
    fs::write(&vars, "odd").unwrap();
    let refused = echo(&output);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no OVMF firmware that fits"));
    // An interrupted copy is no variable store, and goes with the rest.
    output.write("web-a.1-vars.fd.new", b"half", false).unwrap();
    <target_kvm::Kvm as wherry_sdk::TargetPlatform>::undo(&output, "k", &uefi).unwrap();
    assert!(output.names().unwrap().is_empty());
}

#[test]
fn libvirt_accepts_windows_of_each_generation() {
    for (version, clock) in
        [("4.0.1381", "pentium3"), ("5.2.3790", "host-passthrough"), ("10.0.26100", "hypervclock")]
    {
        let output = Directory::new(&format!("windows {version}"));
        let facts = [("os.family", "windows"), ("os.version", version), ("firmware", "bios")];
        let mut windows = machine(&facts);
        windows.disks.truncate(4);
        make(&output, "k", &windows).unwrap();
        let text = accepted(&output);
        assert!(text.contains(clock) && text.contains("<clock offset='localtime'>"), "{text}");
        assert!(!text.contains("<rng"), "{text}");
    }
}
