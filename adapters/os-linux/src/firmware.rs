//! Boot loaders, the firmware they are for, and the start of a UEFI machine whose boot variables are empty: firmware then
//! starts `EFI/BOOT/BOOT<arch>.EFI` (UEFI specification, 3.5.1.1, "Removable Media Boot Behavior").

use crate::entries::{ESPS, Entry};
use crate::files::{exists, names};
use crate::lent::Lent;
use crate::mounts::{self, ESP_TYPES, Root};
use crate::work::Work;
use crate::{bios, esp};
use wherry_sdk::source::Partition;
use wherry_sdk::{DeviceProfile, Result, Tree, find};

/// GPT type of the partition that holds GRUB's core for BIOS (GRUB manual, "BIOS installation").
pub const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
/// The most of a loader that is copied, in bytes.
const LOADER: u64 = 16 << 20;
const REASON: &str = "the new machine's firmware has no boot entry yet, and starts the fallback loader";

/// What starts the system.
#[derive(Debug, Default)]
pub struct Loaders {
    /// `grub2-bios`, `grub2-efi`, `bls`, `extlinux`, `grub-legacy`, `systemd-boot`, `unified-kernel-image`, `lilo`,
    /// `elilo`; `pygrub` for a menu of GRUB legacy without GRUB.
    pub names: Vec<&'static str>,
    /// Can start on UEFI.
    pub uefi: bool,
    /// Can start on BIOS.
    pub bios: bool,
    /// The folder of the EFI system partition that holds `EFI`.
    pub esp: Option<String>,
}

/// Names in a folder as they are written, by comparison without case, as FAT has it.
fn without_case(guest: &dyn Tree, folder: &str, name: &str) -> Option<String> {
    let found = names(guest, folder).into_iter().find(|other| other.eq_ignore_ascii_case(name))?;
    Some(format!("{folder}/{found}"))
}

impl Loaders {
    /// Looks for boot loaders among the mounted files.
    pub fn find(guest: &dyn Tree) -> Self {
        let esp = ESPS.iter().find(|esp| without_case(guest, esp, "EFI").is_some());
        let mut new = Self { esp: esp.map(|esp| (*esp).to_owned()), ..Self::default() };
        let efi: Vec<String> = new.folders(guest).iter().flat_map(|folder| names(guest, folder)).collect();
        let efi_has = |start: &str| {
            let starts = |name: &String| name.to_ascii_lowercase().starts_with(start);
            efi.iter().any(|name| starts(name) && name.to_ascii_lowercase().ends_with(".efi"))
        };
        let any = |paths: &[&str]| paths.iter().any(|path| exists(guest, path));
        let menu = any(&["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"]);
        let legacy = any(&["/boot/grub/menu.lst", "/boot/grub/grub.conf"]) && !menu;
        // the part of GRUB legacy that shows the menu
        let stage2 = any(&["/boot/grub/stage2"]);
        let marks = [
            ("grub2-bios", menu && (any(&["/boot/grub/i386-pc", "/boot/grub2/i386-pc"]) || !efi_has("grub"))),
            ("grub2-efi", efi_has("grub")),
            ("bls", any(&["/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries"])),
            (
                "extlinux",
                any(&["/boot/extlinux/extlinux.conf", "/boot/extlinux.conf", "/boot/syslinux/syslinux.cfg"]),
            ),
            ("grub-legacy", legacy && stage2),
            ("pygrub", legacy && !stage2 && !efi_has("grub")),
            ("elilo", efi_has("elilo")),
            ("systemd-boot", efi_has("systemd-boot")),
            ("unified-kernel-image", ESPS.iter().any(|esp| exists(guest, &format!("{esp}/EFI/Linux")))),
            ("lilo", any(&["/etc/lilo.conf"]) && !menu),
        ];
        new.names = marks.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        new.uefi = efi.iter().any(|name| name.to_ascii_lowercase().ends_with(".efi"));
        let bios = ["grub2-bios", "grub-legacy", "lilo"].iter().any(|name| new.names.contains(name));
        new.bios = bios || (new.names.contains(&"extlinux") && !new.uefi);
        new
    }

    /// The folders in `EFI`.
    fn folders(&self, guest: &dyn Tree) -> Vec<String> {
        let Some(efi) = self.esp.as_ref().and_then(|esp| without_case(guest, esp, "EFI")) else {
            return Vec::new();
        };
        names(guest, &efi).into_iter().take(64).map(|name| format!("{efi}/{name}")).collect()
    }

