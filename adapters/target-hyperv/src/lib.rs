//! Hyper-V machines: a PowerShell script beside the disks, which makes the machine on a Hyper-V host.
//!
//! Nothing is talked to: the adapter writes the script into the output directory, and a person runs it where the
//! directory has been brought to.

mod choice;
mod machine;
mod script;

use choice::Choice;
use machine::Plan;
use wherry_sdk::target::{FileSink, Machine, Offer, Sink};
use wherry_sdk::{DeviceProfile, Fact, Output, Result, TargetPlatform, claim, fact};

/// The `target-hyperv` platform.
pub struct HyperV;

impl TargetPlatform for HyperV {
    fn capabilities() -> Result<Vec<Fact>> {
        Ok(choice::capabilities())
    }

    fn profile(machine: &Machine) -> Result<Offer> {
        Ok(choice::offer(machine))
    }

    fn prepare(
        output: &dyn Output,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Vec<Sink>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        let like_a_disk = |name: &str| plan.is_like_a_disk(name);
        claim::take(output, key, &plan.name, plan.files().into_iter().collect(), &like_a_disk)?;
        let sink = |disk: &machine::Disk| {
            let format = format!("format-{}", plan.choice.format);
            Sink::File(FileSink { format, name: disk.file.clone(), options: disk.options(&plan.choice, key) })
        };
        Ok(plan.disks.iter().map(sink).collect())
    }

    fn finish(
        output: &dyn Output,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Vec<Fact>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        claim::held(output, key, &plan.name)?;
        let script = plan.file(".ps1");
        output.write(&script, script::import(&plan, key).as_bytes(), false)?;
        let run = format!("powershell -ExecutionPolicy Bypass -File {script}");
        Ok(vec![
            fact("definition.0", &script),
            fact("next.0", "bring the directory to the Hyper-V host, to where the machine is to live"),
            fact("next.1", format!("there, as an administrator: {run} -WhatIf")),
            fact("next.2", format!("and if that is what you want: {run} -Start")),
        ])
    }

    fn undo(output: &dyn Output, key: &str, machine: &Machine) -> Result<()> {
        claim::release(output, key, &machine.name, &|file| machine::could_be_ours(file, &machine.name))
    }
}

wherry_sdk::register_target_platform!(HyperV, "../adapter.toml");
