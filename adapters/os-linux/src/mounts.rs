//! Finding the root volume, and mounting what belongs to it. fstab(5); the GPT type of an EFI system partition.

use crate::devices::Devices;
use crate::files::{exists, names, text};
use crate::fstab;
use crate::release::release;
use wherry_sdk::{ErrorKind, Tree, Volume, find};

/// File systems that can be a root.
const FILE_SYSTEMS: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "btrfs"];
/// Where kernels, modules and boot loaders are, each after the one that holds its mount point.
const WANTED: [&str; 4] = ["/usr", "/boot", "/boot/efi", "/efi"];
/// UEFI specification, 5.3.3, and the MBR's type for the same.
pub const ESP_TYPES: [&str; 2] = ["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ef"];
/// Usual names of the subvolume that is the root of a btrfs system.
const SUBVOLUMES: [&str; 3] = ["/@", "/root", "/@rootfs"];

/// What became of one mount.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The volume's name.
    Mounted(String),
    /// No volume answers to the source.
    NotFound,
    /// Why it could not be mounted.
    Failed(String),
}

/// One mount that the system makes.
#[derive(Debug)]
pub struct Mount {
    /// As in fstab, or `EFI system partition` if it was found by its type.
    pub source: String,
    /// `/boot`
    pub path: String,
    /// What became of it here.
    pub outcome: Outcome,
}

/// The root, mounted.
#[derive(Debug)]
pub struct Root {
    /// The volume's name.
    pub id: String,
    /// The btrfs subvolume that would be the root.
    pub subvolume: Option<String>,
    /// What else was to be mounted.
    pub mounts: Vec<Mount>,
    /// Volumes with further systems, as far as they were seen.
    pub others: Vec<String>,
}

/// Finds the root volume and mounts it with what belongs to it. Nothing stays mounted if there is none.
pub fn mount(guest: &dyn Tree) -> Option<Root> {
    let volumes = guest.volumes();
    let known =
        |volume: &&Volume| find(&volume.facts, "fs.kind").is_some_and(|kind| FILE_SYSTEMS.contains(&kind));
    let mut roots: Vec<(String, Option<String>)> = Vec::new();
    let mut best = 0;
    for volume in volumes.iter().filter(known) {
        guest.unmount_all();
        let Some(subvolume) = guest.mount(&volume.id, "/").ok().and_then(|()| root(guest)) else { continue };
        roots.push((volume.id.clone(), subvolume));
        // a copy of a system names the original as its root
        if calls_itself_root(guest, &volume.id, &volumes) {
            best = roots.len() - 1;
            break;
        }
    }
    guest.unmount_all();
    if roots.is_empty() {
        return None;
    }
    let (id, subvolume) = roots.remove(best);
    guest.mount(&id, "/").ok()?;
    let mounts = if subvolume.is_some() { Vec::new() } else { mount_others(guest, &volumes) };
    Some(Root { id, subvolume, mounts, others: roots.into_iter().map(|root| root.0).collect() })
}

/// Whether a system's root is mounted at `/`, perhaps in a subvolume.
fn root(guest: &dyn Tree) -> Option<Option<String>> {
    // a separate /usr may hold the target of /etc/os-release
    let here = release(guest, "").is_some() || exists(guest, "/etc/fstab") && exists(guest, "/etc/passwd");
    if here {
        return Some(None);
    }
    let inside = SUBVOLUMES.iter().find(|path| release(guest, path).is_some())?;
    Some(Some((*inside).to_owned()))
}

fn calls_itself_root(guest: &dyn Tree, id: &str, volumes: &[Volume]) -> bool {
    let Some(table) = text(guest, "/etc/fstab") else { return true };
    let entries = fstab::entries(&table);
    let Some(root) = entries.iter().find(|entry| entry.path == "/") else { return true };
    Devices::new(volumes).resolve(root.source).is_none_or(|device| device.id == id)
}

fn mount_others(guest: &dyn Tree, volumes: &[Volume]) -> Vec<Mount> {
    let table = text(guest, "/etc/fstab").unwrap_or_default();
    let devices = Devices::new(volumes);
    let mut mounts: Vec<Mount> = Vec::new();
    for wanted in WANTED {
        let entries = fstab::entries(&table);
        let Some(entry) = entries.iter().find(|entry| entry.path.trim_end_matches('/') == wanted) else {
            continue;
        };
        let outcome = match devices.resolve(entry.source) {
            Some(device) => attach(guest, &device.id, wanted),
            None => Outcome::NotFound,
        };
        mounts.push(Mount { source: entry.source.into(), path: wanted.into(), outcome });
    }
    mounts.extend(automatic_esp(guest, volumes, &mounts));
    mounts
}

fn attach(guest: &dyn Tree, id: &str, path: &str) -> Outcome {
    match guest.mount(id, path) {
        Ok(()) => Outcome::Mounted(id.into()),
        Err(error) if error.kind == ErrorKind::Exists => Outcome::Mounted(id.into()),
        Err(error) => Outcome::Failed(error.message),
    }
}

/// The EFI system partition where no table names it (systemd-gpt-auto-generator(8) mounts it so).
fn automatic_esp(guest: &dyn Tree, volumes: &[Volume], mounts: &[Mount]) -> Option<Mount> {
    let esp = |volume: &&Volume| {
        find(&volume.facts, "partition.type").is_some_and(|kind| ESP_TYPES.contains(&kind))
            && find(&volume.facts, "fs.kind") == Some("vfat")
    };
    let volume = volumes.iter().find(esp)?;
    if mounts.iter().any(|mount| mount.outcome == Outcome::Mounted(volume.id.clone())) {
        return None;
    }
    let free = |path: &&str| !mounts.iter().any(|mount| mount.path == **path) && exists(guest, path);
    let empty = |path: &&str| names(guest, path).is_empty();
    let path = ["/boot/efi", "/efi", "/boot"].into_iter().filter(free).find(empty)?;
    let outcome = attach(guest, &volume.id, path);
    Some(Mount { source: "EFI system partition".into(), path: path.into(), outcome })
}
