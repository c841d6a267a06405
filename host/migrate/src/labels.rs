//! Labels that say where the devices of a pool are: which adapter knows them, and what the plan shows of a change.

use block::Disk;
use runtime::contract::{DevicePatch, ErrorKind, Fact};
use runtime::{Adapter, Answer, Volumes, refusal};
use std::sync::Arc;

/// What the adapter that knows labels of this kind wants written; a crash of one is kept.
pub fn patches(
    maps: &[Arc<Adapter>],
    disks: &[Arc<dyn Disk>],
    facts: &[Fact],
    fault: &mut Option<String>,
) -> Answer<Vec<DevicePatch>> {
    for adapter in maps {
        match Volumes::open(adapter).and_then(|mut map| map.relabel(disks, facts)) {
            Ok(patches) => return Ok(patches),
            Err(e) => {
                if e.is_fault() {
                    fault.get_or_insert_with(|| e.to_string());
                }
                let told = e.to_contract();
                if told.kind != ErrorKind::Unsupported {
                    return Err(told);
                }
            }
        }
    }
    Err(refusal(ErrorKind::Unsupported, "no adapter knows labels that say where devices are"))
}

/// The pool, and the new facts with the volumes' names.
pub fn shown<'f>(volumes: &[String], facts: &'f [Fact]) -> (&'f str, String) {
    let pool = facts.iter().find(|fact| fact.key == "pool").map_or("", |fact| &fact.value);
    let facts = facts.iter().filter(|fact| fact.key != "pool");
    (pool, facts.map(|fact| said(volumes, fact)).collect::<Vec<_>>().join("\n"))
}

/// A fact about device number N with the volume's name for it.
fn said(volumes: &[String], fact: &Fact) -> String {
    let split = fact.key.split_once('.').and_then(|(number, key)| Some((number.parse::<usize>().ok()?, key)));
    match split.and_then(|(number, key)| Some((volumes.get(number)?, key))) {
        Some((volume, key)) => format!("{volume} {key} {}", fact.value),
        None => format!("{} {}", fact.key, fact.value),
    }
}
