//! `wherry plan` and `wherry migrate`: what will be done, and doing it.

use crate::progress::Progress;
use crate::words::{about, bytes, concerns, edits, put, say, time};
use crate::{Format, New, Speed};
use anyhow::Result;
use migrate::{Outcome, Plan, Request};
use runtime::Adapters;
use serde_json::{Value, json};
use workload::Fact;

fn request(disks: &[String], asked: &New) -> Request {
    let nic = |text: &String| {
        let (mac, network) = text.split_once(',').unwrap_or((text, ""));
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (said(mac), said(network))
    };
    let facts = |pairs: &[(String, String)]| {
        pairs.iter().map(|(key, value)| Fact { key: key.clone(), value: value.clone() }).collect()
    };
    Request {
        disks: disks.to_vec(),
        to: asked.to.clone(),
        name: asked.name.clone(),
        cpus: asked.cpus,
        memory_mib: asked.memory,
        nics: asked.nics.iter().map(nic).collect(),
        wishes: facts(&asked.wishes),
        options: facts(&asked.guest),
        drivers: asked.drivers.clone(),
        keys: asked.lent.keys.clone(),
        servers: migrate::Servers {
            named: asked.servers.clone(),
            authority: asked.ca.clone(),
            credentials: asked
                .credentials
                .clone()
                .or_else(|| std::env::var_os("WHERRY_CREDENTIALS").map(Into::into)),
        },
    }
}

/// Plans and prints; whether something blocks.
pub fn plan(disks: &[String], asked: &New, adapters: &Adapters, format: Format) -> Result<bool> {
    let plan = migrate::plan(&request(disks, asked), adapters)?;
    match format {
        Format::Json => put(&serde_json::to_string_pretty(&answer(&plan, None, adapters)?)?),
        Format::Text => {
            show(&plan);
            say!("\nNext");
            match plan.blocking().next() {
                Some(_) => say!("  solve what is BLOCKING above, then plan again; nothing was written"),
                None => say!("  wherry migrate with the same words does this; nothing was written yet"),
            }
        }
    }
    Ok(plan.blocking().next().is_some())
}

/// Plans, prints, and does it unless something blocks; whether something did. `update` brings a machine up to date that is
/// there already.
pub fn migrate(
    (disks, asked): (&[String], &New),
    (speed, update): (&Speed, bool),
    adapters: &Adapters,
    format: Format,
    log: Format,
) -> Result<bool> {
    let plan = migrate::plan(&request(disks, asked), adapters)?;
    if format == Format::Text {
        show(&plan);
        say!("");
    }
    // The room of a machine that is there is taken already.
    if plan.blocking().any(|concern| !update || concern.id != "target.no-space") {
        match format {
            Format::Json => put(&serde_json::to_string_pretty(&answer(&plan, None, adapters)?)?),
            Format::Text => say!("Nothing was written: solve what is BLOCKING above first."),
        }
        return Ok(true);
    }
    let progress = Progress::new(log);
    let carry_out = if update { migrate::sync } else { migrate::migrate };
    let outcome = carry_out(&plan, &speed.how(), adapters, &|event| progress.show(event))?;
    match format {
        Format::Json => {
            put(&serde_json::to_string_pretty(&answer(&plan, Some(&outcome), adapters)?)?);
        }
        Format::Text => ending(&outcome),
    }
    Ok(false)
}

/// The documented answer (docs/output.md).
fn answer(plan: &Plan, outcome: Option<&Outcome>, adapters: &Adapters) -> Result<Value> {
    let cost = adapters.job.cost();
    Ok(json!({
        "plan": plan,
        "outcome": outcome,
        "adapter-calls": { "count": cost.calls, "seconds": cost.time.as_secs_f64() },
    }))
}

fn show(plan: &Plan) {
    for source in &plan.sources {
        say!("From     {} ({})", source.name, about(source));
    }
    match (&plan.operating_system, &plan.source_adapter) {
        (Some(os), Some(by)) => say!("         {} on {} (by {by})", os.product, os.architecture),
        _ => say!("         no known operating system"),
    }
    say!("To       {}, machine {} (by {})", plan.profile.machine, plan.name, plan.target_adapter);
    let profile = &plan.profile;
    say!("         {} cpus, {} MiB, {}, {}", plan.cpus, plan.memory_mib, profile.firmware, profile.disk_bus);
    for nic in &plan.nics {
        let network = nic.network.as_deref().map(|name| format!(" in {name}")).unwrap_or_default();
        say!("         {} {}{network}", profile.nic_model, nic.mac);
    }
    concerns(&plan.concerns);
    edits(&plan.edits);
    if !plan.notes.is_empty() {
        say!("\nTo know");
        plan.notes.iter().for_each(|note| say!("  {note}"));
    }
    let amount = &plan.bytes;
    let unused = match amount.unused {
        0 => String::new(),
        unused => format!(", {} more are held by no file", bytes(unused)),
    };
    say!("\nBytes    {} to copy of {}{unused}", bytes(amount.data), bytes(amount.disks));
    say!("         about {} at the speed the source was read at", time(amount.seconds));
}

fn ending(outcome: &Outcome) {
    if outcome.already_done {
        say!("An earlier run of this command has done this already; nothing was changed.");
    }
    for disk in &outcome.disks {
        let file = disk.file.display();
        if !disk.moved {
            say!("There    {file}, complete from an earlier run");
            continue;
        }
        let hash = disk.blake3.as_ref().map_or(String::new(), |hash| format!(" (BLAKE3 {})", &hash[..16]));
        let (read, written, time) = (bytes(disk.bytes_read), bytes(disk.bytes_written), time(disk.seconds));
        say!("Made     {file}: {read} read, {written} written in {time}{hash}");
    }
    outcome.sent.iter().for_each(|name| say!("Sent     {name}"));
    outcome.definitions.iter().for_each(|name| say!("Made     {name}"));
    say!("\nNext");
    outcome.next.iter().for_each(|next| say!("  {next}"));
}
