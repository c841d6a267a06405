//! Where Windows is among the volumes, and where the files are that start it.

use crate::files::{is_directory, is_file, names};
use crate::{disks, started};
use wherry_sdk::{Tree, Volume, find};

/// Where the system partition appears if it is another than Windows' own.
pub const BOOT: &str = "/[system partition]";
/// GPT type of an EFI system partition (UEFI specification, 5.3.3).
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
/// MBR type of one.
const ESP_MBR: &str = "ef";
/// Directories of a volume that are looked into.
const DIRECTORIES_MOST: usize = 512;

/// How Windows is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// NTLDR and boot.ini: NT 3.1 to Server 2003.
    Ntldr,
    /// BOOTMGR and a BCD store on BIOS.
    Bootmgr,
    /// The same on UEFI.
    BootmgrEfi,
}

/// A system partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The host's name for its volume.
    pub volume: String,
    /// Where its root is in the tree: empty for `/`.
    pub path: String,
    /// What is on it.
    pub loader: Loader,
}

/// One Windows and what starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host's name for its volume.
    pub volume: String,
    /// Its directory: `/Windows`, `/WINNT`.
    pub root: String,
    /// How it is started, the one that the machine's firmware uses first.
    pub boots: Vec<Boot>,
    /// Further systems: volume and directory.
    pub others: Vec<(String, String)>,
    /// Whether a loader starts this one by itself, or there is no other.
    pub is_started: bool,
}

impl Place {
    /// A path below the system's directory.
    pub fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.root)
    }
}

/// Finds Windows and mounts it at `/`, and a system partition of its own at [`BOOT`].
pub fn mount(guest: &dyn Tree) -> Option<Place> {
    guest.unmount_all();
    let volumes = guest.volumes();
    let mut systems = Vec::new();
    let mut starts = Vec::new();
    for volume in volumes.iter().filter(|volume| is_files(volume)) {
        if guest.mount(&volume.id, "/").is_err() {
            continue;
        }
        systems.extend(roots(guest).into_iter().map(|root| (volume.id.clone(), root)));
        starts.extend(loaders(guest, volume).into_iter().map(|loader| (volume.clone(), loader)));
        guest.unmount_all();
    }
    let is_started = systems.len() == 1 || put_first(guest, &starts, &mut systems);
    let (volume, root) = systems.first().cloned()?;
    guest.mount(&volume, "/").ok()?;
    let disk = volumes.iter().find(|one| one.id == volume).and_then(disks::index);
    // A loader on the disk of the system counts more than one on another disk.
    starts.sort_by_key(|(one, loader)| {
        (disks::index(one) != disk, *loader != Loader::BootmgrEfi, one.id != volume)
    });
    let mut boots: Vec<Boot> = Vec::new();
    for (one, loader) in starts {
        let path = if one.id == volume {
            String::new()
        } else if boots.iter().any(|boot| boot.path == BOOT && boot.volume != one.id) {
            continue;
        } else {
            if !boots.iter().any(|boot| boot.path == BOOT) && guest.mount(&one.id, BOOT).is_err() {
                continue;
            }
            BOOT.to_owned()
        };
        boots.push(Boot { volume: one.id.clone(), path, loader });
    }
    let others = systems.split_off(1);
    Some(Place { volume, root, boots, others, is_started })
}

fn is_files(volume: &Volume) -> bool {
    matches!(find(&volume.facts, "fs.kind"), Some("ntfs" | "vfat"))
}

/// Puts the system first that a loader starts by itself; whether there is one.
fn put_first(guest: &dyn Tree, starts: &[(Volume, Loader)], systems: &mut [(String, String)]) -> bool {
    let volumes = guest.volumes();
    let mut found = None;
    for (from, loader) in starts {
        if guest.mount(&from.id, "/").is_err() {
            continue;
        }
        let started = started::read(guest, *loader);
        guest.unmount_all();
        found = started
            .and_then(|one| systems.iter().position(|(volume, root)| one.is(&volumes, from, (volume, root))));
        if found.is_some() {
            break;
        }
    }
    if let Some(head) = found.and_then(|at| systems.get_mut(..=at)) {
        head.rotate_right(1);
    }
    found.is_some()
}

/// Directories of the mounted volume that hold a Windows; the usual names first.
fn roots(guest: &dyn Tree) -> Vec<String> {
    let hive = |root: &str| is_file(guest, &format!("{root}/System32/config/SYSTEM"));
    let usual = ["/Windows", "/WINNT"].map(str::to_owned);
    let rank = |name: &String| usual.iter().position(|one| one[1..].eq_ignore_ascii_case(name)).unwrap_or(2);
    let mut all = names(guest, "/");
    all.truncate(DIRECTORIES_MOST);
    all.sort_by_key(rank);
    all.into_iter()
        .map(|name| format!("/{name}"))
        .filter(|root| is_directory(guest, root) && hive(root))
        .collect()
}

/// What the mounted volume starts Windows with.
fn loaders(guest: &dyn Tree, volume: &Volume) -> Vec<Loader> {
    let mut found = Vec::new();
    let kind = find(&volume.facts, "partition.type").unwrap_or_default().to_ascii_lowercase();
    let esp = kind == ESP || kind == ESP_MBR || find(&volume.facts, "fs.kind") == Some("vfat");
    if esp && is_file(guest, "/EFI/Microsoft/Boot/BCD") {
        found.push(Loader::BootmgrEfi);
    }
    if is_file(guest, "/bootmgr") && is_file(guest, "/Boot/BCD") {
        found.push(Loader::Bootmgr);
    }
    if is_file(guest, "/ntldr") && is_file(guest, "/boot.ini") {
        found.push(Loader::Ntldr);
    }
    found
}
