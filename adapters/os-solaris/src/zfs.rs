//! Roots on ZFS. The boot loader reads from the pool's label where the kernel is to look for it, and old kernels look nowhere else
//! (illumos issue 4793); importing the pool from another system writes the new place into the label.

use crate::work::Work;
use wherry_sdk::find;

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
    let message = format!(
        "the label of {pool} names the place of its disk in the old machine, which the loader hands to the kernel"
    );
    let remedy = format!(
        "if the first start stops with `cannot mount root` or `not found`, start the new machine once from the system's installation media, and there: zpool import -f -R /a {pool}; bootadm update-archive -R /a; touch /a/reconfigure; zpool export {pool}; init 6"
    );
    work.warn("solaris.zfs.label", message, &remedy);
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
