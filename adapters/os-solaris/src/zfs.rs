//! Roots on ZFS. The boot loader reads from the pool's label where the kernel is to look for it, and old kernels look nowhere else
//! (illumos issue 4793). So the labels are told the new place. The kernel opens a root pool's disk by its device identifier, then
//! by its physical path, never by its name (`vdev_disk_open_common`): the old machine's identifier goes, the new one's is taken when
//! the disk is open.

use crate::names;
use crate::place;
use crate::work::Work;
use wherry_sdk::{Fact, Volume, fact, find};

/// Partitions that are looked at.
const PARTITIONS: usize = 256;

/// Concerns of a root on ZFS.
pub fn adapt(work: &mut Work<'_>) {
    if work.root.kind != "zfs" {
        return;
    }
    let volumes = work.guest.volumes();
    let of = |id: &str, key: &str| {
        let volume = volumes.iter().find(|volume| volume.id == id)?;
        find(&volume.facts, key).map(str::to_owned)
    };
    let named = of(&work.root.id, "fs.pool");
    let has_system = of(&work.root.id, "fs.bootfs").is_some();
    let known = named.is_some();
    let pool = named.unwrap_or_else(|| "rpool".into());
    if known && !has_system {
        let message = format!("the pool {pool} has no property bootfs, which says what the machine starts");
        let remedy = format!("set it in the guest before the move: zpool set bootfs={pool}/ROOT/NAME {pool}");
        work.block("solaris.zfs.no-bootfs", message, &remedy);
    }
    if let Err(why) = relabel(work, &volumes, &pool) {
        let message = format!(
            "the label of {pool} names the place of its disk in the old machine, which the loader hands to the kernel, and it stays as it is ({why})"
        );
        let remedy = format!(
            "if the first start stops with `cannot mount root` or `not found`, start the new machine once from the system's installation media, and there: zpool import -f -R /a {pool}; bootadm update-archive -R /a; touch /a/reconfigure; zpool export {pool}; init 6"
        );
        work.warn("solaris.zfs.label", message, &remedy);
    }
    let others: Vec<String> = volumes
        .iter()
        .filter(|volume| find(&volume.facts, "fs.kind") == Some("zfs"))
        .filter_map(|volume| find(&volume.facts, "fs.pool").map(str::to_owned))
        .filter(|other| *other != pool)
        .collect();
    for other in others {
        work.note(format!(
            "the pool {other} is known by the old machine's disks in /etc/zfs/zpool.cache; if it is unavailable after the start: zpool export {other}; zpool import {other}"
        ));
    }
    work.note("the identifier of the host (hostid) is in the system's own files and moves with them: its pools stay its own".into());
}

/// Has the labels of the root pool's devices say where they will be; why not, if it is not known.
fn relabel(work: &mut Work<'_>, volumes: &[Volume], pool: &str) -> Result<(), String> {
    let (mut ids, mut facts) = (Vec::new(), vec![fact("pool", pool)]);
    let mut known = true;
    for volume in volumes.iter().filter(|volume| volume.kind == "partition").take(PARTITIONS) {
        let Some((disk, part)) = slice(volume) else { continue };
        let Some(minor) = names::minor(&part) else { continue };
        let Some(place) = place::place(work.profile, disk).filter(|place| place.certain) else {
            known = false;
            continue;
        };
        let number = ids.len();
        ids.push(volume.id.clone());
        let mut add = |key: &str, value: String| facts.push(Fact { key: format!("{number}.{key}"), value });
        add("path", format!("/dev/dsk/{}{part}", place.name));
        add("phys-path", format!("{}:{minor}", place.path));
        add("devid", String::new());
    }
    if !known || ids.is_empty() {
        return Err(format!("where the new machine has its {} disks is not known", work.profile.disk_bus));
    }
    let reason = "the loader and the kernel find the root's disk by the place in its pool's label";
    work.guest.relabel(&ids, &facts, reason).map_err(|error| error.message)?;
    work.note(format!(
        "the labels of {pool} name the places of the new machine's disks; the names that zpool status shows may be others after the first start"
    ));
    Ok(())
}

/// The disk and the slice of a partition. The entries of a GPT are counted from 1, its slices from 0.
fn slice(volume: &Volume) -> Option<(u32, String)> {
    let disk = find(&volume.facts, "disk.index")?.parse().ok()?;
    let number: u32 = find(&volume.facts, "partition.number")?.parse().ok()?;
    let slice = match find(&volume.facts, "table.kind")? {
        kind if kind.starts_with("vtoc") => number,
        "gpt" => number.checked_sub(1)?,
        _ => return None,
    };
    Some((disk, format!("s{slice}")))
}
