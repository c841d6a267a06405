//! A machine, and the calls in their order.

use target_ovf::Ovf;
use wherry_sdk::target::{DiskNeed, Machine, NicNeed, Sink};
pub use wherry_sdk::testing::Directory;
use wherry_sdk::testing::target;
use wherry_sdk::{Fact, Output, Result, TargetPlatform, fact};

pub const FLAVOURS: [(&str, &[&str], &[&str]); 3] = [
    ("vmware", &["pvscsi", "lsi-scsi", "ahci", "nvme"], &["vmxnet3", "e1000e", "e1000"]),
    ("virtualbox", &["ahci", "lsi-scsi", "virtio-scsi"], &["e1000", "virtio-net"]),
    ("dmtf", &["ahci", "lsi-scsi", "virtio-scsi"], &["e1000", "virtio-net"]),
];

/// Two disks, the second of which boots, and two cards.
pub fn machine(facts: &[(&str, &str)]) -> Machine {
    let disk = |index, bootable| DiskNeed { index, virtual_size: (u64::from(index) + 1) << 30, bootable };
    let nic = |mac: &str, network: Option<&str>| NicNeed {
        mac: Some(mac.into()),
        network: network.map(Into::into),
    };
    let mut all =
        vec![fact("firmware", "bios"), fact("os.id", "debian"), fact("os.product", "Debian <12> & more")];
    all.retain(|one: &Fact| !facts.iter().any(|(key, _)| one.key == *key));
    all.extend(facts.iter().map(|(key, value)| fact(*key, value)));
    Machine {
        name: "web-a.1".into(),
        cpus: 3,
        memory_mib: 1536,
        disks: vec![disk(0, false), disk(1, true)],
        nics: vec![nic("52:54:00:AA:BB:01", None), nic("52:54:00:aa:bb:02", Some("a \"b\" <c>"))],
        facts: all,
    }
}

/// Prepares, writes disks, finishes as the host does it.
pub fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Fact>> {
    let offer = Ovf::profile(machine)?;
    let sinks = Ovf::prepare(output, key, machine, &offer.profile)?;
    let mut told = machine.clone();
    for (need, sink) in machine.disks.iter().zip(&sinks) {
        let Sink::File(file) = sink else { panic!("{sink:?}") };
        output.write(&file.name, format!("disk {}", need.index).as_bytes(), false)?;
        let sum = run("sha256sum", &[&file.name], output);
        told.facts.push(fact(format!("disk.{}.sha256", need.index), &sum[..64]));
        told.facts.push(fact(format!("disk.{}.stored-size", need.index), 6));
    }
    Ovf::finish(output, key, &told, &offer.profile)
}

pub fn run(program: &str, arguments: &[&str], output: &Directory) -> String {
    let done =
        std::process::Command::new(program).args(arguments).current_dir(&output.path).output().unwrap();
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{program} {arguments:?}: {words}");
    String::from_utf8(done.stdout).unwrap()
}

/// What this XPath expression says of the descriptor.
pub fn query(output: &Directory, path: &str) -> String {
    run("xmllint", &["--xpath", path, "web-a.1.ovf"], output).trim().to_owned()
}

pub fn blocking(machine: &Machine) -> Vec<String> {
    target::blocking(&Ovf::profile(machine).unwrap().concerns)
}
