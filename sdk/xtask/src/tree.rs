//! The file trees of the source disks: one base by mmdebstrap, and what each kind of disk adds to it.

use crate::image::Kind;
use crate::progress;
use crate::root;
use anyhow::Result;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const GUEST: &str = include_str!("guest.sh");
const PACKAGES: &str = "linux-image-amd64,initramfs-tools,zstd,systemd-sysv,udev,kmod,ifupdown,iproute2,\
isc-dhcp-client,grub-pc";
const SUITE: &str = "bookworm";
/// What mmdebstrap is told besides names and folders: no translations, no manuals, but every copyright notice.
const SLIM: &[&str] = &[
    "--quiet",
    "--skip=download/empty",
    "--aptopt=Acquire::Languages \"none\"",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// Everything here that decides what a tree holds.
pub fn recipe() -> String {
    format!("{}\n{GUEST}", base_recipe())
}

fn base_recipe() -> String {
    format!("{SUITE} {PACKAGES} {SLIM:?}")
}

/// A mmdebstrap whose kernel package makes no initramfs, which `guest.sh` does.
fn mmdebstrap() -> Command {
    let mut command = Command::new("mmdebstrap");
    command.env("INITRD", "No").args(SLIM);
    command
}

/// The system that all disks start from, made once.
fn base() -> Result<PathBuf> {
    let tar = root().join(".work/base.tar");
    let stamp = tar.with_extension("recipe");
    if tar.exists() && fs::read_to_string(&stamp).is_ok_and(|made| made == base_recipe()) {
        return Ok(tar);
    }
    let part = root().join(".work/base.part.tar");
    let mut command = mmdebstrap();
    command.arg("--variant=minbase").arg(format!("--include={PACKAGES}")).arg(SUITE).arg(&part);
    progress::run("Debian bookworm from its archive", &mut command)?;
    fs::rename(&part, &tar)?;
    fs::write(&stamp, base_recipe())?;
    Ok(tar)
}

/// The tree of one kind of disk, in a folder that the caller removes.
pub fn variant(kind: &Kind) -> Result<PathBuf> {
    let base = base()?;
    let tree = root().join(".work/tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    let hook = root().join(".work/guest.sh");
    fs::write(&hook, GUEST)?;
    let mut command = mmdebstrap();
    command.arg("--variant=custom");
    // Device nodes of the base stand in the way of those that mmdebstrap mounts.
    command.arg(format!("--setup-hook=tar -C \"$1\" --exclude='./dev/*' -xf '{}'", base.display()));
    if kind.packages.is_empty() {
        command.arg("--skip=update");
    } else {
        let install = "apt-get install --yes --no-install-recommends";
        command.arg(format!("--customize-hook=chroot \"$1\" {install} {}", kind.packages.join(" ")));
    }
    command.arg(format!("--customize-hook=sh '{}' \"$1\" {}", hook.display(), kind.name));
    progress::run(&format!("file tree of the source disk {}", kind.name), command.arg("").arg(&tree))?;
    Ok(tree)
}
