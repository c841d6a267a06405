//! VMware machines: a VMX file beside the disks, for Workstation, Fusion and Player, and for ESXi after a conversion of the disks.
//!
//! Packages for an import (`ovf`, `ova`) are target-ovf's.

mod choice;
mod machine;
mod system;
mod vmx;

use choice::Choice;
use machine::Plan;
use wherry_sdk::target::{FileSink, Machine, Offer, Sink};
use wherry_sdk::{DeviceProfile, Fact, Output, Result, TargetPlatform, claim, fact};

/// The `target-vmware` platform.
pub struct VMware;

impl TargetPlatform for VMware {
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
        // In the order of the machine's disks, which need not be that of the controllers.
        let sink = |index: u32| {
            let disk = plan.disks.iter().find(|disk| disk.index == index)?;
            let options = plan.disk_options(disk, key);
            Some(Sink::File(FileSink { format: "format-vmdk".into(), name: disk.file.clone(), options }))
        };
        Ok(machine.disks.iter().filter_map(|need| sink(need.index)).collect())
    }

    fn finish(
        output: &dyn Output,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Vec<Fact>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        claim::held(output, key, &plan.name)?;
        let file = plan.file(".vmx");
        output.write(&file, vmx::configuration(&plan, key).as_bytes(), false)?;
        let disk = plan.disks.first().map(|disk| disk.file.as_str()).unwrap_or_default();
        Ok(vec![
            fact("definition.0", &file),
            fact("next.0", format!("open {file} in Workstation, Fusion or Player")),
            fact(
                "next.1",
                format!(
                    "or on ESXi: vmkfstools -i {disk} -d thin NEW.vmdk for each disk, put the new names into {file}, \
                     and vim-cmd solo/registervm it"
                ),
            ),
        ])
    }

    fn undo(output: &dyn Output, key: &str, machine: &Machine) -> Result<()> {
        claim::release(output, key, &machine.name, &|file| machine::could_be_ours(file, &machine.name))
    }
}

wherry_sdk::register_target_platform!(VMware, "../adapter.toml");
