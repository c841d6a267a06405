//! Sections of the source's definition that are written again as they were, if they are of the same version.

use crate::descriptor::had;
use roxmltree::Document;
use wherry_sdk::target::Machine;

/// Each is one element that declares its namespaces itself: anything else could break out of its place.
pub fn sections(machine: &Machine, prefix: &str, version: u8) -> Vec<String> {
    let same = had(machine, "ovf.version").and_then(|said| said.parse().ok()) == Some(version);
    let facts = machine.facts.iter().filter(|fact| same && fact.key.starts_with(prefix));
    let sound = facts.filter(|fact| !fact.value.starts_with("<?") && Document::parse(&fact.value).is_ok());
    sound.map(|fact| format!("    {}", fact.value)).collect()
}