    /// `uefi` or `bios`: where both would start, what the partition table was made for.
    pub fn firmware(&self, guest: &dyn Tree) -> &'static str {
        if self.uefi != self.bios {
            return if self.uefi { "uefi" } else { "bios" };
        }
        let volumes = guest.volumes();
        let types =
            |kind: &str| volumes.iter().any(|volume| find(&volume.facts, "partition.type") == Some(kind));
        let esp = ESP_TYPES.iter().any(|kind| types(kind));
        if esp && !types(BIOS_BOOT) && self.uefi { "uefi" } else { "bios" }
    }
}

/// A boot loader that has to be put in, since the guest has none for the new firmware and the operator lends one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    ToUefi,
    ToBios,
}

impl Change {
    fn of(loaders: &Loaders, profile: &DeviceProfile, lent: &Lent) -> Option<Self> {
        let pygrub = loaders.names.contains(&"pygrub");
        let secure = profile.firmware == "uefi-secure-boot";
        match profile.firmware.as_str() {
            "bios" => {
                let needed = !loaders.bios && (loaders.uefi || pygrub);
                (needed && lent.bios.is_some()).then_some(Self::ToBios)
            }
            _ => {
                let needed = !loaders.uefi && (loaders.bios || pygrub);
                (needed && lent.efi(secure).is_some()).then_some(Self::ToUefi)
            }
        }
    }
}

/// What such a loader needs on the disks.
pub fn partitions(guest: &dyn Tree, profile: &DeviceProfile) -> Vec<Partition> {
    let Some(root) = mounts::mount(guest) else { return Vec::new() };
    let missing = match Change::of(&Loaders::find(guest), profile, &Lent::find(guest)) {
        Some(Change::ToUefi) => esp::missing(guest, &root),
        Some(Change::ToBios) => bios::missing(guest, &root),
        None => None,
    };
    missing.into_iter().collect()
}

/// Puts in a loader that was lent, or blocks a change of firmware that the guest's own cannot follow; provides the fallback
/// loader.
pub fn adapt(work: &mut Work<'_>, entries: &[Entry], root: &Root) -> Result<()> {
    let loaders = Loaders::find(work.guest);
    if loaders.names.is_empty() && !loaders.uefi {
        let message = "no boot loader was recognised".to_owned();
        work.warn(
            "linux.boot-loader.unknown",
            message,
            "check that the guest boots by itself from its disks",
        );
    }
    let lent = Lent::find(work.guest);
    let put = match Change::of(&loaders, work.profile, &lent) {
        Some(Change::ToUefi) => esp::install(work, entries, root, &lent),
        Some(Change::ToBios) => bios::install(work, root, &lent),
        None => return keep(work, root, &loaders),
    };
    // The rest of the guest can be adapted all the same, and the plan shows it.
    if let Err(e) = put {
        let message = format!("GRUB cannot be put in as it was lent: {}", e.message);
        work.block("linux.boot-loader.lent", message, "lend the files of Debian's packages as they are");
    }
    Ok(())
}

/// Goes on with the loader that the guest has.
fn keep(work: &mut Work<'_>, root: &Root, loaders: &Loaders) -> Result<()> {
    let wanted = work.profile.firmware.clone();
    let uefi = wanted.starts_with("uefi");
    let lend = match wanted.as_str() {
        "bios" => "lend GRUB for BIOS (--drivers with the folder i386-pc of Debian's grub-pc-bin)",
        "uefi" => "lend GRUB for UEFI (--drivers with grubx64.efi of Debian's grub-efi-amd64-bin)",
        _ => "lend a signed shim and GRUB (--drivers with shimx64.efi.signed and grubx64.efi.signed)",
    };
    if loaders.names.contains(&"pygrub") && !loaders.uefi {
        let disk = work.guest.volumes().iter().any(|volume| volume.id == root.id && volume.kind == "disk");
        let table = if disk { ", and its disk has no partition table" } else { "" };
        let message = format!(
            "GRUB's menu is in the guest but not GRUB itself: its host read the menu (PyGrub, PV-GRUB){table}"
        );
        let own =
            "make the guest start by itself before the move: grub-install on a disk with a partition table";
        let remedy = if disk { own.to_owned() } else { format!("{lend}, or {own}") };
        work.block("linux.boot-loader.none", message, &remedy);
    }
    if (uefi && !loaders.uefi && loaders.bios) || (wanted == "bios" && loaders.uefi && !loaders.bios) {
        let installed = if loaders.uefi { "UEFI" } else { "BIOS" };
        let message =
            format!("the guest's boot loader is installed for {installed}, the target has {wanted}");
        let remedy = format!("give the new machine the firmware of the old one, or {lend}");
        work.block("linux.firmware.mismatch", message, &remedy);
    } else if uefi && loaders.uefi {
        fallback(work, loaders)?;
    }
    Ok(())
}

