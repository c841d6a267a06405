//! VMware machines: a VMX file beside the disks (`vmware`), or made on a vCenter or ESXi server (`vsphere`).
//!
//! Packages for an import (`ovf`, `ova`) are target-ovf's.

mod choice;
mod live;
mod machine;
mod system;
mod vim;
mod vmx;

use choice::Choice;
use machine::Plan;
use wherry_sdk::target::{FileSink, Machine, Offer, Shipment, Sink};
use wherry_sdk::{DeviceProfile, Fact, Host, LivePlatform, Output, Result, claim, fact};

/// The `target-vmware` platform.
pub struct VMware;

impl LivePlatform for VMware {
    fn capabilities() -> Result<Vec<Fact>> {
        Ok(choice::capabilities())
    }

    fn profile(host: Host<'_>, machine: &Machine) -> Result<Offer> {
        let mut offer = choice::offer(machine);
        if choice::is_live(machine)
            && let Ok(choice) = Choice::from_profile(machine, &offer.profile)
        {
            offer.concerns.extend(live::concerns(host.http, machine, &choice));
        }
        Ok(offer)
    }

    fn prepare(host: Host<'_>, key: &str, machine: &Machine, profile: &DeviceProfile) -> Result<Vec<Sink>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        if choice::is_live(machine) {
            live::check(host, key, machine)?;
        }
        let like_a_disk = |name: &str| plan.is_like_a_disk(name);
        claim::take(host.output, key, &plan.name, plan.files().into_iter().collect(), &like_a_disk)?;
        // In the order of the machine's disks, which need not be that of the controllers.
        let sink = |index: u32| {
            let disk = plan.disks.iter().find(|disk| disk.index == index)?;
            let options = plan.disk_options(disk, key);
            Some(Sink::File(FileSink { format: "format-vmdk".into(), name: disk.file.clone(), options }))
        };
        Ok(machine.disks.iter().filter_map(|need| sink(need.index)).collect())
    }

    fn ship(
        host: Host<'_>,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Option<Shipment>> {
        if !choice::is_live(machine) {
            return Ok(None);
        }
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        claim::held(host.output, key, &plan.name)?;
        live::ship(host, key, machine, &plan)
    }

    fn sending(host: Host<'_>, _: &str, machine: &Machine, note: &str, bytes: (u64, u64)) -> Result<()> {
        live::sending(host, machine, note, bytes)
    }

    fn abandon(host: Host<'_>, key: &str, machine: &Machine, note: &str) -> Result<()> {
        live::abandon(host, key, machine, note)
    }

    fn finish(host: Host<'_>, key: &str, machine: &Machine, profile: &DeviceProfile) -> Result<Vec<Fact>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        claim::held(host.output, key, &plan.name)?;
        if choice::is_live(machine) {
            live::finish(host, key, machine)
        } else {
            define(host.output, &plan, key)
        }
    }

    fn undo(host: Host<'_>, key: &str, machine: &Machine) -> Result<()> {
        if choice::is_live(machine) {
            live::undo(host, key, machine)?;
        }
        claim::release(host.output, key, &machine.name, &|file| machine::could_be_ours(file, &machine.name))
    }
}

/// Writes the VMX file.
fn define(output: &dyn Output, plan: &Plan, key: &str) -> Result<Vec<Fact>> {
    let file = plan.file(".vmx");
    output.write(&file, vmx::configuration(plan, key).as_bytes(), false)?;
    let disk = plan.disks.first().map(|disk| disk.file.as_str()).unwrap_or_default();
    let convert = format!("vmkfstools -i {disk} -d thin NEW.vmdk for each disk");
    Ok(vec![
        fact("definition.0", &file),
        fact("next.0", format!("open {file} in Workstation, Fusion or Player")),
        fact(
            "next.1",
            format!("or on ESXi: {convert}, the new names into {file}, vim-cmd solo/registervm {file}"),
        ),
    ])
}

wherry_sdk::register_live_platform!(VMware, "../adapter.toml");
