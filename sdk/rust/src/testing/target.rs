//! What a target adapter's tests need: machines, and the calls in their order, without any server.

use super::Directory;
use crate::target::{DiskNeed, FileSink, Machine, NicNeed, Sink};
use crate::{Concern, ErrorKind, Host, LivePlatform, NoHttp, Output, Result, Severity, fact};
use std::sync::LazyLock;

/// A system by the facts that its adapter tells of it.
pub type System = [(&'static str, &'static str)];

/// Windows NT 4, of 32 bits.
pub const NT4: &System = &[
    ("firmware", "bios"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows NT Server 4.0"),
    ("os.version", "4.0.1381"),
    ("os.architecture", "i386"),
];
/// Windows Server 2003.
pub const WINDOWS_2003: &System = &[
    ("firmware", "bios"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows Server 2003"),
    ("os.version", "5.2.3790"),
    ("os.architecture", "x86_64"),
];
/// Windows 7.
pub const WINDOWS_7: &System = &[
    ("firmware", "bios"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows 7 Professional"),
    ("os.version", "6.1.7601"),
    ("os.architecture", "x86_64"),
];
/// Windows Server 2022, started by UEFI.
pub const WINDOWS_2022: &System = &[
    ("firmware", "uefi"),
    ("os.family", "windows"),
    ("os.id", "windows"),
    ("os.product", "Windows Server 2022"),
    ("os.version", "10.0.20348"),
    ("os.architecture", "x86_64"),
];
/// Debian 12.
pub const DEBIAN: &System = &[
    ("firmware", "bios"),
    ("os.family", "linux"),
    ("os.id", "debian"),
    ("os.product", "Debian GNU/Linux 12 (bookworm)"),
    ("os.version", "12"),
    ("os.architecture", "x86_64"),
];

/// `web-a.1`: three disks, the second of which boots, and two cards, the first with this address and network. A wish may
/// also say another of the system's facts.
pub fn machine(system: &[(&str, &str)], wishes: &[(&str, &str)], (mac, network): (&str, &str)) -> Machine {
    let disk = |index| DiskNeed { index, virtual_size: (u64::from(index) + 1) << 30, bootable: index == 1 };
    let said = system.iter().filter(|(key, _)| !wishes.iter().any(|(other, _)| key == other));
    Machine {
        name: "web-a.1".into(),
        cpus: 2,
        memory_mib: 1023,
        disks: (0..3).map(disk).collect(),
        nics: vec![
            NicNeed { mac: Some(mac.into()), network: Some(network.into()) },
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
pub fn blocking(concerns: &[Concern]) -> Vec<String> {
    let blocking = concerns.iter().filter(|one| one.severity == Severity::Blocking);
    blocking.map(|one| one.id.clone()).collect()
}

/// Prepares and finishes; the sinks.
///
/// # Errors
/// The adapter's.
pub fn make<P: LivePlatform>(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    let offer = P::profile(nowhere(), machine)?;
    let sinks = P::prepare(at(output), key, machine, &offer.profile)?;
    P::finish(at(output), key, machine, &offer.profile)?;
    Ok(sinks)
}

/// Sinks that are all files.
///
/// # Panics
/// If one is none.
pub fn files(sinks: &[Sink]) -> Vec<&FileSink> {
    fn file(sink: &Sink) -> &FileSink {
        match sink {
            Sink::File(file) => file,
            Sink::Device(device) => panic!("{device}"),
        }
    }
    sinks.iter().map(file).collect()
}

/// Whose files these are: a place belongs to its key.
///
/// # Panics
/// If it does not.
pub fn belongs_to_its_key<P: LivePlatform>(one: &Machine) {
    let output = Directory::new("claims");
    let sinks = make::<P>(&output, "one", one).expect("the first");
    for file in files(&sinks) {
        output.write(&file.name, b"data", false).expect("writes");
    }
    output.write("web-a.1.notes", b"a person's", false).expect("writes");
    make::<P>(&output, "one", one).expect("the same key again");
    let profile = P::profile(nowhere(), one).expect("as before").profile;
    let finish = |key| P::finish(at(&output), key, one, &profile).map_err(|error| error.kind);
    assert_eq!(make::<P>(&output, "two", one).map_err(|error| error.kind), Err(ErrorKind::Exists));
    assert_eq!(finish("two"), Err(ErrorKind::Exists));
    let before = output.names();
    assert_eq!(P::undo(at(&output), "two", one), Ok(()));
    assert_eq!(output.names(), before);
    assert_eq!(P::undo(at(&output), "one", one), Ok(()));
    assert_eq!(P::undo(at(&output), "one", one), Ok(()));
    assert_eq!(output.names(), Ok(vec!["web-a.1.notes".into()]));
    assert_eq!(finish("one"), Err(ErrorKind::NotFound));
}

/// Files of others stay: each of these is in the way, and a claim that lies about files, whose disks end in `disk`, does
/// not help.
///
/// # Panics
/// If one does not stay.
pub fn others_stay<P: LivePlatform>(machine: &Machine, files: &[&str], disk: &str) {
    for file in files {
        let output = Directory::new(file);
        output.write(file, b"precious", false).expect("writes");
        let error = make::<P>(&output, "k", machine).expect_err(file);
        assert_eq!(error.kind, ErrorKind::Exists, "{file}");
        assert!(error.message.contains(file));
        assert_eq!(P::undo(at(&output), "k", machine), Ok(()));
        assert_eq!(output.names(), Ok(vec![(*file).into()]));
    }
    let output = Directory::new("lying-claim");
    let [own, other, odd] = ["web-a.1", "web-a.10", "web-a.1-x"].map(|name| format!("{name}.{disk}"));
    let lying = format!(r#"{{"key":"k","files":["other.txt","{own}","{other}","{odd}"]}}"#);
    for (file, text) in [("web-a.1.wherry.json", lying.as_str()), ("other.txt", "x"), (&other, "x")] {
        output.write(file, text.as_bytes(), false).expect("writes");
    }
    assert_eq!(P::undo(at(&output), "k", machine), Ok(()));
    assert_eq!(output.names(), Ok(vec!["other.txt".into(), other]));
}
