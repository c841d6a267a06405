//! Between the contract's records and the host's nouns.

use runtime::contract as c;
use workload::{Concern, DeviceProfile, Fact, OperatingSystem, Severity};

pub(crate) fn facts_of(facts: Vec<c::Fact>) -> Vec<Fact> {
    facts.into_iter().map(|fact| Fact { key: fact.key, value: fact.value }).collect()
}

pub(crate) fn facts_to(facts: &[Fact]) -> Vec<c::Fact> {
    facts.iter().map(|fact| c::Fact { key: fact.key.clone(), value: fact.value.clone() }).collect()
}

pub(crate) fn concern_of(concern: c::Concern) -> Concern {
    let severity = match concern.severity {
        c::Severity::Blocking => Severity::Blocking,
        c::Severity::Warning => Severity::Warning,
        c::Severity::Information => Severity::Information,
    };
    Concern { id: concern.id, severity, message: concern.message, remedy: concern.remedy }
}

pub(crate) fn system_of(os: c::OperatingSystem) -> OperatingSystem {
    OperatingSystem {
        family: os.family,
        id: os.id,
        product: os.product,
        version: os.version,
        architecture: os.architecture,
        hostname: os.hostname,
        facts: facts_of(os.facts),
    }
}

pub(crate) fn profile_of(profile: &c::DeviceProfile) -> DeviceProfile {
    DeviceProfile {
        firmware: profile.firmware.clone(),
        disk_bus: profile.disk_bus.clone(),
        nic_model: profile.nic_model.clone(),
        architecture: profile.architecture.clone(),
        machine: profile.machine.clone(),
        facts: facts_of(profile.facts.clone()),
    }
}
