//! `wherry inspect`.

use crate::Format;
use crate::words::{about, bytes, concerns, put, say};
use anyhow::Result;
use migrate::Inspection;
use runtime::Adapters;
use serde_json::{Map, Value, json};

/// What is on these disks; whether an adapter failed so that something may be missing.
pub fn run(disks: &[String], adapters: &Adapters, format: Format) -> Result<bool> {
    let found = migrate::inspect(disks, adapters)?;
    match format {
        Format::Json => put(&serde_json::to_string_pretty(&answer(&found))?),
        Format::Text => show(&found),
    }
    Ok(found.machine.faults)
}

fn answer(found: &Inspection) -> Value {
    let volume = |device: &migrate::Device| {
        let volume = &device.volume;
        let facts: Map<String, Value> =
            volume.facts.iter().map(|fact| (fact.key.clone(), fact.value.clone().into())).collect();
        json!({ "id": volume.id, "kind": volume.kind, "size": volume.size, "facts": facts })
    };
    json!({
        "sources": found.sources,
        "operating-system": found.system.as_ref().map(|(os, _)| os),
        "source-adapter": found.system.as_ref().map(|(_, adapter)| adapter),
        "volumes": found.machine.devices.iter().map(volume).collect::<Vec<_>>(),
        "concerns": found.concerns,
    })
}

fn show(found: &Inspection) {
    for source in &found.sources {
        say!("{} ({})", source.name, about(source));
    }
    match &found.system {
        Some((os, adapter)) => {
            say!("{} on {} (by {adapter})", os.product, os.architecture);
            os.hostname.iter().for_each(|name| say!("  {:<24} {name}", "hostname"));
            os.facts.iter().for_each(|fact| say!("  {:<24} {}", fact.key, fact.value));
        }
        None => say!("no adapter knows an operating system here"),
    }
    say!("\nVolumes");
    for device in &found.machine.devices {
        let volume = &device.volume;
        say!("  {:<22} {:<16} {:>12}", volume.id, volume.kind, bytes(volume.size));
        volume.facts.iter().for_each(|fact| say!("    {:<22} {}", fact.key, fact.value));
    }
    concerns(&found.concerns);
}
