//! What the loaders read: boot.ini and BCD stores.

use crate::arc::{ArcPath, Way};
use crate::bootini::{BootIni, Entry};
use crate::files::{bytes, text};
use crate::place::{Boot, Loader, Place};
use crate::work::Work;
use crate::{arc, disks, hives};
use wherry_sdk::{Fact, Result, Tree, fact};

/// boot.ini is a page of text.
pub const INI_MOST: u64 = 64 << 10;

/// Where a loader's file is in the tree.
pub fn file(boot: &Boot) -> String {
    let name = match boot.loader {
        Loader::Ntldr => "boot.ini",
        Loader::Bootmgr => "Boot/BCD",
        Loader::BootmgrEfi => "EFI/Microsoft/Boot/BCD",
    };
    format!("{}/{name}", boot.path)
}

/// `boot.FILE.N`: what the loaders offer.
pub fn describe(guest: &dyn Tree, place: &Place) -> Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for boot in &place.boots {
        let path = file(boot);
        let entries = match boot.loader {
            Loader::Ntldr => BootIni::parse(&text(guest, &path, INI_MOST)?).describe(),
            Loader::Bootmgr | Loader::BootmgrEfi => match hives::open(guest, &path) {
                Ok(mut store) => crate::bcd::describe(&mut store)
                    .unwrap_or_else(|e| vec![format!("cannot be read: {}", e.message)]),
                Err(e) => vec![format!("cannot be read: {}", e.message)],
            },
        };
        let entries = entries.into_iter().enumerate();
        facts.extend(entries.map(|(n, entry)| fact(format!("entry.{n}"), format!("{path}: {entry}"))));
    }
    Ok(facts)
}

/// Has NTLDR read the disk by the BIOS where it uses the old controller's driver: a new entry in front of the one that is
/// started by itself.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    for start in work.place.boots.clone().iter().filter(|boot| boot.loader == Loader::Ntldr) {
        by_bios(work, start)?;
    }
    Ok(())
}

fn by_bios(work: &mut Work<'_>, start: &Boot) -> Result<()> {
    let path = file(start);
    let ini = BootIni::parse(&text(work.guest, &path, INI_MOST)?);
    let Some(usual) = ini.usual() else { return Ok(()) };
    let Some(arc) = ArcPath::parse(&usual.path).filter(|arc| arc.way != Way::Bios) else { return Ok(()) };
    let volumes = work.guest.volumes();
    let volume = |id: &str| volumes.iter().find(|one| one.id == id);
    let Some((own, loader)) = volume(&work.place.volume).zip(volume(&start.volume)) else { return Ok(()) };
    let Some(partition) = disks::arc_partition(&volumes, own) else { return Ok(()) };
    let directory = work.place.root.trim_start_matches('/');
    if work.place.is_started && !directory.eq_ignore_ascii_case(&arc.directory) {
        return Ok(());
    }
    let disk = if disks::index(own) == disks::index(loader) { 0 } else { disks::index(own).unwrap_or(0) };
    if disk > 0 {
        let message = format!(
            "boot.ini names disk {disk} by its place among the BIOS' disks, which is assumed to stay"
        );
        work.warn("windows.boot.disk", message, "keep the disks in the order that they have on the source");
    }
    let mut entry = Entry::clone(usual);
    (entry.path, entry.title) =
        (arc::by_bios(disk, partition, &arc.directory), format!("{} (BIOS)", usual.title));
    let reason =
        "NTLDR reads this entry's disk by a driver of the old controller (NTBOOTDD.SYS), not by the BIOS";
    work.guest.write(&path, &bytes(&ini.with(usual, &entry)), None, reason)?;
    work.note(format!("boot.ini has a new entry, \"{}\"; the old one stays below it", entry.title));
    Ok(())
}
