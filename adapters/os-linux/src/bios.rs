//! From UEFI to BIOS, and a loader for guests whose host read their menu: GRUB of the operator's, put in as grub-install does it.
//! Its core goes between an MBR and the first partition, or into a GPT's BIOS boot partition (GRUB manual, "BIOS installation"),
//! its modules beside the guest's own menu.

use crate::core_image::{self, Parts, SECTOR};
use crate::files::names;
use crate::firmware::BIOS_BOOT;
use crate::lent::{Lent, read};
use crate::menu::{self, Menu};
use crate::mounts::Root;
use crate::place::{Place, boot_disk, partitions, place};
use crate::work::Work;
use std::ops::Range;
use wherry_sdk::source::Partition;
use wherry_sdk::{Patch, Result, Tree, Volume, find};

const REASON: &str = "the new machine's BIOS starts GRUB from the disk's boot code";
const MODULES: &str = "GRUB loads what its menu asks for from these files";
/// The least that holds a core, and what every tool makes.
const LEAST: u64 = 256 << 10;
const WANTED: u64 = 1 << 20;
/// What every core has besides those for the menu's partition and file system. What shows the menu is loaded from there: in a core it
/// would not fit into an old disk's gap.
const ALWAYS: [&str; 2] = ["biosdisk", "search_fs_uuid"];

