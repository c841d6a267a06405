//! From BIOS to UEFI: GRUB of the operator's in the EFI system partition, where firmware looks by itself (UEFI specification 2.10,
//! 3.5.1.1), and a stub that leads it to the guest's own menu.

use crate::entries::Entry;
use crate::files::{exists, names, text};
use crate::lent::{Lent, read};
use crate::menu::{self, Menu};
use crate::mounts::{ESP_TYPES, Mount, Outcome, Root};
use crate::place::{boot_disk, partitions, place};
use crate::release::architecture;
use crate::work::Work;
use crate::{fstab, grub_image};
use wherry_sdk::source::Partition;
use wherry_sdk::{Result, Tree, Volume, find};

const REASON: &str = "the new machine's firmware starts GRUB from the EFI system partition";
/// The least that is a FAT32, with room to spare; and what leaves room for later loaders, with large sectors as well.
const LEAST: u64 = 36 << 20;
const WANTED: u64 = 300 << 20;
/// Where it is mounted, if one of these is free.
const FOLDERS: [&str; 2] = ["/boot/efi", "/efi"];

/// The EFI system partition of the disk that the machine starts from, with its file system.
fn partition(guest: &dyn Tree, root: &Root) -> Option<Volume> {
    let is = |volume: &Volume| {
        find(&volume.facts, "partition.type").is_some_and(|kind| ESP_TYPES.contains(&kind))
            && find(&volume.facts, "fs.kind") == Some("vfat")
    };
    partitions(guest, &boot_disk(guest, root)?).into_iter().find(is)
}

/// The one that has to be made.
pub fn missing(guest: &dyn Tree, root: &Root) -> Option<Partition> {
    let disk = boot_disk(guest, root).filter(|_| partition(guest, root).is_none())?;
    Some(Partition {
        disk: disk.id,
        purpose: "efi-system".to_owned(),
        least: LEAST,
        wanted: WANTED,
        file_system: Some("vfat".to_owned()),
        label: "ESP".to_owned(),
        reason: "the new machine's firmware is UEFI, which starts from an EFI system partition".to_owned(),
    })
}

/// Puts the loader there, once everything that speaks against it has been looked for.
pub fn install(work: &mut Work<'_>, entries: &[Entry], root: &Root, lent: &Lent) -> Result<()> {
    let secure = work.profile.firmware == "uefi-secure-boot";
    let Some(files) = lent.efi(secure) else { return Ok(()) };
    if !fits(work, entries) {
        return Ok(());
    }
    let Some(volume) = partition(work.guest, root) else {
        let message = "there is no EFI system partition to put a boot loader into".to_owned();
        work.block("linux.firmware.no-esp", message, "see why none could be made, or choose firmware bios");
        return Ok(());
    };
    let Some(esp) = mounted(work, root, &volume)? else { return Ok(()) };
    let Some(menu) = menu::provide(work, root)? else { return Ok(()) };
    let Some(stub) = stub(work, root, &menu) else { return Ok(()) };
    let boot = format!("{esp}/EFI/BOOT");
    let mut contents = Vec::new();
    let mut folders = vec![boot.clone()];
    for (source, name) in files {
        contents.push((format!("{boot}/{name}"), read(work.guest, source)?));
        folders.extend(grub_image::prefix(work.guest, source).map(|prefix| format!("{esp}{prefix}")));
    }
    folders.dedup();
    let needed: u64 = contents.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    if needed.saturating_add(256 << 10) > work.guest.room(&esp)?.free {
        let message =
            format!("the EFI system partition lacks room for {} KiB of a boot loader", needed / 1024);
        work.block("linux.efi.no-room", message, "make room in the EFI system partition");
        return Ok(());
    }
    for folder in &folders {
        work.ensure_directory(folder, REASON)?;
        work.guest.write(
            &format!("{folder}/grub.cfg"),
            stub.as_bytes(),
            None,
            "this leads GRUB to the guest's menu",
        )?;
    }
    for (path, bytes) in contents {
        work.guest.write(&path, &bytes, None, REASON)?;
    }
    table(work, &esp, &volume)?;
    work.note(format!(
        "the new machine starts by the lent GRUB in {esp}; to have it kept up to date, install the guest's own GRUB for UEFI (grub-efi-amd64, grub2-efi-x64) in the new machine"
    ));
    Ok(())
}

