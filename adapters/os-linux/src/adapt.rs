//! What has to change in the guest's files for other hardware. Linux without running guest code:
//! the initramfs must hold the driver of the new controller, and no table may name a device by its controller.

use crate::work::Work;
use crate::{
    boot, consoles, deferred, display, drivers, entries, firmware, ifcfg, lilo, modprobe, modules, mounts,
    network, networkd, storage, tools, volumes,
};
use wherry_sdk::source::Adaptation;
use wherry_sdk::{DeviceProfile, Error, ErrorKind, Fact, Result, Tree};

/// Edits the guest that `identify` has mounted.
pub fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
    if modules::storage(&profile.disk_bus).is_empty() {
        let message = format!("no Linux driver is known for disk bus {}", profile.disk_bus);
        return Err(Error::unsupported(message));
    }
    let missing = || Error::new(ErrorKind::NotFound, "there is no Linux system among the volumes");
    let root = mounts::mount(guest).ok_or_else(missing)?;
    let mut work = Work::new(guest, profile, options, &root);
    check_options(&mut work);
    mount_concerns(&mut work, &root);
    volumes::concerns(&mut work);
    let entries = entries::entries(guest);
    drivers::adapt(&mut work, &entries)?;
    storage::adapt(&mut work)?;
    boot::adapt(&mut work, &entries)?;
    firmware::adapt(&mut work, &entries, &root)?;
    lilo::adapt(&mut work, &entries);
    consoles::adapt(&mut work)?;
    display::adapt(&mut work)?;
    modprobe::cards(&mut work)?;
    network::adapt(&mut work, &entries)?;
    networkd::adapt(&mut work)?;
    ifcfg::adapt(&mut work)?;
    deferred::carry(&mut work, &entries, &root)?;
    for (name, note) in tools::installed(guest) {
        work.note(format!("{name} is installed: {note}"));
    }
    Ok(work.result)
}

/// What could not be mounted could not be adapted either.
fn mount_concerns(work: &mut Work<'_>, root: &mounts::Root) {
    for mount in &root.mounts {
        let why = match &mount.outcome {
            mounts::Outcome::Mounted(_) => continue,
            mounts::Outcome::NotFound => "it is not among the disks",
            mounts::Outcome::Failed(why) => why,
        };
        let message = format!("{} could not be mounted from {}: {why}", mount.path, mount.source);
        let remedy = "check that all disks are given, and that an adapter for the file system is installed";
        let firmware = ["/boot/efi", "/efi"].contains(&mount.path.as_str());
        if firmware && work.profile.firmware == "bios" {
            work.warn("linux.mount.failed", message, remedy);
        } else {
            work.block("linux.mount.failed", message, remedy);
        }
    }
    if !root.others.is_empty() {
        work.note(format!("further systems were left as they are: {}", root.others.join(", ")));
    }
}

/// A word that nobody understands is not passed over: there are no options but the cards' addresses.
fn check_options(work: &mut Work<'_>) {
    for option in work.options.iter().filter(|option| !option.key.starts_with("nic.")) {
        let message = format!("`{}` is not something this adapter knows", option.key);
        work.block("linux.unknown-option", message, "leave out --guest: Linux guests have no options");
    }
}