/// Where a core has room, in bytes of the disk.
fn room(guest: &dyn Tree, disk: &Volume) -> Option<Range<u64>> {
    let number = |volume: &Volume, key: &str| find(&volume.facts, key)?.parse::<u64>().ok();
    let parts = partitions(guest, disk);
    let reserved = parts.iter().find(|part| find(&part.facts, "partition.type") == Some(BIOS_BOOT));
    if let Some(part) = reserved {
        let start = number(part, "partition.offset")?;
        return Some(start..start.checked_add(part.size)?);
    }
    let (from, to) = parts.iter().find_map(|part| find(&part.facts, "table.gap"))?.split_once('-')?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// A partition for boot code, which a GPT needs.
pub fn missing(guest: &dyn Tree, root: &Root) -> Option<Partition> {
    let disk = boot_disk(guest, root)?;
    let parts = partitions(guest, &disk);
    let gpt = parts.iter().any(|part| find(&part.facts, "table.kind") == Some("gpt"));
    (gpt && room(guest, &disk).is_none()).then(|| Partition {
        disk: disk.id,
        purpose: "bios-boot".to_owned(),
        least: LEAST,
        wanted: WANTED,
        file_system: None,
        label: String::new(),
        reason: "the new machine's firmware is BIOS, and GRUB's core needs a partition on a GPT".to_owned(),
    })
}

/// Puts the loader there, once everything that speaks against it has been looked for.
pub fn install(work: &mut Work<'_>, root: &Root, lent: &Lent) -> Result<()> {
    let Some(folder) = lent.bios.clone() else { return Ok(()) };
    let disk = boot_disk(work.guest, root);
    let space = disk.as_ref().and_then(|disk| room(work.guest, disk));
    let (Some(disk), Some(space)) = (disk, space) else {
        let message = "the disk has no room for boot code: neither a partition table with a gap behind it, nor a BIOS boot partition".to_owned();
        work.block(
            "linux.firmware.no-gap",
            message,
            "put the system on a disk with a partition table whose first partition begins at 1 MiB, or choose firmware uefi",
        );
        return Ok(());
    };
    let Some(menu) = menu::provide(work, root)? else { return Ok(()) };
    let Some((place, needed)) = modules(work, root, &menu) else { return Ok(()) };
    let first = space.start.div_ceil(SECTOR as u64);
    let core = core(work.guest, &folder, &place, &needed, &menu, first)?;
    let sector = core_image::boot_sector(&read(work.guest, &format!("{folder}/boot.img"))?, first)?;
    let end = first.saturating_mul(SECTOR as u64).saturating_add(core.len() as u64);
    if end > space.end {
        let message = format!(
            "GRUB's core has {} bytes, and the room for it {}: {}",
            core.len(),
            space.end.saturating_sub(space.start),
            needed.join(" ")
        );
        work.block(
            "linux.firmware.no-gap",
            message,
            "let the first partition begin at 1 MiB, or choose firmware uefi",
        );
        return Ok(());
    }
    if !copy(work, &folder, &menu)? {
        return Ok(());
    }
    let mut patches: Vec<Patch> = sector.map(|(offset, bytes)| Patch { offset, bytes }).into();
    patches.push(Patch { offset: first * SECTOR as u64, bytes: core });
    work.guest.write_boot_code(&disk.id, &patches, REASON)?;
    work.note(
        "the new machine starts by the lent GRUB; to have it kept up to date, install the guest's own GRUB for BIOS (grub-pc, grub2-pc) in the new machine and grub-install to its disk"
            .to_owned(),
    );
    Ok(())
}

/// Where the menu is, and the modules that reach it.
fn modules(work: &mut Work<'_>, root: &Root, menu: &Menu) -> Option<(Place, Vec<&'static str>)> {
    let Some(place) = place(work.guest, root, &menu.folder) else {
        let message = format!(
            "the file system with {} has no UUID by which GRUB could find it, or is encrypted",
            menu.folder
        );
        work.block("linux.firmware.no-uuid", message, "choose firmware uefi");
        return None;
    };
    let kind = find(&place.volume.facts, "fs.kind").unwrap_or_default();
    let system = match kind {
        "ext2" | "ext3" | "ext4" => "ext2",
        "xfs" => "xfs",
        "btrfs" => "btrfs",
        "vfat" => "fat",
        other => {
            let message = format!("{} is on {other}, which GRUB's core is not made for here", menu.folder);
            work.block("linux.firmware.file-system", message, "choose firmware uefi");
            return None;
        }
    };
    let mut needed = ALWAYS.to_vec();
    needed.push(system);
    let volumes = work.guest.volumes();
    let mut at = Some(&place.volume);
    // partition, volume group, mirror, down to the disk
    for _ in 0..8 {
        let Some(volume) = at else { break };
        let fact = |key: &str| find(&volume.facts, key);
        match fact("table.kind") {
            Some("gpt") => needed.push("part_gpt"),
            Some(_) => needed.push("part_msdos"),
            None => {}
        }
        if fact("lvm.vg").is_some() {
            needed.push("lvm");
        }
        if volume.id.starts_with("md:") {
            needed.extend(["mdraid1x", "mdraid09"]);
        }
        at = fact("parent").and_then(|parent| volumes.iter().find(|volume| volume.id == parent));
    }
    Some((place, needed))
}

fn core(
    guest: &dyn Tree,
    folder: &str,
    place: &Place,
    needed: &[&str],
    menu: &Menu,
    first: u64,
) -> Result<Vec<u8>> {
    let file = |name: &str| read(guest, &format!("{folder}/{name}"));
    let list = String::from_utf8_lossy(&file("moddep.lst")?).into_owned();
    let names = core_image::resolve(&list, needed)?;
    let modules = names.iter().map(|name| file(&format!("{name}.mod"))).collect::<Result<Vec<_>>>()?;
    let mut commands = format!("search.fs_uuid {} root\nset prefix=($root)'{}'\n", place.uuid, place.path);
    if menu.name != "grub.cfg" {
        commands.push_str(&format!("insmod normal\nnormal $prefix/{}\n", menu.name));
    }
    let parts = Parts {
        diskboot: &file("diskboot.img")?,
        decompressor: &file("lzma_decompress.img")?,
        kernel: &file("kernel.img")?,
        modules: &modules,
        commands: &commands,
        folder: &place.path,
    };
    core_image::compose(&parts, first)
}

/// Puts modules and lists beside the menu; whether there was room.
fn copy(work: &mut Work<'_>, folder: &str, menu: &Menu) -> Result<bool> {
    let target = format!("{}/i386-pc", menu.folder);
    let kept = |name: &String| [".mod", ".lst"].iter().any(|end| name.ends_with(end));
    let names: Vec<String> = names(work.guest, folder).into_iter().filter(kept).collect();
    let mut contents = Vec::new();
    for name in names {
        contents.push((format!("{target}/{name}"), read(work.guest, &format!("{folder}/{name}"))?));
    }
    // a block each is lost at the end
    let needed: u64 = contents.iter().map(|(_, bytes)| bytes.len() as u64 + 4096).sum();
    if needed > work.guest.room(&menu.folder)?.free {
        let message = format!("{} lacks room for {} KiB of GRUB's modules", menu.folder, needed / 1024);
        work.block("linux.boot.no-room", message, "make room in the guest's /boot");
        return Ok(false);
    }
    work.ensure_directory(&target, MODULES)?;
    for (path, bytes) in contents {
        work.guest.write(&path, &bytes, None, MODULES)?;
    }
    Ok(true)
}
