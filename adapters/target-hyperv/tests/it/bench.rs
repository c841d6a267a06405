//! A machine, and the calls in their order.

use target_hyperv::HyperV;
use wherry_sdk::target::{Machine, Sink};
pub use wherry_sdk::testing::Directory;
use wherry_sdk::testing::target;
pub use wherry_sdk::testing::target::{
    DEBIAN, NT4, WINDOWS_7, WINDOWS_2003, WINDOWS_2022, at, files, nowhere,
};
use wherry_sdk::{LivePlatform, Result};

pub fn machine(system: &[(&str, &str)], wishes: &[(&str, &str)]) -> Machine {
    target::machine(system, wishes, ("00:15:5d:AB:cd:01", "it's B\u{fc}ro"))
}

pub fn blocking(machine: &Machine) -> Vec<String> {
    target::blocking(&HyperV::profile(nowhere(), machine).unwrap().concerns)
}

pub fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    target::make::<HyperV>(output, key, machine)
}

/// The script that is made for this machine.
pub fn script(machine: &Machine) -> String {
    let output = Directory::new("script");
    make(&output, "k'1", machine).unwrap();
    std::fs::read_to_string(output.path.join("web-a.1.ps1")).unwrap()
}
