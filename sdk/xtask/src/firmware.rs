//! Machines that get another firmware than their source had: what is lent for it, and what is new on their disks.

use crate::disk::{Checker, FileSystem, MIB};
use crate::image::Kind;
use crate::quiet;
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The new one.
#[derive(Clone, Copy)]
pub enum Firmware {
    Bios,
    Uefi,
}

impl Firmware {
    /// As it is wished for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }

    /// Wishes for it, and lends Debian's packages grub-pc-bin and grub-efi-amd64-bin.
    pub fn ask(self, migrate: &mut Command) {
        let folder = match self {
            Self::Bios => "/usr/lib/grub/i386-pc",
            Self::Uefi => "/usr/lib/grub/x86_64-efi/monolithic",
        };
        migrate.args(["--wish", &format!("firmware={}", self.name()), "--drivers", folder]);
    }

    /// The new EFI system partition, behind what the full disk had before.
    pub fn file_systems(self, kind: &Kind) -> Vec<FileSystem> {
        match self {
            Self::Bios => Vec::new(),
            Self::Uefi => {
                vec![FileSystem { checker: Checker::Fat, offset: kind.size * MIB, size: 300 * MIB }]
            }
        }
    }
}

/// The partition table by sfdisk, and a GPT by sgdisk, which knows backups and sums.
pub fn check_table(image: &Path) -> Result<()> {
    let raw = image.with_extension("raw");
    quiet(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(image).arg(&raw))?;
    let said = quiet(Command::new("/sbin/sfdisk").args(["--verify", "--no-reread"]).arg(&raw))?;
    ensure!(said.contains("No errors detected"), "sfdisk says\n{said}");
    if said.contains("Header version") {
        let said = quiet(Command::new("/sbin/sgdisk").arg("--verify").arg(&raw))?;
        ensure!(said.contains("No problems found"), "sgdisk says\n{said}");
    }
    Ok(fs::remove_file(raw)?)
}
