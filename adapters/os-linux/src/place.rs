//! Where a file is as GRUB finds it: a file system by its UUID, and the path from its top.

use crate::mounts::{Outcome, Root};
use wherry_sdk::{Tree, Volume, find};

/// A file or folder.
#[derive(Debug)]
pub struct Place {
    /// The volume that holds it.
    pub volume: Volume,
    /// Its file system's UUID.
    pub uuid: String,
    /// The path from the file system's top, the subvolume included.
    pub path: String,
    /// The subvolume that is mounted; `/` if it is the top.
    pub inside: String,
}

/// The place of an absolute path without links; none if its file system has no UUID, or is encrypted.
pub fn place(guest: &dyn Tree, root: &Root, path: &str) -> Option<Place> {
    let holds =
        |mount: &str| path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mounted = root.mounts.iter().filter_map(|mount| match &mount.outcome {
        Outcome::Mounted(id) if holds(&mount.path) => Some((mount.path.as_str(), id, mount.inside.as_str())),
        _ => None,
    });
    let top = ("", &root.id, root.subvolume.as_deref().unwrap_or("/"));
    let (above, id, inside) = mounted.max_by_key(|(path, ..)| path.len()).unwrap_or(top);
    let volume = guest.volumes().into_iter().find(|volume| volume.id == *id)?;
    let uuid = find(&volume.facts, "fs.uuid")?.to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if uuid.is_empty() || !uuid.chars().all(plain) {
        return None;
    }
    if is_encrypted(guest, &volume) {
        return None;
    }
    let path = format!("{}{}", inside.trim_end_matches('/'), path.get(above.len()..)?);
    Some(Place { volume, uuid, path, inside: inside.to_owned() })
}

/// Whether GRUB would need a passphrase to read it.
fn is_encrypted(guest: &dyn Tree, volume: &Volume) -> bool {
    let volumes = guest.volumes();
    let mut at = Some(volume);
    for _ in 0..8 {
        let Some(volume) = at else { break };
        if volume.kind == "decrypted" {
            return true;
        }
        let parent = find(&volume.facts, "parent");
        at = parent.and_then(|parent| volumes.iter().find(|volume| volume.id == parent));
    }
    false
}

/// The disk that the root is on, which the new machine starts from.
pub fn boot_disk(guest: &dyn Tree, root: &Root) -> Option<Volume> {
    let volumes = guest.volumes();
    let own = volumes.iter().find(|volume| volume.id == root.id)?;
    let index = find(&own.facts, "disk.index")?;
    let is = |volume: &&Volume| volume.kind == "disk" && find(&volume.facts, "disk.index") == Some(index);
    volumes.iter().find(is).cloned()
}

/// The partitions of a disk.
pub fn partitions(guest: &dyn Tree, disk: &Volume) -> Vec<Volume> {
    let of = |volume: &Volume| {
        volume.kind == "partition" && find(&volume.facts, "parent").is_some_and(|parent| parent == disk.id)
    };
    guest.volumes().into_iter().filter(of).collect()
}
