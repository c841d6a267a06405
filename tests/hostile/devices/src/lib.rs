//! A target adapter that wants disk N on the device that the wish `device.N` names, whatever it is; with a wish
//! `finish`, it fails once when all disks are there.

use wherry_sdk::target::{DiskNeed, Machine, Offer, Sink};
use wherry_sdk::{DeviceProfile, Error, Fact, Output, Result, TargetPlatform, fact, find};

/// Whatever it is told.
pub struct Devices;

impl TargetPlatform for Devices {
    fn capabilities() -> Result<Vec<Fact>> {
        Ok(Vec::new())
    }

    fn profile(_machine: &Machine) -> Result<Offer> {
        let profile = DeviceProfile {
            firmware: "bios".into(),
            disk_bus: "virtio-blk".into(),
            nic_model: "virtio-net".into(),
            architecture: "x86_64".into(),
            machine: "q35".into(),
            facts: vec![fact("serial-console", "ttyS0"), fact("disk-sink", "device")],
        };
        Ok(Offer { profile, concerns: Vec::new() })
    }

    fn prepare(
        _output: &dyn Output,
        _key: &str,
        machine: &Machine,
        _profile: &DeviceProfile,
    ) -> Result<Vec<Sink>> {
        let device = |disk: &DiskNeed| {
            let path = find(&machine.facts, &format!("wish.device.{}", disk.index));
            Sink::Device(path.unwrap_or_default().into())
        };
        Ok(machine.disks.iter().map(device).collect())
    }

    fn finish(
        output: &dyn Output,
        _key: &str,
        machine: &Machine,
        _profile: &DeviceProfile,
    ) -> Result<Vec<Fact>> {
        let name = format!("{}.txt", machine.name);
        if find(&machine.facts, "wish.finish").is_some() && !output.names()?.contains(&name) {
            output.write(&name, b"the next attempt is the good one", false)?;
            return Err(Error::unsupported("finishing at the first attempt"));
        }
        Ok(vec![fact("next.0", "start it")])
    }

    fn undo(_output: &dyn Output, _key: &str, _machine: &Machine) -> Result<()> {
        Ok(())
    }
}

wherry_sdk::register_target_platform!(Devices, "../adapter.toml");