/// Copies a vendor's loader to the place where firmware looks by itself.
fn fallback(work: &mut Work<'_>, loaders: &Loaders) -> Result<()> {
    let arch = match work.profile.architecture.as_str() {
        "aarch64" => "aa64",
        _ => "x64",
    };
    let folders = loaders.folders(work.guest);
    let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    let boot = folders.iter().find(|path| name(path).eq_ignore_ascii_case("BOOT"));
    let target = format!("BOOT{}.EFI", arch.to_ascii_uppercase());
    let there = boot.is_some_and(|boot| without_case(work.guest, boot, &target).is_some());
    let holds = |loader: &str| {
        let vendors = folders.iter().filter(|path| Some(*path) != boot);
        let mut found =
            vendors.filter_map(|folder| Some((folder, without_case(work.guest, folder, loader)?)));
        found.next()
    };
    // SUSE's has no architecture in its name, and loads `grub.efi`, which reads the menu beside it
    let shim = holds(&format!("shim{arch}.efi")).or_else(|| holds("shim.efi"));
    if work.profile.firmware == "uefi-secure-boot" && shim.is_none() && !there {
        let message =
            "the target checks signatures, and the guest has no shim in its EFI system partition".to_owned();
        work.block(
            "linux.firmware.secure-boot",
            message,
            "install shim-signed in the guest, or choose firmware uefi",
        );
        return Ok(());
    }
    if there {
        return Ok(());
    }
    let others = ["grub", "systemd-boot"].map(|kind| format!("{kind}{arch}.efi"));
    // GRUB legacy of RHEL 6, whose menu is called like the program
    let legacy = || holds("grub.efi");
    let Some((folder, loader)) = shim.or_else(|| others.iter().find_map(|name| holds(name))).or_else(legacy)
    else {
        let message = format!("the EFI system partition has no loader for {arch}, and no {target}");
        work.block("linux.efi.no-loader", message, "install GRUB for UEFI in the guest before the move");
        return Ok(());
    };
    let mut copies = vec![(loader.clone(), target)];
    if name(&loader).to_ascii_lowercase().starts_with("shim") {
        let others = companions(arch, &name(&loader));
        copies.extend(
            others.into_iter().filter_map(|name| Some((without_case(work.guest, folder, &name)?, name))),
        );
    }
    if name(&loader).eq_ignore_ascii_case("grub.efi") {
        let menu = without_case(work.guest, folder, "grub.conf");
        copies.extend(menu.map(|menu| (menu, format!("BOOT{}.conf", arch.to_ascii_uppercase()))));
        work.note(format!("{folder}/grub.conf was copied for the fallback loader; kernels that are installed later are in the original only"));
    }
    let efi = folder.rsplit_once('/').map_or("", |(efi, _)| efi);
    let boot = boot.cloned().unwrap_or_else(|| format!("{efi}/BOOT"));
    copy(work, &boot, &copies)
}

/// What a shim of this name loads from its own folder, and what that reads there.
fn companions(arch: &str, shim: &str) -> Vec<String> {
    let usual = vec![format!("grub{arch}.efi"), format!("mm{arch}.efi")];
    let suse = ["grub.efi", "MokManager.efi", "grub.cfg"].map(str::to_owned);
    if shim.eq_ignore_ascii_case("shim.efi") { [usual, suse.to_vec()].concat() } else { usual }
}

fn copy(work: &mut Work<'_>, folder: &str, copies: &[(String, String)]) -> Result<()> {
    let mut contents = Vec::new();
    for (source, name) in copies {
        let path = format!("{folder}/{name}");
        if exists(work.guest, &path) {
            continue;
        }
        let bytes = work.guest.read_all(source, LOADER).map_err(|error| error.within(source))?;
        contents.push((path, bytes, work.guest.stat(source)?, format!("{REASON}: a copy of {source}")));
    }
    let needed: u64 = contents.iter().map(|(_, bytes, ..)| bytes.len() as u64).sum();
    let free = work.guest.room(copies.first().map_or("/", |(source, _)| source))?.free;
    if needed.saturating_add(64 << 10) > free {
        let message =
            format!("the EFI system partition lacks room for {} KiB of a fallback loader", needed / 1024);
        work.block("linux.efi.no-room", message, "make room in the EFI system partition");
        return Ok(());
    }
    if !contents.is_empty() {
        work.ensure_directory(folder, REASON)?;
    }
    for (path, bytes, meta, reason) in contents {
        work.guest.write(&path, &bytes, Some(&meta), &reason)?;
    }
    Ok(())
}
