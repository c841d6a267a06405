//! Finding the root, and mounting what belongs to it.

use crate::files::text;
use crate::names::Name;
use crate::{metadevices, release, vfstab};
use wherry_sdk::{ErrorKind, Tree, Volume, find};

/// File systems that no such system has its root in; every other one that can be mounted is looked at.
const NO_ROOTS: [&str; 8] = ["vfat", "exfat", "ntfs", "refs", "iso9660", "udf", "hfsplus", "swap"];
/// Mounts that are made besides the root.
const MOUNTS: usize = 16;

/// The root, mounted.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// The volume's name.
    pub id: String,
    /// `ufs`, `zfs`.
    pub kind: String,
    /// Which of the machine's disks has it, from 0.
    pub disk: Option<u32>,
    /// How many disks the machine has.
    pub disks: u32,
    /// Whether edits are possible.
    pub writable: bool,
    /// Why not.
    pub why: String,
    /// What else was mounted or could not be: path, outcome.
    pub mounts: Vec<(String, String)>,
    /// Volumes with further systems.
    pub others: Vec<String>,
}

/// Finds the root and mounts it with what belongs to it. Nothing stays mounted if there is none.
pub fn mount(guest: &dyn Tree) -> Option<Root> {
    let volumes = guest.volumes();
    let mut roots: Vec<&Volume> = Vec::new();
    for volume in &volumes {
        let known = find(&volume.facts, "fs.kind").is_some_and(|kind| !NO_ROOTS.contains(&kind));
        guest.unmount_all();
        if known
            && volume.kind != "drivers"
            && guest.mount(&volume.id, "/").is_ok()
            && release::release(guest).is_some()
        {
            roots.push(volume);
        }
    }
    guest.unmount_all();
    let root = *roots.first()?;
    guest.mount(&root.id, "/").ok()?;
    // an adapter may say why it refuses edits only once it is mounted
    let mounted = guest.volumes();
    let facts =
        mounted.iter().find(|volume| volume.id == root.id).map_or(&root.facts, |volume| &volume.facts);
    let refused = find(facts, "fs.edits").or_else(|| find(facts, "edits"));
    let number =
        |volume: &Volume| find(&volume.facts, "disk.index").and_then(|text| text.parse::<u32>().ok());
    let disks = volumes.iter().filter_map(number).max().map_or(0, |most| most.saturating_add(1));
    let found = Root {
        id: root.id.clone(),
        kind: find(&root.facts, "fs.kind").unwrap_or_default().to_owned(),
        disk: number(root),
        disks,
        writable: refused.is_none(),
        why: refused.unwrap_or_default().to_owned(),
        mounts: others(guest, &volumes, root),
        others: roots.iter().skip(1).map(|volume| volume.id.clone()).collect(),
    };
    Some(found)
}

/// Slices of the root's own disk that hold parts of the system.
fn others(guest: &dyn Tree, volumes: &[Volume], root: &Volume) -> Vec<(String, String)> {
    let table = text(guest, "/etc/vfstab").unwrap_or_default();
    let metadevices = metadevices::read(guest);
    let entries = vfstab::entries(&table);
    let slice = |special: &str| {
        let plain = metadevices::slice(&metadevices, special).unwrap_or_else(|| special.to_owned());
        Name::parse(&plain)
    };
    let own = entries.iter().find(|entry| entry.path == "/").and_then(|entry| slice(entry.special));
    let wanted = entries.iter().filter(|entry| matches!(entry.path, "/usr" | "/var" | "/opt"));
    let mut mounts = Vec::new();
    for entry in wanted.take(MOUNTS) {
        let name = slice(entry.special);
        let same = name.zip(own.as_ref()).filter(|(name, own)| name.disk == own.disk).map(|(name, _)| name);
        let volume = same.and_then(|name| {
            let number = name.part.strip_prefix('s')?.to_owned();
            let fits = |volume: &&Volume| {
                find(&volume.facts, "disk.index") == find(&root.facts, "disk.index")
                    && find(&volume.facts, "partition.number") == Some(&number)
                    && find(&volume.facts, "table.kind")
                        .is_none_or(|kind| kind.starts_with("vtoc") || kind == "gpt")
                    && find(&volume.facts, "fs.kind").is_some()
            };
            volumes.iter().find(fits)
        });
        let outcome = match volume.map(|volume| (volume, guest.mount(&volume.id, entry.path))) {
            None => format!("{} not found", entry.special),
            Some((volume, Ok(()))) => format!("{} {}", entry.special, volume.id),
            Some((volume, Err(error))) if error.kind == ErrorKind::Exists => {
                format!("{} {}", entry.special, volume.id)
            }
            Some((_, Err(error))) => format!("{} not mounted: {}", entry.special, error.message),
        };
        mounts.push((entry.path.to_owned(), outcome));
    }
    mounts
}
