//! An output directory, a machine, and the calls in their order.

use target_vmware::VMware;
use wherry_sdk::target::{DiskNeed, FileSink, Machine, NicNeed, Offer, Sink};
pub use wherry_sdk::testing::Directory;
use wherry_sdk::{Host, LivePlatform, NoHttp, Result, Severity, fact, find};

/// Systems by the facts that their adapters tell of them.
pub const NT4: &[(&str, &str)] = &[
    ("firmware", "bios"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows NT Server 4.0"),
    ("os.version", "4.0.1381"),
    ("os.architecture", "i386"),
];
pub const WINDOWS_2003: &[(&str, &str)] = &[
    ("firmware", "bios"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows Server 2003"),
    ("os.version", "5.2.3790"),
    ("os.architecture", "x86_64"),
];
pub const WINDOWS_7: &[(&str, &str)] = &[
    ("firmware", "bios"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows 7 Professional"),
    ("os.version", "6.1.7601"),
    ("os.architecture", "x86_64"),
];
pub const WINDOWS_2022: &[(&str, &str)] = &[
    ("firmware", "uefi"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows Server 2022"),
    ("os.version", "10.0.20348"),
    ("os.architecture", "x86_64"),
];
pub const DEBIAN: &[(&str, &str)] = &[
    ("firmware", "bios"),
    ("os.family", "linux"),
    ("os.id", "debian"),
    ("os.product", "Debian GNU/Linux 12 (bookworm)"),
    ("os.version", "12"),
    ("os.architecture", "x86_64"),
];

/// Three disks, the second of which boots, and two cards.
pub fn machine(system: &[(&str, &str)], wishes: &[(&str, &str)]) -> Machine {
    let disk = |index| DiskNeed { index, virtual_size: (u64::from(index) + 1) << 30, bootable: index == 1 };
    let said = system.iter().filter(|(key, _)| !wishes.iter().any(|(other, _)| key == other));
    Machine {
        name: "web-a.1".into(),
        cpus: 2,
        memory_mib: 1023,
        disks: (0..3).map(disk).collect(),
        nics: vec![
            NicNeed { mac: Some("00:50:56:3F:cd:01".into()), network: Some("B\u{fc}ro \"a|b\"".into()) },
            NicNeed { mac: None, network: None },
        ],
        facts: said.chain(wishes).map(|(key, value)| fact(*key, value)).collect(),
    }
}

/// The offer for this machine, without any server.
pub fn profile(machine: &Machine) -> Result<Offer> {
    VMware::profile(Host { output: &Directory::new("none"), http: &NoHttp }, machine)
}

/// A machine for this server, whose cards are in networks that the simulator has.
pub fn live(server: &str, system: &[(&str, &str)], wishes: &[(&str, &str)]) -> Machine {
    let mut machine = machine(system, wishes);
    machine.nics[0].network = Some("DC0_DVPG0".into());
    if find(&machine.facts, "wish.cluster").is_none() {
        machine.facts.push(fact("wish.cluster", "DC0_C0"));
    }
    machine.facts.extend([
        fact("target.name", "vsphere"),
        fact("target.server", server),
        fact("target.secret.token", "bearer"),
        fact("target.secret.vcenter", "template"),
    ]);
    machine
}

/// Identifiers of the concerns that block.
pub fn blocking(machine: &Machine) -> Vec<String> {
    let concerns = profile(machine).unwrap().concerns.into_iter();
    concerns.filter(|one| one.severity == Severity::Blocking).map(|one| one.id).collect()
}

/// This directory, and no server.
pub fn lone(output: &Directory) -> Host<'_> {
    Host { output, http: &NoHttp }
}

/// Prepares and finishes; the sinks.
pub fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    let host = lone(output);
    let offer = VMware::profile(host, machine)?;
    let sinks = VMware::prepare(host, key, machine, &offer.profile)?;
    VMware::finish(host, key, machine, &offer.profile)?;
    Ok(sinks)
}

/// The VMX file that is made for this machine.
pub fn vmx(machine: &Machine) -> String {
    let output = Directory::new("vmx");
    make(&output, "k|1", machine).unwrap();
    std::fs::read_to_string(output.path.join("web-a.1.vmx")).unwrap()
}

pub fn files(sinks: &[Sink]) -> Vec<&FileSink> {
    fn file(sink: &Sink) -> &FileSink {
        match sink {
            Sink::File(file) => file,
            Sink::Device(device) => panic!("{device}"),
        }
    }
    sinks.iter().map(file).collect()
}
