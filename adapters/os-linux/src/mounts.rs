//! Finding the root, a volume or a subvolume of one, and mounting what belongs to it. fstab(5), btrfs(5) "MOUNT OPTIONS";
//! the GPT types of the Discoverable Partitions Specification (UAPI.2).

use crate::devices::{Device, Devices};
use crate::files::{exists, names, text};
use crate::fstab::{self, Entry};
use crate::release;
use wherry_sdk::{ErrorKind, Tree, Volume, find};

/// File systems that no Linux has its root in; every other one that can be mounted is looked at.
const NO_ROOTS: [&str; 9] = ["vfat", "exfat", "ntfs", "refs", "iso9660", "udf", "hfsplus", "apfs", "swap"];
/// Where kernels, modules, settings and boot loaders are, besides everything below `/boot`.
const WANTED: [&str; 8] =
    ["/usr", "/usr/lib", "/usr/lib/modules", "/boot", "/efi", "/etc", "/lib", "/lib/modules"];
/// Mounts that are made besides the root.
const MOUNTS: usize = 64;
/// UEFI specification, 5.3.3, and the MBR's type for the same.
pub const ESP_TYPES: [&str; 2] = ["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ef"];
/// The Extended Boot Loader Partition, which is `/boot` beside an EFI system partition.
const XBOOTLDR: &str = "bc13c2ff-59e6-4262-a352-b275fd6f7172";
/// Usual names of the subvolume that is the root of a btrfs system, for the case that the volume lists none.
const SUBVOLUMES: [&str; 3] = ["/@", "/root", "/@rootfs"];
/// Subvolumes of one volume that are looked at; each snapshot is one.
const CANDIDATES: usize = 64;

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
    /// The directory of the volume that is mounted: `/`, or a subvolume.
    pub inside: String,
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

/// Something that could be the root: a volume, or a directory of it that is mounted as one.
struct Candidate<'a> {
    volume: &'a Volume,
    inside: String,
}

impl Candidate<'_> {
    fn mount(&self, guest: &dyn Tree) -> bool {
        guest.unmount_all();
        guest.mount_inside(&self.volume.id, &self.inside, "/").is_ok()
    }

    fn name(&self) -> String {
        if self.inside == "/" {
            self.volume.id.clone()
        } else {
            format!("{}:{}", self.volume.id, self.inside)
        }
    }
}

/// Finds the root and mounts it with what belongs to it. Nothing stays mounted if there is none.
pub fn mount(guest: &dyn Tree) -> Option<Root> {
    let volumes = guest.volumes();
    let known =
        |volume: &&Volume| find(&volume.facts, "fs.kind").is_some_and(|kind| !NO_ROOTS.contains(&kind));
    let devices = Devices::new(&volumes);
    let mut roots: Vec<Candidate<'_>> = Vec::new();
    let mut best = 0;
    for candidate in volumes.iter().filter(known).flat_map(candidates) {
        if !candidate.mount(guest) || !release::is_linux(guest) {
            continue;
        }
        // a copy of a system, and a snapshot, names the original as its root
        let itself = calls_itself_root(guest, &candidate, &devices.clone().named(guest));
        roots.push(candidate);
        if itself {
            best = roots.len() - 1;
            break;
        }
    }
    guest.unmount_all();
    if roots.is_empty() {
        return None;
    }
    let root = roots.remove(best);
    if !root.mount(guest) {
        return None;
    }
    let mounts = mount_others(guest, &volumes, &devices.named(guest));
    let subvolume = Some(root.inside.clone()).filter(|inside| inside != "/");
    let others = roots.iter().map(Candidate::name).collect();
    Some(Root { id: root.volume.id.clone(), subvolume, mounts, others })
}

/// The directories of a volume that could be a root, the likeliest first.
fn candidates(volume: &Volume) -> Vec<Candidate<'_>> {
    let mut found: Vec<String> = Vec::new();
    if find(&volume.facts, "fs.kind") == Some("btrfs") {
        found.push(default_subvolume(&volume.facts));
        found.push("/".to_owned());
        found.extend(SUBVOLUMES.map(str::to_owned));
        // of the rest, snapshots come last
        let mut rest: Vec<String> = subvolumes(&volume.facts).map(|(_, path)| path).collect();
        rest.sort_by_key(|path| path.contains("snapshot"));
        found.extend(rest);
    } else {
        found.push("/".to_owned());
    }
    let mut seen = Vec::new();
    found.retain(|path| {
        !seen.contains(path) && {
            seen.push(path.clone());
            true
        }
    });
    found.truncate(CANDIDATES);
    found.into_iter().map(|inside| Candidate { volume, inside }).collect()
}

/// An absolute path without a slash at its end.
fn absolute(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}

/// What is mounted where no option names a subvolume (fact `fs.default-subvolume`).
fn default_subvolume(facts: &[wherry_sdk::Fact]) -> String {
    absolute(find(facts, "fs.default-subvolume").unwrap_or("/"))
}

