//! OVF packages: a descriptor, a manifest and streamOptimized disks in the output directory (`ovf`), or packed by the host
//! into one container (`ova`). DMTF DSP0243 versions 1.1 and 2.1, with what VMware and VirtualBox expect of it.

mod choice;
mod descriptor;
mod hardware;
mod kept;
mod machine;
mod system;

use choice::Choice;
use machine::Plan;
use sha2::{Digest, Sha256};
use wherry_sdk::target::{DiskNeed, FileSink, Machine, Offer, Sink};
use wherry_sdk::{DeviceProfile, Fact, Output, Result, TargetPlatform, claim, fact};

/// The `target-ovf` platform.
pub struct Ovf;

impl TargetPlatform for Ovf {
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
        claim::take(output, key, &plan.name, plan.files().into_iter().collect(), &|_| false)?;
        // In the order of the machine's disks, which need not be that of the package.
        let sink = |need: &DiskNeed| {
            let disk = plan.disks.iter().find(|disk| disk.index == need.index)?;
            let options = plan.choice.disk_options(&disk.file);
            Some(Sink::File(FileSink { format: "format-vmdk".into(), name: disk.file.clone(), options }))
        };
        Ok(machine.disks.iter().filter_map(sink).collect())
    }

    fn finish(
        output: &dyn Output,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Vec<Fact>> {
        let plan = Plan::new(machine, Choice::from_profile(machine, profile)?)?;
        claim::held(output, key, &plan.name)?;
        let stored = plan.disks.iter().map(|disk| disk.stored(machine)).collect::<Result<Vec<_>>>()?;
        let (ovf, mf) = (plan.file(".ovf"), plan.file(".mf"));
        let text = descriptor::write(&plan, &stored, machine);
        let own: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut manifest = format!("SHA256({ovf})= {own}\n");
        for (disk, stored) in plan.disks.iter().zip(&stored) {
            manifest.push_str(&format!("SHA256({})= {}\n", disk.file, stored.sha256));
        }
        output.write(&ovf, text.as_bytes(), false)?;
        output.write(&mf, manifest.as_bytes(), false)?;
        let mut facts = vec![fact("definition.0", &ovf), fact("definition.1", &mf)];
        let package = if plan.packed { plan.file(".ova") } else { ovf.clone() };
        if plan.packed {
            facts.push(fact("pack", &package));
            let members = [ovf, mf].into_iter().chain(plan.disks.iter().map(|disk| disk.file.clone()));
            facts.extend(members.enumerate().map(|(number, name)| fact(format!("pack.{number}"), name)));
        }
        let next = plan.choice.flavour.next(&plan, &package, &output.path());
        facts.extend(next.into_iter().enumerate().map(|(number, line)| fact(format!("next.{number}"), line)));
        Ok(facts)
    }

    fn undo(output: &dyn Output, key: &str, machine: &Machine) -> Result<()> {
        claim::release(output, key, &machine.name, &|file| machine::could_be_ours(file, &machine.name))
    }
}

wherry_sdk::register_target_platform!(Ovf, "../adapter.toml");
