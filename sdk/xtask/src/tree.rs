//! The file trees of the source disks: one base by mmdebstrap, and what each kind of disk adds to it.

use crate::image::Kind;
use crate::progress;
use crate::{quiet, root};
use anyhow::{Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const GUEST: &str = include_str!("guest.sh");

/// A release of Debian or Ubuntu.
#[derive(Debug)]
pub struct Suite {
    /// `bookworm`
    pub name: &'static str,
    /// What every system of it has.
    packages: &'static str,
    /// Whether it comes from Ubuntu's archive.
    ubuntu: bool,
    /// Whether its packages cannot be installed without their manuals: the alternatives of those name the manuals.
    manuals: bool,
}

const DEBIAN: &str = "linux-image-amd64,initramfs-tools,zstd,systemd-sysv,udev,kmod,ifupdown,iproute2,\
isc-dhcp-client,grub-pc";
/// Debian 12.
pub const BOOKWORM: Suite = Suite { name: "bookworm", packages: DEBIAN, ubuntu: false, manuals: false };
/// Debian 11, the oldest that is served.
pub const BULLSEYE: Suite = Suite { name: "bullseye", packages: DEBIAN, ubuntu: false, manuals: false };
/// Debian 13.
pub const TRIXIE: Suite = Suite { name: "trixie", packages: DEBIAN, ubuntu: false, manuals: false };
/// Ubuntu 18.04: initramfs-tools, ifupdown.
pub const BIONIC: Suite = Suite {
    name: "bionic",
    packages: "linux-image-virtual,initramfs-tools,systemd-sysv,udev,kmod,ifupdown,iproute2,isc-dhcp-client,grub-pc",
    ubuntu: true,
    manuals: true,
};
/// Ubuntu 26.04: dracut, netplan with systemd-networkd.
pub const RESOLUTE: Suite = Suite {
    name: "resolute",
    packages: "linux-image-virtual,dracut,systemd-sysv,udev,kmod,netplan.io,iproute2,grub-pc",
    ubuntu: true,
    manuals: false,
};
const UBUNTU: &str = "http://archive.ubuntu.com/ubuntu";
/// The keys of Ubuntu's archive, as Debian 13 has them; Debian 12 has no package of them.
const KEYRING: &str =
    "http://deb.debian.org/debian/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1-0.2_all.deb";
const KEYRING_SHA256: &str = "b2e7ed48431bf9e7978ae810bbdaf253093570d6e3f864e575b7c13554b81174";
/// What mmdebstrap is told besides names and folders: no translations, no manuals, but every copyright notice.
const SLIM: &[&str] = &[
    "--quiet",
    "--skip=download/empty",
    "--aptopt=Acquire::Languages \"none\"",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

const NO_MANUALS: &str = "--dpkgopt=path-exclude=/usr/share/man/*";

/// Everything here that decides what a tree holds.
pub fn recipe(suite: &Suite) -> String {
    format!("{}\n{GUEST}", base_recipe(suite))
}

fn base_recipe(suite: &Suite) -> String {
    format!("{} {} {SLIM:?}", suite.name, suite.packages)
}

/// A mmdebstrap whose kernel package makes no initramfs, which `guest.sh` does.
fn mmdebstrap() -> Command {
    let mut command = Command::new("mmdebstrap");
    command.env("INITRD", "No").args(SLIM);
    command
}

/// The system that all disks of a suite start from, made once.
fn base(suite: &Suite) -> Result<PathBuf> {
    let tar = root().join(format!(".work/base-{}.tar", suite.name));
    let stamp = tar.with_extension("recipe");
    if tar.exists() && fs::read_to_string(&stamp).is_ok_and(|made| made == base_recipe(suite)) {
        return Ok(tar);
    }
    let part = tar.with_extension("part.tar");
    let mut command = mmdebstrap();
    if !suite.manuals {
        command.arg(NO_MANUALS);
    }
    command.arg("--variant=minbase").arg(format!("--include={}", suite.packages));
    if suite.ubuntu {
        command.arg(format!("--keyring={}", keyring()?.display())).arg("--components=main,universe");
    }
    command.arg(suite.name).arg(&part);
    if suite.ubuntu {
        command.arg(UBUNTU);
    }
    progress::run(&format!("{} from its archive", suite.name), &mut command)?;
    fs::rename(&part, &tar)?;
    fs::write(&stamp, base_recipe(suite))?;
    Ok(tar)
}

/// The keys that Ubuntu's archive is signed with.
fn keyring() -> Result<PathBuf> {
    let folder = root().join(".work/ubuntu-keyring");
    let keys = folder.join("usr/share/keyrings/ubuntu-archive-keyring.gpg");
    if !keys.exists() {
        let package = root().join(".work/ubuntu-keyring.deb");
        quiet(Command::new("curl").args(["-fsSL", "-o"]).arg(&package).arg(KEYRING))?;
        let sum = quiet(Command::new("sha256sum").arg(&package))?;
        ensure!(sum.starts_with(KEYRING_SHA256), "{KEYRING} is not what it was: {sum}");
        quiet(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&folder))?;
    }
    Ok(keys)
}

/// The tree of one kind of disk, in a folder that the caller removes.
pub fn variant(kind: &Kind) -> Result<PathBuf> {
    let base = base(kind.suite)?;
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
