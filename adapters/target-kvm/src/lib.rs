//! KVM machines as libvirt and QEMU run them: a domain definition and a start script beside the disks.
//!
//! Nothing is talked to: the adapter writes text into the output directory, and a person (or the host's demo)
//! defines or starts the machine from there.

mod choice;
mod domain;
mod escape;
mod machine;
mod place;
mod script;

use choice::Choice;
use machine::Plan;
use wherry_sdk::target::{FileSink, Machine, Offer, Sink};
use wherry_sdk::{DeviceProfile, Fact, Output, Result, TargetPlatform, claim, fact};

/// The `target-kvm` platform.
pub struct Kvm;

impl TargetPlatform for Kvm {
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
        let plan = plan(machine, profile)?;
        let like_a_disk = |name: &str| plan.is_like_a_disk(name);
        claim::take(output, key, &plan.name, plan.files().into_iter().collect(), &like_a_disk)?;
        let sink = |disk: &machine::Disk| {
            let options = plan.choice.disk_options.clone();
            let format = format!("format-{}", plan.choice.format);
            Sink::File(FileSink { format, name: disk.file.clone(), options })
        };
        Ok(plan.disks.iter().map(sink).collect())
    }

    fn finish(
        output: &dyn Output,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Vec<Fact>> {
        let plan = plan(machine, profile)?;
        claim::held(output, key, &plan.name)?;
        let directory = escape::directory(&output.path())?;
        let (xml, script) = (plan.file(".xml"), plan.file(".sh"));
        output.write(&xml, domain::definition(&plan, &directory).as_bytes(), false)?;
        output.write(&script, script::start(&plan, &directory).as_bytes(), true)?;
        let quoted = |name: &str| escape::shell(&format!("{directory}/{name}"));
        Ok(vec![
            fact("definition.0", &xml),
            fact("definition.1", &script),
            fact("next.0", format!("virsh define {}", quoted(&xml))),
            fact("next.1", format!("or, without libvirt: {} -nographic", quoted(&script))),
        ])
    }

    fn undo(output: &dyn Output, key: &str, machine: &Machine) -> Result<()> {
        claim::release(output, key, &machine.name, &|file| machine::could_be_ours(file, &machine.name))
    }
}

fn plan(machine: &Machine, profile: &DeviceProfile) -> Result<Plan> {
    Plan::new(machine, Choice::from_profile(machine, profile)?)
}

wherry_sdk::register_target_platform!(Kvm, "../adapter.toml");
