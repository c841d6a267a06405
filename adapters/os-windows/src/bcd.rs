//! The boot configuration data store: what it offers, and whether the disks that it names are there.

use crate::hives::{self, Open};
use crate::place::{Boot, Loader};
use crate::work::Work;
use crate::{boot, disks};
use wherry_registry::bcd::{Element, Store, element};
use wherry_registry::device::{DeviceKind, Partition};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Result, Volume, find};

/// One line for each entry.
pub fn describe(hive: &mut Open<'_>) -> Result<Vec<String>> {
    let mut store = Store::open(hive)?;
    let default = store.default_entry()?;
    let mut lines = Vec::new();
    for (id, title) in store.loaders()? {
        let mark = if Some(id) == default { " (default)" } else { "" };
        let device = match store.element(&id, element::OS_DEVICE)? {
            Some(Element::Device(device)) => show(&device.kind()),
            _ => "on no device".into(),
        };
        lines.push(format!("{{{id}}}{mark}: {title} {device}"));
    }
    Ok(lines)
}

fn show(kind: &DeviceKind) -> String {
    match kind {
        DeviceKind::Partition(Partition::Mbr { signature, offset }) => {
            format!("on mbr {signature:08x} {offset}")
        }
        DeviceKind::Partition(Partition::Gpt { partition, .. }) => format!("on gpt {partition}"),
        DeviceKind::Boot => "on the disk that it starts from".into(),
        DeviceKind::Ramdisk => "in memory".into(),
        DeviceKind::File | DeviceKind::VirtualDisk => "in a file".into(),
        DeviceKind::Locate => "wherever it is".into(),
        DeviceKind::Other(..) => "on a device of an unknown kind".into(),
    }
}

/// The disks of this machine, as a store names them.
struct Disks {
    signatures: Vec<u32>,
    /// Where partitions begin.
    offsets: Vec<u64>,
    /// Each partition's own identifier, and its disk's.
    partitions: Vec<(Uuid, Uuid)>,
}

impl Disks {
    fn of(volumes: &[Volume]) -> Self {
        let id = |volume: &Volume| find(&volume.facts, "table.id").map(str::to_owned);
        let gpt = |volume: &Volume| {
            let own = Uuid::parse(find(&volume.facts, "partition.uuid")?)?;
            Some((own, Uuid::parse(&id(volume)?)?))
        };
        let mut signatures: Vec<u32> = volumes.iter().filter_map(disks::signature).collect();
        signatures.sort_unstable();
        signatures.dedup();
        let offsets = volumes.iter().filter_map(disks::offset).collect();
        Self { signatures, offsets, partitions: volumes.iter().filter_map(gpt).collect() }
    }

    /// What a partition has become that is not there under its name: the only disk's, or its own on a disk of another name.
    fn moved(&self, partition: &Partition) -> Option<Partition> {
        match *partition {
            Partition::Mbr { signature, offset } => match self.signatures[..] {
                [only] if only != signature && self.offsets.contains(&offset) => {
                    Some(Partition::Mbr { signature: only, offset })
                }
                _ => None,
            },
            Partition::Gpt { disk, partition } => {
                let found = self.partitions.iter().find(|(own, _)| *own == partition)?;
                (found.1 != disk).then_some(Partition::Gpt { disk: found.1, partition })
            }
        }
    }
}

/// Gives stores that name disks by another signature or identifier the ones that they have: those of a disk that was copied, or
/// whose signature Windows has changed.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let disks = Disks::of(&work.guest.volumes());
    for start in work.place.boots.clone().iter().filter(|boot| boot.loader != Loader::Ntldr) {
        repair(work, start, &disks)?;
    }
    Ok(())
}

fn repair(work: &mut Work<'_>, start: &Boot, disks: &Disks) -> Result<()> {
    let path = boot::file(start);
    let opened = hives::open(work.guest, &path);
    let mut hive = match opened {
        Ok(hive) => hive,
        Err(e) => {
            damaged(work, &path, &e.message);
            return Ok(());
        }
    };
    match mend(&mut hive, start.loader, disks) {
        Err(e) => damaged(work, &path, &e.message),
        Ok(None) => {}
        Ok(Some(reason)) => {
            let taken = hive.take(r"HKEY_LOCAL_MACHINE\BCD00000000")?;
            work.guest.modify(&path, &taken.patches, Some(&taken.change), reason)?;
        }
    }
    Ok(())
}

/// What is wrong in a store, made right; why, if there was anything.
fn mend(hive: &mut Open<'_>, loader: Loader, disks: &Disks) -> Result<Option<&'static str>> {
    let mut store = Store::open(hive)?;
    let moved = store.move_partitions(|one| disks.moved(one))?;
    // On UEFI a loader that may not use graphics shows nothing, not even an error (virt-v2v, `fix_win_uefi_bcd`).
    let dark = match store.default_entry()?.filter(|_| loader == Loader::BootmgrEfi) {
        Some(entry) => store.unset(&entry, element::GRAPHICS_DISABLED)?,
        None => false,
    };
    Ok(match (moved.is_empty(), dark) {
        (true, false) => None,
        (false, _) => {
            Some("the boot configuration names a disk that is not there by this signature or identifier")
        }
        (true, true) => Some("the boot configuration forbids graphics, without which UEFI shows nothing"),
    })
}

fn damaged(work: &mut Work<'_>, path: &str, what: &str) {
    let message = format!("the boot configuration {path} cannot be read: {what}");
    work.warn("windows.bcd.damaged", message, "repair it on the source (bootrec /rebuildbcd, bcdboot)");
}
