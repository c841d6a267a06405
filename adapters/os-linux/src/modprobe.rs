//! `/etc/modprobe.conf`, in which systems before udev say what drives their disks and cards (modprobe.conf(5), mkinitrd(8) of
//! RHEL 4 and 5): `alias scsi_hostadapter mptspi`, `alias eth0 pcnet32`.

use crate::files::{names, text};
use crate::kernels::{Driver, Kernel};
use crate::modules;
use crate::persist;
use crate::work::Work;
use wherry_sdk::Result;

/// The file.
pub const FILE: &str = "/etc/modprobe.conf";
/// Kernels that are asked whether they have a card's driver.
const KERNELS: usize = 16;
/// Drivers of the cards that hypervisors emulate, old ones too.
const CARDS: [&str; 13] = [
    "pcnet32",
    "vmxnet",
    "vmxnet3",
    "e1000",
    "e1000e",
    "8139cp",
    "8139too",
    "ne2k-pci",
    "tulip",
    "virtio_net",
    "xennet",
    "xen-netfront",
    "hv_netvsc",
];

/// Name and module of a line's alias.
fn alias(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    if words.next() != Some("alias") {
        return None;
    }
    words.next().zip(words.next())
}

/// Makes the next initramfs hold these modules.
pub fn disks(work: &mut Work<'_>, wanted: &[&str]) -> Result<()> {
    let Some(old) = text(work.guest, FILE) else { return Ok(()) };
    let adapters: Vec<(&str, &str)> =
        old.lines().filter_map(alias).filter(|(name, _)| name.starts_with("scsi_hostadapter")).collect();
    let listed = |module: &str| adapters.iter().any(|(_, other)| other.replace('-', "_") == module);
    let taken = |name: &String| adapters.iter().any(|(other, _)| other == name);
    let numbers = (0..).map(|n: u32| if n == 0 { String::new() } else { n.to_string() });
    let mut names = numbers.map(|number| format!("scsi_hostadapter{number}")).filter(|name| !taken(name));
    // every image of a system with SCSI disks has sd_mod
    let missing = wanted.iter().filter(|module| **module != "sd_mod" && !listed(module));
    let lines: String =
        missing.filter_map(|module| Some(format!("alias {} {module}\n", names.next()?))).collect();
    let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    if lines.is_empty() {
        return Ok(());
    }
    work.replace(FILE, &old, &format!("{old}{gap}{lines}"), persist::REASON)
}

/// Gives interfaces the driver of the new cards.
pub fn cards(work: &mut Work<'_>) -> Result<()> {
    let (Some(old), Some((module, _))) = (text(work.guest, FILE), modules::network(&work.profile.nic_model))
    else {
        return Ok(());
    };
    let mut releases = names(work.guest, "/lib/modules").into_iter().take(KERNELS);
    let mut kernels = releases.by_ref().map(|release| Kernel::of_release(work.guest, "", Some(release)));
    if !kernels.any(|kernel| kernel.driver(module) != Driver::Missing) {
        return Ok(());
    }
    let line = |line: &str| match alias(line) {
        Some((name, driver)) if name.starts_with("eth") && driver != module && CARDS.contains(&driver) => {
            let (head, tail) = line.split_at(line.find(name).map_or(0, |at| at + name.len()));
            format!("{head}{}", tail.replacen(driver, module, 1))
        }
        _ => line.to_owned(),
    };
    let new: String = old.split_inclusive('\n').map(line).collect();
    work.replace(FILE, &old, &new, "the interfaces' driver is that of the old network cards")
}
