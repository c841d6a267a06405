//! What starts the system: firmware, the driver of the new controller, and where the kernel looks for its root.
//!
//! On x86 the kernel runs from the boot archive until it has mounted its root from the device that `bootpath` names. The archive
//! has `bootenv.rc` with the old path, but a property on the kernel's line comes before that file (fakebop.c, `boot_prop_finish`).
//! So the menu says the new path, and the archive stays as the system made it, in step with its files: at the start
//! `svc:/system/boot-archive` compares them, and stops where another file than those of `filelist.safe` differs.

use crate::archive::ARCHIVES;
use crate::devices::{self, Driver};
use crate::files::{exists, text};
use crate::menu;
use crate::place::{self, Place};
use crate::work::Work;
use wherry_sdk::Result;

/// The menu of GRUB on a root of UFS.
pub const MENU: &str = "/boot/grub/menu.lst";
/// Buses that are named as a way out, the best first.
const BUSES: [&str; 9] =
    ["ide", "lsi-scsi", "lsi-sas", "ahci", "virtio-blk", "virtio-scsi", "nvme", "pvscsi", "buslogic"];

/// Whether the new machine can start the guest at all: its firmware, and the controller of its disks.
pub fn check(work: &mut Work<'_>) -> bool {
    firmware(work);
    driver(work)
}

/// The place of the disk with the root, once the menu names it; none on other file systems than UFS, and where it is not known.
pub fn adapt(work: &mut Work<'_>) -> Result<Option<Place>> {
    if work.root.kind != "ufs" {
        return Ok(None);
    }
    let Some(disk) = work.root.disk else {
        let message = format!("it is not known which disk has {}", work.root.id);
        work.block("solaris.boot.disk-unknown", message, "give the whole disk, not a part of it");
        return Ok(None);
    };
    let Some(place) = place::place(work.profile, disk) else {
        unknown_place(work);
        return Ok(None);
    };
    if !place.certain {
        let message = format!(
            "the root is looked for at {}, which is where VMware puts the first controller, but nothing in the machine's definition says so",
            place.path
        );
        let remedy = "if the start stops with `Cannot mount root`, press e in GRUB's menu and correct bootpath on the kernel's line";
        work.warn("solaris.boot.path-assumed", message, remedy);
    }
    Ok(set_boot_path(work, &place)?.then_some(place))
}

fn firmware(work: &mut Work<'_>) {
    let old = work.release.major() == Some(10) || work.release.id == "opensolaris";
    if work.profile.firmware != "bios" && old {
        let message = format!("{} does not start from {}", work.release.product, work.profile.firmware);
        work.block("solaris.boot.firmware", message, "choose a machine with a BIOS");
    }
}

/// Whether the guest drives the new controller.
fn driver(work: &mut Work<'_>) -> bool {
    let bus = work.profile.disk_bus.clone();
    match devices::disk_driver(work.guest, &work.aliases, &bus) {
        Driver::Found(_) => {}
        Driver::Missing | Driver::Unknown => {
            let usable = BUSES.iter().filter(|bus| {
                matches!(devices::disk_driver(work.guest, &work.aliases, bus), Driver::Found(_))
            });
            let usable: Vec<&str> = usable.copied().collect();
            let remedy = if let Some(claim) = work.claim(&bus) {
                format!("{claim}; bootadm update-archive")
            } else if usable.is_empty() {
                "check that /etc/driver_aliases and /kernel/drv are complete".to_owned()
            } else {
                format!("choose one of the disk buses that it has drivers for: {}", usable.join(", "))
            };
            let message = format!("{} has no driver for disks on {bus}", work.release.product);
            work.block("solaris.boot.no-driver", message, &remedy);
            return false;
        }
    }
    let modern = devices::drives_modern(&work.aliases, &bus) == Some(false);
    // on the root bus QEMU's devices are transitional
    let on_root =
        wherry_sdk::find(&work.profile.facts, "disk.0.slot").is_some_and(|slot| !slot.contains('/'));
    if modern && work.profile.machine == "q35" && !on_root {
        let message = format!(
            "{} drives only transitional virtio disks, and libvirt puts those of q35 where they are not",
            work.release.product
        );
        work.warn("solaris.boot.virtio-modern", message, "choose the board i440fx");
    }
    true
}

fn unknown_place(work: &mut Work<'_>) {
    let message = format!(
        "Solaris finds a root of UFS by its place in the device tree, and where a {} disk of the new machine is, is not known",
        work.profile.disk_bus
    );
    let remedy = match work.profile.machine.as_str() {
        "q35" | "i440fx" => "choose disks on IDE: --wish disk-bus=ide --wish machine=i440fx",
        machine if machine.starts_with("vmx-") => {
            "choose disks on IDE or LSI Logic: --wish disk-bus=ide, lsi-scsi or lsi-sas"
        }
        _ => "choose disks on IDE: --wish disk-bus=ide",
    };
    work.block("solaris.boot.path-unknown", message, remedy);
}

/// Has the menu name the place; whether it does.
fn set_boot_path(work: &mut Work<'_>, place: &Place) -> Result<bool> {
    let has_archive = ARCHIVES.iter().any(|path| exists(work.guest, path));
    let old = text(work.guest, MENU)
        .filter(|menu| has_archive && menu::entries(menu).iter().any(menu::Entry::installed));
    let Some(old) = old else {
        let message =
            format!("{MENU} has no entry with a boot archive: the system starts as those before 1/06 did");
        work.block(
            "solaris.boot.no-menu",
            message,
            "update the guest to Solaris 10 1/06 or later before the move",
        );
        return Ok(false);
    };
    if let Some(line) = menu::open_quote(&old) {
        let message = format!("{MENU} has a line with a quote that is not closed: {line}");
        work.block("solaris.boot.menu-quote", message, "correct the line in the guest before the move");
        return Ok(false);
    }
    let table = text(work.guest, "/etc/vfstab").unwrap_or_default();
    let slice = crate::storage::root_slice(work.guest, &table);
    let minor = slice.and_then(|name| crate::names::minor(&name.part)).unwrap_or_else(|| "a".to_owned());
    let path = format!("{}:{minor}", place.path);
    let new = menu::with_boot_path(&old, &path);
    work.write(MENU, &new, None, "the kernel mounts its root from the device that bootpath names")?;
    let environment = text(work.guest, "/boot/solaris/bootenv.rc").unwrap_or_default();
    if menu::property(&environment, "bootpath").is_some_and(|old| old != path) {
        work.note(format!(
            "bootenv.rc in the boot archive names the old disk; the menu overrules it. Once the machine runs, make it last: eeprom bootpath='{path}'; bootadm update-archive"
        ));
    }
    Ok(true)
}
