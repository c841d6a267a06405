//! Tables that name disks, and the links below `/dev` that give disks their names.
//!
//! The recipe (Sun Infodoc 13911 and its many copies; devfsadm(1M)) is to remove the links of the old disks and to make those
//! of the new ones before the system starts. devfsadm takes a controller's number from links that are there
//! (disk_link.c, `MATCH_PARENT`), so the names that are chosen here stay.

use crate::files::{names, text};
use crate::names::{self as logical, Name};
use crate::place::{self, Place};
use crate::work::Work;
use crate::{metadevices, vfstab};
use std::collections::BTreeMap;
use wherry_sdk::{Result, Tree};

const TABLE: &str = "/etc/vfstab";
const DUMP: &str = "/etc/dumpadm.conf";
const NAMES_REASON: &str = "disks have other names on the new controller";
const LINKS_REASON: &str = "it leads to a disk of the old machine";

/// The root's slice as the old machine named it.
pub fn root_slice(guest: &dyn Tree, table: &str) -> Option<Name> {
    let entries = vfstab::entries(table);
    let special = entries.iter().find(|entry| entry.path == "/")?.special;
    let all = metadevices::read(guest);
    Name::parse(&metadevices::slice(&all, special).unwrap_or_else(|| special.to_owned()))
}

/// Renames disks in the tables, and makes their links. `root` is the new place of the disk with the root.
pub fn adapt(work: &mut Work<'_>, root: &Place) -> Result<()> {
    let table = text(work.guest, TABLE).unwrap_or_default();
    let dump = text(work.guest, DUMP).unwrap_or_default();
    let Some(old_root) = root_slice(work.guest, &table) else {
        let message = format!("{TABLE} does not say which slice the root is on");
        work.block("solaris.storage.no-root", message, "correct the table in the guest before the move");
        return Ok(());
    };
    let mut named = vfstab::disks(&table);
    named.extend(vfstab::disks(&dump));
    let (new, unknown) = places(work, &named, &old_root.disk, root);
    for disk in unknown {
        let message =
            format!("{TABLE} or {DUMP} names {disk}, and which of the machine's disks that is, is not known");
        work.block(
            "solaris.storage.disk-unknown",
            message,
            "remove the entry, or give all of the machine's disks in their order",
        );
    }
    let renamed = |disk: &str| new.get(disk).map(|place| place.name.clone());
    let (new_table, new_dump) = (vfstab::rename(&table, &renamed), vfstab::rename(&dump, &renamed));
    work.write(TABLE, &new_table, None, NAMES_REASON)?;
    if !dump.is_empty() {
        work.write(DUMP, &new_dump, None, NAMES_REASON)?;
    }
    links(work, &[new_table, new_dump].concat(), &new)?;
    work.touch("/reconfigure", "the system looks for its devices when it first starts")
}

/// New places of the disks that are named, and those that cannot be told.
fn places(
    work: &Work<'_>,
    named: &[String],
    old_root: &str,
    root: &Place,
) -> (BTreeMap<String, Place>, Vec<String>) {
    let mut sorted = named.to_vec();
    sorted.sort_by_key(|disk| (numbers(disk), disk.clone()));
    sorted.dedup();
    let position = sorted.iter().position(|disk| disk == old_root);
    let in_order = sorted.len() == work.root.disks as usize && position.map(|n| n as u32) == work.root.disk;
    let (mut places, mut unknown) = (BTreeMap::new(), Vec::new());
    for (number, disk) in sorted.into_iter().enumerate() {
        let place = if disk == old_root {
            Some(root.clone())
        } else {
            u32::try_from(number)
                .ok()
                .filter(|_| in_order)
                .and_then(|number| place::place(work.profile, number))
        };
        match place {
            Some(place) => drop(places.insert(disk, place)),
            None => unknown.push(disk),
        }
    }
    (places, unknown)
}

/// `c1t10d0` as 1, 10, 0.
fn numbers(disk: &str) -> Vec<u64> {
    let parts = disk.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().unwrap_or(u64::MAX)).collect()
}

/// Makes the links that the tables use, and removes all others of disks.
fn links(work: &mut Work<'_>, tables: &str, places: &BTreeMap<String, Place>) -> Result<()> {
    let paths: BTreeMap<&str, &str> =
        places.values().map(|place| (place.name.as_str(), place.path.as_str())).collect();
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for word in tables.split(|c: char| c.is_whitespace() || c == '=') {
        let Some(name) = Name::parse(word) else { continue };
        let (Some(path), Some(minor)) = (paths.get(name.disk.as_str()), logical::minor(&name.part)) else {
            continue;
        };
        for (folder, raw) in [("dsk", ""), ("rdsk", ",raw")] {
            let link = format!("/dev/{folder}/{}{}", name.disk, name.part);
            wanted.insert(link, format!("../../devices{path}:{minor}{raw}"));
        }
    }
    for folder in ["/dev/dsk", "/dev/rdsk", "/dev/cfg"] {
        for name in names(work.guest, folder) {
            let path = format!("{folder}/{name}");
            let controller =
                name.strip_prefix('c').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if controller && !wanted.contains_key(&path) {
                work.remove(&path, LINKS_REASON)?;
            }
        }
    }
    for (path, target) in &wanted {
        work.link(path, target, "it gives a disk of the new machine its name")?;
    }
    Ok(())
}
