//! Disks as Windows knows them: signatures, letters, and whether new ones are taken into use.

use crate::files::look;
use crate::hives::Store;
use crate::roles;
use crate::version::VISTA;
use crate::work::Work;
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::{Patch, Result, Volume, find};

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
    automount(work)
}

/// A volume whose letter Windows does not know by the disk's signature gets one only if volumes are mounted by themselves.
fn automount(work: &mut Work<'_>) -> Result<()> {
    let known = known_signatures(work)?;
    let volumes = work.guest.volumes();
    let is_new = |volume: &Volume| signature(volume).is_some_and(|signature| !known.contains(&signature));
    if !volumes.iter().any(|volume| volume.kind == "partition" && is_new(volume)) {
        return Ok(());
    }
    work.in_sets(|work, set| {
        let key = format!(r"{set}\Services\mountmgr");
        match work.hives.number(Store::System, &key, "NoAutoMount")? {
            Some(1..) => work.set_number(Store::System, &key, "NoAutoMount", 0),
            _ => Ok(()),
        }
    })?;
    work.commit("a disk has another signature than Windows knows, and its volumes get letters only if they are mounted by themselves")
}

/// The signatures of the disks whose volumes have letters (`MountedDevices`: signature and offset, 12 bytes).
fn known_signatures(work: &mut Work<'_>) -> Result<BTreeSet<u32>> {
    const KEY: &str = "MountedDevices";
    let mut known = BTreeSet::new();
    for name in work.hives.values(Store::System, KEY)? {
        let value = work.hives.value(Store::System, KEY, &name)?.map(|(_, bytes)| bytes).unwrap_or_default();
        if let (12, Some(signature)) = (value.len(), value.first_chunk()) {
            known.insert(u32::from_le_bytes(*signature));
        }
    }
    Ok(known)
}

/// Which disk a volume is on.
pub fn index(volume: &Volume) -> Option<u32> {
    find(&volume.facts, "disk.index")?.parse().ok()
}

/// The signature of the disk that a volume is on, if it has one: an MBR's.
pub fn signature(volume: &Volume) -> Option<u32> {
    u32::from_str_radix(find(&volume.facts, "table.id")?.trim_start_matches("0x"), 16).ok()
}

/// Where a partition begins on its disk, in bytes.
pub fn offset(volume: &Volume) -> Option<u64> {
    find(&volume.facts, "partition.offset")?.parse().ok()
}

/// What NTLDR calls a partition: primary ones from 1 on, then logical drives.
pub fn arc_partition(volumes: &[Volume], volume: &Volume) -> Option<u32> {
    let number = |volume: &Volume| find(&volume.facts, "partition.number")?.parse::<u32>().ok();
    let own = number(volume)?;
    let before = |one: &&Volume| {
        index(one) == index(volume) && one.kind == volume.kind && number(one).is_some_and(|one| one < own)
    };
    Some(1 + u32::try_from(volumes.iter().filter(before).count()).ok()?)
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

/// Servers leave disks on a shared bus alone unless they are told otherwise, and every disk is new here. Those of a cluster
/// really are shared.
fn policy(work: &mut Work<'_>) -> Result<()> {
    if !work.system.server || count(work) < 2 || roles::is_cluster(&mut work.hives, &work.system)? {
        return Ok(());
    }
    work.in_sets(|work, set| {
        let key = format!(r"{set}\Services\partmgr\Parameters");
        work.set_number(Store::System, &key, "SanPolicy", ONLINE_ALL)
    })?;
    work.commit("the data disks are new to Windows here, and servers leave new disks offline")
}

/// NTLDR's boot sectors count heads as the BIOS of the new machine does, by the size of the disk (virt-v2v,
/// `convert_windows.ml`; BIOS-assisted LBA translation): that of the system partition, and Windows' own.
fn geometry(work: &mut Work<'_>) -> Result<()> {
    let volumes = work.guest.volumes();
    let boots = work.place.boots.iter().map(|boot| (boot.volume.clone(), boot.path.clone()));
    let mut places: Vec<(String, String)> =
        boots.chain([(work.place.volume.clone(), String::new())]).collect();
    places.sort();
    places.dedup();
    for (volume, path) in places {
        let Some(volume) = volumes.iter().find(|one| one.id == volume) else { continue };
        let disk = volumes.iter().find(|one| one.kind == "disk" && index(one) == index(volume));
        let Some(heads) = disk.map(|disk| heads(disk.size)) else { continue };
        let file = format!("{path}/$Boot");
        if look(work.guest, &file).is_none() || work.guest.read(&file, HEADS, 2)? == heads.to_le_bytes() {
            continue;
        }
        let patch = Patch { offset: HEADS, bytes: heads.to_le_bytes().to_vec() };
        work.guest.modify(
            &file,
            &[patch],
            None,
            "the boot sector reads by heads and sectors as the BIOS of the new machine counts them",
        )?;
    }
    Ok(())
}

fn heads(size: u64) -> u16 {
    match size {
        0..2_114_445_312 => 0x40,
        2_114_445_312..4_228_374_780 => 0x80,
        _ => 0xff,
    }
}
