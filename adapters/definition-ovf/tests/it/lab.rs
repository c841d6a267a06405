//! Packages, and the calls to read them.

use definition_ovf::Ovf;
use std::path::Path;
use std::process::Command;
use wherry_sdk::definition::Machine;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Blob, Fact, MachineDefinition, Result, fact};

pub const VMWARE: &str = include_str!("packages/vmware.ovf");
pub const VIRTUALBOX: &str = include_str!("packages/virtualbox.ovf");
pub const DMTF: &str = include_str!("packages/dmtf2.ovf");

/// Reads a descriptor, with a manifest beside it where one is given.
pub fn beside(text: impl AsRef<[u8]>, manifest: Option<&str>, options: &[Fact]) -> Result<Machine> {
    let blob = |bytes: &[u8]| Box::new(MemoryBlob::read_only(bytes)) as Box<dyn Blob>;
    let mut files = vec![("a.ovf".to_owned(), blob(text.as_ref()))];
    files.extend(manifest.map(|text| ("a.mf".to_owned(), blob(text.as_bytes()))));
    Ovf::read("ovf", &files, options)
}

/// Reads a container.
pub fn container(bytes: impl Into<Vec<u8>>) -> Result<Machine> {
    let blob = Box::new(MemoryBlob::read_only(bytes)) as Box<dyn Blob>;
    Ovf::read("ova", &[("a.ova".to_owned(), blob)], &[])
}

pub fn system(id: &str) -> Vec<Fact> {
    vec![fact("system", id)]
}

pub fn ids(machine: &Machine) -> Vec<&str> {
    machine.concerns.iter().map(|concern| concern.id.as_str()).collect()
}

/// Packs these files by tar(1).
pub fn tar(files: &[(&str, &[u8])], arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    packed(folder.path(), &[arguments, &names].concat())
}

/// What tar(1) makes in this folder.
pub fn packed(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(["-cf", "-"]).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// VirtualBox's machine in a container.
pub fn appliance(arguments: &[&str]) -> Vec<u8> {
    let manifest = format!("SHA256 (mail-disk001.vmdk) = {}\n", "ab".repeat(32));
    let disk = vec![7; 3000];
    tar(
        &[
            ("mail.ovf", VIRTUALBOX.as_bytes()),
            ("mail.mf", manifest.as_bytes()),
            ("mail-disk001.vmdk", &disk),
        ],
        arguments,
    )
}