/// Whether the guest's kernels start on 64-bit UEFI at all.
fn fits(work: &mut Work<'_>, entries: &[Entry]) -> bool {
    let guest = architecture(work.guest);
    if work.profile.architecture != "x86_64" || !["x86_64", "unknown"].contains(&guest) {
        let message = format!("the lent GRUB for UEFI is for x86_64, and the guest is {guest}");
        work.block("linux.firmware.architecture", message, "choose firmware bios");
        return false;
    }
    let without = entries.iter().filter(|entry| entry.default).find_map(|entry| {
        let kernel = entry.kernel.as_ref()?;
        let config = text(work.guest, &kernel.replacen("vmlinuz", "config", 1))
            .filter(|_| kernel.contains("vmlinuz"))?;
        (!config.lines().any(|line| line == "CONFIG_EFI=y")).then(|| kernel.clone())
    });
    if let Some(kernel) = without {
        let message = format!("{kernel} was built without support for UEFI (CONFIG_EFI)");
        work.block(
            "linux.firmware.kernel",
            message,
            "install a kernel with it in the guest, or choose firmware bios",
        );
        return false;
    }
    true
}

/// Where the partition is mounted; it is where nothing had it so far.
fn mounted(work: &mut Work<'_>, root: &Root, volume: &Volume) -> Result<Option<String>> {
    let there = |mount: &&Mount| mount.outcome == Outcome::Mounted(volume.id.clone());
    if let Some(mount) = root.mounts.iter().find(there) {
        return Ok(Some(mount.path.clone()));
    }
    let free = |path: &&str| {
        !root.mounts.iter().any(|mount| mount.path == *path)
            && (!exists(work.guest, path) || names(work.guest, path).is_empty())
    };
    let Some(path) = FOLDERS.into_iter().find(free) else {
        let message =
            format!("neither of {} is free to mount the EFI system partition at", FOLDERS.join(", "));
        work.block("linux.efi.no-folder", message, "empty /boot/efi in the guest before the move");
        return Ok(None);
    };
    work.ensure_directory(path, "the EFI system partition is mounted here")?;
    work.guest.mount(&volume.id, path)?;
    Ok(Some(path.to_owned()))
}

/// Finds the file system with the menu, and hands over to it.
fn stub(work: &mut Work<'_>, root: &Root, menu: &Menu) -> Option<String> {
    let Some(place) = place(work.guest, root, &menu.folder) else {
        let message = format!(
            "the file system with {} has no UUID by which GRUB could find it, or is encrypted",
            menu.folder
        );
        work.block("linux.firmware.no-uuid", message, "choose firmware bios");
        return None;
    };
    Some(format!(
        "search --no-floppy --fs-uuid --set=root {}\nset prefix=($root)'{}'\nconfigfile $prefix/{}\n",
        place.uuid, place.path, menu.name
    ))
}

/// A line of `/etc/fstab`; the system starts without the partition, too.
fn table(work: &Work<'_>, esp: &str, volume: &Volume) -> Result<()> {
    let path = "/etc/fstab";
    let (Some(old), Some(uuid)) = (text(work.guest, path), find(&volume.facts, "fs.uuid")) else {
        return Ok(());
    };
    if fstab::entries(&old).iter().any(|entry| entry.path.trim_end_matches('/') == esp) {
        return Ok(());
    }
    let end = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    let new = format!("{old}{end}UUID={uuid} {esp} vfat umask=0077,nofail 0 0\n");
    work.replace(
        path,
        &old,
        &new,
        "the guest's tools for boot loaders expect the EFI system partition to be mounted",
    )
}
