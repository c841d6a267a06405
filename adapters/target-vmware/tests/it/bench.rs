//! A machine, and the calls in their order.

use target_vmware::VMware;
use wherry_sdk::target::{Machine, Offer, Sink};
pub use wherry_sdk::testing::Directory;
use wherry_sdk::testing::target;
pub use wherry_sdk::testing::target::{
    DEBIAN, NT4, WINDOWS_7, WINDOWS_2003, WINDOWS_2022, at, files, nowhere,
};
use wherry_sdk::{LivePlatform, Result, fact, find};

pub fn machine(system: &[(&str, &str)], wishes: &[(&str, &str)]) -> Machine {
    target::machine(system, wishes, ("00:50:56:3F:cd:01", "B\u{fc}ro \"a|b\""))
}

/// The offer for this machine, without any server.
pub fn profile(machine: &Machine) -> Result<Offer> {
    VMware::profile(nowhere(), machine)
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

pub fn blocking(machine: &Machine) -> Vec<String> {
    target::blocking(&profile(machine).unwrap().concerns)
}

pub fn make(output: &Directory, key: &str, machine: &Machine) -> Result<Vec<Sink>> {
    target::make::<VMware>(output, key, machine)
}

/// The VMX file that is made for this machine.
pub fn vmx(machine: &Machine) -> String {
    let output = Directory::new("vmx");
    make(&output, "k|1", machine).unwrap();
    std::fs::read_to_string(output.path.join("web-a.1.vmx")).unwrap()
}
