//! An output directory, a machine, and the calls in their order.

use std::sync::LazyLock;
use target_hyperv::HyperV;
use wherry_sdk::target::{DiskNeed, FileSink, Machine, NicNeed, Sink};
pub use wherry_sdk::testing::Directory;
use wherry_sdk::{Host, LivePlatform, NoHttp, Result, Severity, fact};

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
            NicNeed { mac: Some("00:15:5d:AB:cd:01".into()), network: Some("it's B\u{fc}ro".into()) },
            NicNeed { mac: None, network: None },
        ],
        facts: said.chain(wishes).map(|(key, value)| fact(*key, value)).collect(),
    }
}

/// An output directory, and no server.
pub fn at(output: &Directory) -> Host<'_> {
    Host { output, http: &NoHttp }
}

/// No server, and an output directory that nobody uses.
pub fn nowhere() -> Host<'static> {
    static UNUSED: LazyLock<Directory> = LazyLock::new(|| Directory::new("unused"));
    at(&UNUSED)
}

/// Identifiers of the concerns that block.
pub fn blocking(machine: &Machine) -> Vec<String> {
    let concerns = HyperV::profile(nowhere(), machine).unwrap().concerns.into_iter();
    concerns.filter(|one| one.severity == Severity::Blocking).map(|one| one.id).collect()
}

/// Prepares and finishes; the sinks.
pub fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    let offer = HyperV::profile(nowhere(), machine)?;
    let sinks = HyperV::prepare(at(output), key, machine, &offer.profile)?;
    HyperV::finish(at(output), key, machine, &offer.profile)?;
    Ok(sinks)
}

/// The script that is made for this machine.
pub fn script(machine: &Machine) -> String {
    let output = Directory::new("script");
    make(&output, "k'1", machine).unwrap();
    std::fs::read_to_string(output.path.join("web-a.1.ps1")).unwrap()
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
