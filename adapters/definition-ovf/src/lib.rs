//! Machines in OVF packages: a descriptor beside its disks (`ovf`), or all of it in one tar file (`ova`). DMTF DSP0243
//! versions 1.1 and 2.1, with what VMware and VirtualBox add to it.

mod container;
mod descriptor;
mod disks;
mod hardware;
mod kept;
mod manifest;
mod package;
mod sections;
mod units;
mod vendor;
mod xml;

pub use container::{Entry, entries};

use package::Package;
use wherry_sdk::definition::Machine;
use wherry_sdk::{Blob, Error, ErrorKind, Fact, MachineDefinition, Result};

/// The `definition-ovf` adapter.
pub struct Ovf;

impl MachineDefinition for Ovf {
    fn companions(word: &str, name: &str) -> Vec<String> {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        if word == "ovf" { vec![format!("{stem}.mf")] } else { Vec::new() }
    }

    fn read(word: &str, files: &[(String, Box<dyn Blob>)], options: &[Fact]) -> Result<Machine> {
        let Some(((name, file), companions)) = files.split_first() else {
            return Err(Error::new(ErrorKind::InvalidInput, "there is no file to read"));
        };
        let package = match word {
            "ovf" => Package::beside(name, file.as_ref(), companions)?,
            "ova" => Package::container(file.as_ref())?,
            _ => return Err(Error::unsupported(format!("`{word}` is not read here; say ovf or ova"))),
        };
        descriptor::read(&package, options).map_err(|e| e.within(&package.name))
    }
}

wherry_sdk::register_machine_definition!(Ovf, "../adapter.toml");