/// Number and path of each subvolume (fact `fs.subvolumes`, one a line).
fn subvolumes(facts: &[wherry_sdk::Fact]) -> impl Iterator<Item = (&str, String)> {
    let lines = find(facts, "fs.subvolumes").unwrap_or_default().lines();
    lines.filter_map(|line| line.split_once(' ')).map(|(id, path)| (id, absolute(path)))
}

/// The directory of a volume that an entry mounts.
fn inside(entry: &Entry<'_>, volume: &Volume) -> String {
    if find(&volume.facts, "fs.kind") != Some("btrfs") {
        return "/".to_owned();
    }
    let option = |key: &str| entry.options.split(',').find_map(|option| option.strip_prefix(key));
    if let Some(path) = option("subvol=") {
        return absolute(path.trim_matches('"'));
    }
    // the top level has the numbers 5 and 0
    match option("subvolid=") {
        Some("5" | "0") => "/".to_owned(),
        Some(id) => subvolumes(&volume.facts)
            .find(|(other, _)| *other == id)
            .map_or_else(|| default_subvolume(&volume.facts), |(_, path)| path),
        None => default_subvolume(&volume.facts),
    }
}

fn calls_itself_root(guest: &dyn Tree, candidate: &Candidate<'_>, devices: &Devices) -> bool {
    let table = text(guest, "/etc/fstab").unwrap_or_default();
    let entries = fstab::entries(&table);
    let Some(root) = entries.iter().find(|entry| entry.path == "/") else {
        return candidate.inside == default_subvolume(&candidate.volume.facts);
    };
    devices.resolve(root.source).is_none_or(|device| device.id == candidate.volume.id)
        && inside(root, candidate.volume) == candidate.inside
}

/// Whether what is mounted there has a part in booting.
fn wanted(path: &str) -> bool {
    WANTED.contains(&path) || path.starts_with("/boot/")
}

fn mount_others(guest: &dyn Tree, volumes: &[Volume], devices: &Devices) -> Vec<Mount> {
    let table = text(guest, "/etc/fstab").unwrap_or_default();
    let mut entries = fstab::entries(&table);
    entries.retain(|entry| wanted(entry.path.trim_end_matches('/')) && !fstab::shared_folder(entry.kind));
    // each after the one that holds its mount point
    entries.sort_by_key(|entry| entry.path.trim_end_matches('/').len());
    let mut mounts: Vec<Mount> = Vec::new();
    for entry in entries.into_iter().take(MOUNTS) {
        let path = entry.path.trim_end_matches('/');
        if mounts.iter().any(|mount| mount.path == path) {
            continue;
        }
        let (inside, outcome) = match devices.resolve(entry.source) {
            Some(device) => attach(guest, device, volumes, &entry, path),
            None => ("/".to_owned(), Outcome::NotFound),
        };
        mounts.push(Mount { source: entry.source.into(), path: path.into(), inside, outcome });
    }
    for automatic in [automatic_boot, automatic_esp] {
        mounts.extend(automatic(guest, volumes, &mounts));
    }
    mounts
}

fn attach(
    guest: &dyn Tree,
    device: &Device,
    volumes: &[Volume],
    entry: &Entry<'_>,
    path: &str,
) -> (String, Outcome) {
    let volume = volumes.iter().find(|volume| volume.id == device.id);
    let inside = volume.map_or_else(|| "/".to_owned(), |volume| inside(entry, volume));
    let outcome = attach_inside(guest, &device.id, &inside, path);
    (inside, outcome)
}

fn attach_inside(guest: &dyn Tree, id: &str, inside: &str, path: &str) -> Outcome {
    match guest.mount_inside(id, inside, path) {
        Ok(()) => Outcome::Mounted(id.into()),
        Err(error) if error.kind == ErrorKind::Exists => Outcome::Mounted(id.into()),
        Err(error) => Outcome::Failed(error.message),
    }
}

/// Whether nothing is mounted at a directory and nothing is in it.
fn is_free(guest: &dyn Tree, mounts: &[Mount], path: &str) -> bool {
    !mounts.iter().any(|mount| mount.path == path) && exists(guest, path) && names(guest, path).is_empty()
}

/// The partition for `/boot` where no table names it (systemd-gpt-auto-generator(8)).
fn automatic_boot(guest: &dyn Tree, volumes: &[Volume], mounts: &[Mount]) -> Option<Mount> {
    let volume = volumes.iter().find(|volume| find(&volume.facts, "partition.type") == Some(XBOOTLDR))?;
    let taken = mounts.iter().any(|mount| mount.outcome == Outcome::Mounted(volume.id.clone()));
    let path = Some("/boot").filter(|path| !taken && is_free(guest, mounts, path))?;
    let outcome = attach_inside(guest, &volume.id, "/", path);
    Some(Mount {
        source: "extended boot loader partition".into(),
        path: path.into(),
        inside: "/".into(),
        outcome,
    })
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
    let path = ["/boot/efi", "/efi", "/boot"].into_iter().find(|path| is_free(guest, mounts, path))?;
    let outcome = attach_inside(guest, &volume.id, "/", path);
    Some(Mount { source: "EFI system partition".into(), path: path.into(), inside: "/".into(), outcome })
}
