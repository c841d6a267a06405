//! An output directory, a machine, and the calls in their order.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use target_kvm::Kvm;
use tempfile::TempDir;
use wherry_sdk::target::{DiskNeed, Machine, NicNeed, Sink};
use wherry_sdk::{Error, ErrorKind, Output, Result, Severity, TargetPlatform, fact};

/// A directory whose name is as awkward as it is told to be.
pub struct Directory {
    _parent: TempDir,
    pub path: PathBuf,
}

impl Directory {
    pub fn new(name: &str) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(name);
        fs::create_dir(&path).unwrap();
        Self { _parent: parent, path }
    }
}

pub const BUSES: [&str; 4] = ["virtio-blk", "virtio-scsi", "ahci", "nvme"];
pub const NICS: [&str; 3] = ["virtio-net", "e1000", "e1000e"];
pub const FIRMWARES: [&str; 2] = ["bios", "uefi"];
pub const BOARDS: [&str; 2] = ["q35", "i440fx"];

fn io(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, error.to_string())
}

impl Output for Directory {
    fn write(&self, name: &str, bytes: &[u8], executable: bool) -> Result<()> {
        assert!(!name.contains('/'));
        fs::write(self.path.join(name), bytes).map_err(io)?;
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(self.path.join(name), fs::Permissions::from_mode(mode)).map_err(io)
    }
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.path.join(name)).map_err(io)
    }
    fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<_> = fs::read_dir(&self.path)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        Ok(names)
    }
    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.path.join(name)).map_err(io)
    }
    fn path(&self) -> String {
        self.path.to_str().unwrap().into()
    }
}

pub fn machine(wishes: &[(&str, &str)]) -> Machine {
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

pub fn blocking(machine: &Machine) -> usize {
    let offer = Kvm::profile(machine).unwrap();
    offer.concerns.iter().filter(|it| it.severity == Severity::Blocking).count()
}

/// Prepares and finishes; the sinks.
pub fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    let offer = Kvm::profile(machine)?;
    let sinks = Kvm::prepare(output, key, machine, &offer.profile)?;
    Kvm::finish(output, key, machine, &offer.profile)?;
    Ok(sinks)
}

pub fn names(sinks: &[Sink]) -> Vec<String> {
    let name = |sink: &Sink| match sink {
        Sink::File(file) => file.name.clone(),
        Sink::Device(device) => panic!("{device}"),
    };
    sinks.iter().map(name).collect()
}
