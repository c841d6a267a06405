//! What firmware starts.

use crate::decoration::Architecture;
use crate::files::{is_file, look};
use crate::place::Loader;
use crate::resource;
use crate::work::Work;
use wherry_sdk::Result;

/// The largest boot manager.
const LOADER_MOST: u64 = 16 << 20;

/// Windows' boot manager under the name that firmware looks for, and a check that the firmware is the one it was made for.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let efi = work.profile.firmware.starts_with("uefi");
    let Some(first) = work.place.boots.first().cloned() else {
        work.warn(
            "windows.boot.missing",
            "no system partition with a Windows loader is among the disks".into(),
            "check that the disk that the source starts from is given",
        );
        return Ok(());
    };
    let fits = work.place.boots.iter().any(|boot| (boot.loader == Loader::BootmgrEfi) == efi);
    if !fits {
        let (has, gets) = if efi { ("BIOS", "UEFI") } else { ("UEFI", "BIOS") };
        work.block(
            "windows.firmware",
            format!("this Windows starts by {has}, and the new machine has {gets}"),
            &format!("choose a machine with {has}, or convert the source first (mbr2gpt, bcdboot)"),
        );
        return Ok(());
    }
    if !efi {
        return Ok(());
    }
    if work.system.machine == Architecture::X86 {
        // UEFI specification, 2.3: firmware starts images of its own kind of processor only.
        work.block(
            "windows.firmware",
            "a 32-bit Windows starts by UEFI only on firmware of 32 bits, and the new machine's has 64"
                .into(),
            "choose a machine with BIOS, and convert the source first (bcdboot /f BIOS)",
        );
        return Ok(());
    }
    let name = match work.system.machine {
        Architecture::Amd64 => "bootx64.efi",
        Architecture::Arm64 => "bootaa64.efi",
        Architecture::X86 | Architecture::Arm | Architecture::Ia64 => return Ok(()),
    };
    let boot = work.place.boots.iter().find(|boot| boot.loader == Loader::BootmgrEfi).unwrap_or(&first);
    let target = format!("{}/EFI/Boot/{name}", boot.path);
    let source = format!("{}/EFI/Microsoft/Boot/bootmgfw.efi", boot.path);
    if !is_file(work.guest, &source) {
        let message = format!("{source} is not there, so new firmware finds nothing to start");
        work.block("windows.efi.loader-missing", message, "run bcdboot on the source");
        return Ok(());
    }
    let bytes = work.guest.read_all(&source, LOADER_MOST)?;
    let there = look(work.guest, &target).map(|_| work.guest.read_all(&target, LOADER_MOST)).transpose()?;
    if there.as_ref() == Some(&bytes) {
        return Ok(());
    }
    if there.is_some_and(|there| !is_windows(&there)) {
        let message =
            format!("{target} is not Windows' boot manager, and the new machine's firmware starts it");
        let remedy =
            "see that it starts Windows too (a GRUB with an entry for it), or remove it from the source";
        work.warn("windows.efi.other-loader", message, remedy);
        return Ok(());
    }
    work.write(
        &target,
        &bytes,
        "the new machine's firmware has no boot entries, and starts what has this name",
    )
}

/// Whether a program is Windows' boot manager of any version, by the name in its version resource.
fn is_windows(bytes: &[u8]) -> bool {
    let name = resource::original_name(bytes).unwrap_or_default().to_ascii_lowercase();
    name.starts_with("bootmgr") || name.starts_with("bootmgfw")
}
