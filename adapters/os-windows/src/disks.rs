//! Disks as Windows knows them: signatures, letters, and whether new ones are taken into use.

use crate::files::look;
use crate::hives::Store;
use crate::version::VISTA;
use crate::work::Work;
use std::collections::BTreeMap;
use wherry_sdk::{Patch, Result, find};

/// `SanPolicy`: all disks are taken into use (Microsoft, "SanPolicy": OnlineAll).
const ONLINE_ALL: u32 = 1;
/// Where a boot sector says how many heads a track has (BIOS parameter block).
const HEADS: u64 = 0x1a;

/// Takes care of all disks.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    signatures(work);
    if work.system.version >= VISTA {
        policy(work)?;
    } else {
        geometry(work)?;
    }
    work.in_sets(|work, set| {
        let key = format!(r"{set}\Services\mountmgr");
        match work.hives.number(Store::System, &key, "NoAutoMount")? {
            Some(1..) => work.set_number(Store::System, &key, "NoAutoMount", 0),
            _ => Ok(()),
        }
    })?;
    work.commit("volumes on the new machine's disks get their letters only if they are mounted by themselves")
}

fn count(work: &Work<'_>) -> usize {
    work.guest.volumes().iter().filter(|volume| volume.kind == "disk").count()
}

/// Two disks with one signature: Windows takes only one of them into use.
fn signatures(work: &mut Work<'_>) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for volume in work.guest.volumes() {
        let fact = |key| find(&volume.facts, key).map(str::to_owned);
        let Some((id, index)) = fact("table.id").zip(fact("disk.index")) else { continue };
        let other = seen.entry(id.clone()).or_insert_with(|| index.clone());
        if *other != index {
            let message = format!(
                "disks {other} and {index} have the same signature {id}: Windows takes only one of them into use"
            );
            work.warn(
                "windows.disk.signature",
                message,
                "take the second disk into use by hand (diskpart: online disk), which gives it a new signature",
            );
        }
    }
}

/// Servers leave disks on a shared bus alone unless they are told otherwise, and every disk is new here.
fn policy(work: &mut Work<'_>) -> Result<()> {
    if !work.system.server || count(work) < 2 {
        return Ok(());
    }
    work.in_sets(|work, set| {
        let key = format!(r"{set}\Services\partmgr\Parameters");
        work.set_number(Store::System, &key, "SanPolicy", ONLINE_ALL)
    })?;
    work.commit("the data disks are new to Windows here, and servers leave new disks offline")
}

/// NTLDR's boot sector counts heads as the BIOS of the new machine does, by the size of the disk (virt-v2v,
/// `convert_windows.ml`; BIOS-assisted LBA translation).
fn geometry(work: &mut Work<'_>) -> Result<()> {
    let volumes = work.guest.volumes();
    let Some(boot) = work.place.boots.first().filter(|boot| boot.path.is_empty()) else { return Ok(()) };
    let Some(volume) = volumes.iter().find(|volume| volume.id == boot.volume) else { return Ok(()) };
    let index = find(&volume.facts, "disk.index");
    let disk = volumes.iter().find(|one| one.kind == "disk" && find(&one.facts, "disk.index") == index);
    let Some(size) = disk.map(|disk| disk.size) else { return Ok(()) };
    let heads: u16 = match size {
        0..2_114_445_312 => 0x40,
        2_114_445_312..4_228_374_780 => 0x80,
        _ => 0xff,
    };
    if look(work.guest, "/$Boot").is_none() {
        return Ok(());
    }
    let there = work.guest.read("/$Boot", HEADS, 2)?;
    if there == heads.to_le_bytes() {
        return Ok(());
    }
    let patch = Patch { offset: HEADS, bytes: heads.to_le_bytes().to_vec() };
    work.guest.modify(
        "/$Boot",
        &[patch],
        None,
        "the boot sector reads by heads and sectors as the BIOS of the new machine counts them",
    )
}
