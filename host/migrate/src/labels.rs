//! Labels that say where the devices of a pool are: which adapter knows them, and what the plan shows of a change.

use block::Disk;
use runtime::contract::{DevicePatch, ErrorKind, Fact};
use runtime::{Adapter, Answer, Volumes, refusal};
use std::sync::Arc;

/// What an adapter wants written; a crash of it is kept.
pub(crate) fn ask(
    adapter: &Arc<Adapter>,
    disks: &[Arc<dyn Disk>],
    facts: &[Fact],
    fault: &mut Option<String>,
) -> Answer<Vec<DevicePatch>> {
    let asked = Volumes::open(adapter).and_then(|mut map| map.relabel(disks, facts));
    if let Some(e) = asked.as_ref().err().filter(|e| e.is_fault()) {
        fault.get_or_insert_with(|| e.to_string());
    }
    asked.map_err(|e| e.to_contract())
}

/// The adapter that knows the pool, and what it wants written.
pub(crate) fn known(
    maps: &[Arc<Adapter>],
    disks: &[Arc<dyn Disk>],
    facts: &[Fact],
    fault: &mut Option<String>,
) -> Answer<(Arc<Adapter>, Vec<DevicePatch>)> {
    let mut none = refusal(ErrorKind::Unsupported, "no adapter knows labels that say where devices are");
    for adapter in maps {
        match ask(adapter, disks, facts, fault) {
            Ok(patches) => return Ok((adapter.clone(), patches)),
            Err(e) if e.kind == ErrorKind::Unsupported => {}
            Err(e) if e.kind == ErrorKind::NotFound => none = e,
            Err(e) => return Err(e),
        }
    }
    Err(none)
}

/// The facts about devices that something is written to, with the volumes' names.
pub(crate) fn said(volumes: &[String], facts: &[Fact], patches: &[DevicePatch]) -> String {
    let line = |fact: &Fact| {
        let (number, key) = fact.key.split_once('.')?;
        let number: usize = number.parse().ok()?;
        let written = patches.iter().any(|patch| patch.device as usize == number);
        Some(format!("{} {key} {}", volumes.get(number).filter(|_| written)?, fact.value))
    };
    facts.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_is_told() {
        let fact = |key: &str, value: &str| Fact { key: key.into(), value: value.into() };
        let facts = [fact("pool", "rpool"), fact("0.path", "/a"), fact("1.path", "/b"), fact("7.path", "/c")];
        let patch = |device| DevicePatch { device, offset: 0, bytes: vec![0] };
        let volumes = ["gpt:1".to_owned(), "gpt:2".to_owned()];
        assert_eq!(said(&volumes, &facts, &[patch(1), patch(7)]), "gpt:2 path /b");
    }
}
