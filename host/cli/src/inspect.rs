//! `wherry inspect`.

use crate::Format;
use crate::words::{about, bytes, concerns, put, say};
use anyhow::Result;
use migrate::{Definition, Inspection};
use runtime::Adapters;
use serde_json::{Map, Value, json};

/// What is on these disks; whether an adapter failed so that something may be missing.
pub fn run(disks: &[String], keys: &[String], adapters: &Adapters, format: Format) -> Result<bool> {
    let found = migrate::inspect(disks, keys, adapters)?;
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
        "definition": found.definition,
        "operating-system": found.system.as_ref().map(|(os, _)| os),
        "source-adapter": found.system.as_ref().map(|(_, adapter)| adapter),
        "volumes": found.machine.devices.iter().map(volume).collect::<Vec<_>>(),
        "concerns": found.concerns,
    })
}

/// What a machine's definition says; what is kept verbatim is in the JSON answer.
fn definition(found: &Definition) {
    let number = |value: Option<u64>| value.map_or_else(|| "?".into(), |value| value.to_string());
    let name = found.name.as_deref().unwrap_or("a machine without a name");
    let (cpus, memory) = (number(found.cpus.map(u64::from)), number(found.memory_mib));
    say!(
        "{} is {name}: {cpus} cpus, {memory} MiB, {}",
        found.source,
        found.firmware.as_deref().unwrap_or("bios or uefi")
    );
    for card in &found.nics {
        let said = [&card.model, &card.mac, &card.network].map(|one| one.as_deref().unwrap_or("?"));
        say!("  {:<24} {}", "card", said.join(", "));
    }
    for disk in &found.disks {
        let capacity = disk.capacity.map_or_else(|| "?".into(), bytes);
        let checked = if disk.digests.is_empty() { "no digest".into() } else { disk.digests.join(", ") };
        let facts: Vec<String> =
            disk.facts.iter().map(|fact| format!("{} {}", fact.key, fact.value)).collect();
        say!("  {:<24} {}: {}, {capacity}, {checked}, {}", "disk", disk.file, disk.format, facts.join(", "));
    }
    let shown = found.facts.iter().filter(|fact| !fact.key.starts_with("kept"));
    shown.for_each(|fact| say!("  {:<24} {}", fact.key, fact.value.lines().next().unwrap_or_default()));
    say!("");
}

fn show(found: &Inspection) {
    found.definition.iter().for_each(definition);
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
