//! `wherry inspect`.

use crate::Format;
use anyhow::{Context, Result, bail};
use block::{Disk, FileDisk};
use migrate::{Machine, identify};
use runtime::Adapters;
use serde_json::json;
use std::sync::Arc;

/// Opens `FORMAT:PATH` read-only. A format is never guessed from a disk's bytes: a guest could plant them.
fn open(named: &str) -> Result<Arc<dyn Disk>> {
    let Some((format, path)) = named.split_once(':') else {
        bail!("`{named}` has no format; say raw:{named} if the file holds the disk's bytes as they are");
    };
    match format {
        "raw" => Ok(Arc::new(FileDisk::open_read(path).with_context(|| format!("cannot open {path}"))?)),
        _ => bail!("disks in format `{format}` cannot be opened yet; raw can"),
    }
}

/// What is on these disks.
pub fn run(disks: &[String], adapters: &Adapters, format: Format) -> Result<()> {
    let disks = disks.iter().map(|disk| open(disk)).collect::<Result<Vec<_>>>()?;
    let machine = Machine::open(disks, adapters)?;
    let os = identify(&machine, adapters)?;
    let volumes = machine.devices.iter().map(|device| {
        let facts = device.volume.facts.iter().map(|fact| (fact.key.clone(), fact.value.clone()));
        (&device.volume, facts.collect::<Vec<_>>())
    });
    if format == Format::Json {
        let volumes: Vec<_> = volumes
            .map(|(volume, facts)| {
                let facts: serde_json::Map<String, serde_json::Value> =
                    facts.into_iter().map(|(key, value)| (key, value.into())).collect();
                json!({ "id": volume.id, "kind": volume.kind, "size": volume.size, "facts": facts })
            })
            .collect();
        let answer = json!({
            "operating-system": os.as_ref().map(|(os, _)| os),
            "volumes": volumes,
            "concerns": machine.concerns,
        });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    match &os {
        Some((os, adapter)) => {
            println!("{} on {} (by {adapter})", os.product, os.architecture);
            os.facts.iter().for_each(|fact| println!("  {:<24} {}", fact.key, fact.value));
        }
        None => println!("no adapter knows an operating system here"),
    }
    for (volume, facts) in volumes {
        println!("{:<24} {:<16} {:>16} bytes", volume.id, volume.kind, volume.size);
        facts.iter().for_each(|(key, value)| println!("    {key:<22} {value}"));
    }
    for concern in &machine.concerns {
        println!("{:?}: {}", concern.severity, concern.message);
    }
    Ok(())
}
