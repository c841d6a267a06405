//! Hyper-V machines: a PowerShell script beside the disks, which makes the machine on a Hyper-V host.
//!
//! A person runs it where the directory has been brought to; or, if the operator names the host as a server, it is run there
//! over WinRM, from a directory that is the host's own.

mod choice;
pub mod live;
mod machine;
mod script;
pub mod wsman;

use choice::Choice;
use machine::Plan;
use wherry_sdk::target::{FileSink, Machine, Offer, Sink};
use wherry_sdk::{DeviceProfile, Fact, Host, LivePlatform, Output, Result, Severity, claim, fact};

/// The `target-hyperv` platform.
pub struct HyperV;

impl LivePlatform for HyperV {
    fn capabilities() -> Result<Vec<Fact>> {
        Ok(choice::capabilities())
    }

    fn profile(host: Host<'_>, machine: &Machine) -> Result<Offer> {
        let mut offer = choice::offer(machine);
        let blocked = offer.concerns.iter().any(|concern| concern.severity == Severity::Blocking);
        if live::is_live(machine) && !blocked {
            offer.concerns.extend(live::concerns(host.http, machine));
        }
        Ok(offer)
    }

    fn prepare(host: Host<'_>, key: &str, machine: &Machine, profile: &DeviceProfile) -> Result<Vec<Sink>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        let like_a_disk = |name: &str| plan.is_like_a_disk(name);
        claim::take(host.output, key, &plan.name, plan.files().into_iter().collect(), &like_a_disk)?;
        if live::is_live(machine) {
            live::check(host, key, machine)?;
        }
        let sink = |disk: &machine::Disk| {
            let format = format!("format-{}", plan.choice.format);
            Sink::File(FileSink { format, name: disk.file.clone(), options: disk.options(&plan.choice, key) })
        };
        Ok(plan.disks.iter().map(sink).collect())
    }

    fn finish(host: Host<'_>, key: &str, machine: &Machine, profile: &DeviceProfile) -> Result<Vec<Fact>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        claim::held(host.output, key, &plan.name)?;
        if live::is_live(machine) {
            live::make(host, key, machine, &plan)
        } else {
            define(host.output, key, &plan)
        }
    }

    fn undo(host: Host<'_>, key: &str, machine: &Machine) -> Result<()> {
        if live::is_live(machine) && claim::held(host.output, key, &machine.name).is_ok() {
            live::remove(host, key, machine)?;
        }
        claim::release(host.output, key, &machine.name, &|file| machine::could_be_ours(file, &machine.name))
    }
}

/// Writes the script for a person.
fn define(output: &dyn Output, key: &str, plan: &Plan) -> Result<Vec<Fact>> {
    let script = plan.file(".ps1");
    output.write(&script, script::import(plan, key).as_bytes(), false)?;
    let run = format!("powershell -ExecutionPolicy Bypass -File {script}");
    Ok(vec![
        fact("definition.0", &script),
        fact("next.0", "bring the directory to the Hyper-V host, to where the machine is to live"),
        fact("next.1", format!("there, as an administrator: {run} -WhatIf")),
        fact("next.2", format!("and if that is what you want: {run} -Start")),
    ])
}

wherry_sdk::register_live_platform!(HyperV, "../adapter.toml");
