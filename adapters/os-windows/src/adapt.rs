//! What has to change for other hardware, in this order: what speaks against it, disks, kernel, firmware, network, what is left
//! of the old hypervisor.

use crate::work::Work;
use crate::{bcd, boot, disks, firmware, hal, network, place, roles, storage, tools};
use wherry_sdk::source::Adaptation;
use wherry_sdk::{DeviceProfile, Error, ErrorKind, Fact, Result, Tree};

/// Edits the guest that `identify` has found.
pub fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
    let missing = || Error::new(ErrorKind::NotFound, "there is no Windows among the volumes");
    let place = place::mount(guest).ok_or_else(missing)?;
    let mut work = Work::new(guest, profile, options, place)?;
    if profile.architecture != work.system.machine.name()
        && !(profile.architecture == "x86_64" && work.system.machine.name() == "x86")
    {
        let message = format!(
            "this Windows is made for {}, and the new machine is {}",
            work.system.machine.name(),
            profile.architecture
        );
        work.block("windows.architecture", message, "choose a target of the same architecture");
        return Ok(work.result);
    }
    check_options(&mut work);
    if !work.place.others.is_empty() {
        let others: Vec<String> =
            work.place.others.iter().map(|(volume, root)| format!("{root} on {volume}")).collect();
        let others = others.join(", ");
        if !work.place.is_started {
            let message = format!(
                "there are several Windows, and the boot configuration does not tell which one is started: {} is adapted, and not {others}",
                work.place.root
            );
            let remedy = "make the right one the default entry on the source (boot.ini, bcdedit /default)";
            work.warn("windows.several", message, remedy);
        }
        work.note(format!("further systems were left as they are: {others}"));
    }
    roles::adapt(&mut work)?;
    storage::adapt(&mut work)?;
    boot::adapt(&mut work)?;
    hal::adapt(&mut work)?;
    firmware::adapt(&mut work)?;
    bcd::adapt(&mut work)?;
    disks::adapt(&mut work)?;
    network::adapt(&mut work)?;
    tools::adapt(&mut work)?;
    Ok(work.result)
}

/// What the operator may say, besides the addresses of cards.
const OPTIONS: &[&str] = &["driver-signatures", "first-boot", "first-boot-commands", "hal", "keep-tools"];

/// A word that nobody understands is not passed over.
fn check_options(work: &mut Work<'_>) {
    let known = |key: &str| OPTIONS.contains(&key) || key.starts_with("nic.");
    for option in work.options.iter().filter(|option| !known(&option.key)) {
        let message = format!("`{}` is not something this adapter knows", option.key);
        work.block("windows.unknown-option", message, &format!("choose among {}", OPTIONS.join(", ")));
    }
}
