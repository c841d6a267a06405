//! Source disks: real Debian systems, each tied to the hardware of the machine it came from.

use crate::tree::{BIONIC, BOOKWORM, BULLSEYE, RESOLUTE, Suite, TRIXIE};
use crate::{disk, packages, root, shown, tree};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::PathBuf;

/// How a disk is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// MBR, one partition with the root file system.
    Plain,
    /// As plain, and the free blocks of the file system hold what deleted files left there.
    Deleted,
    /// MBR, a small `/boot`, a physical volume with root and swap.
    Lvm,
    /// MBR, one partition with the root file system on XFS.
    Xfs,
    /// MBR, one partition with btrfs: the root in `@rootfs`, `/home` in `@home`.
    Btrfs,
    /// MBR, a small `/boot`, two partitions that are a mirror (MD, superblock 1.2) with a physical volume in it.
    Md,
    /// MBR, a small `/boot`, a root file system that adapters read and do not change: ext4 with fs-verity.
    Verity,
    /// As plain, started by EXTLINUX.
    Extlinux,
    /// As plain, started by GRUB legacy.
    GrubLegacy,
    /// MBR, a small `/boot`, a partition that LUKS encrypts, with a physical volume in it.
    Luks,
    /// MBR, one partition from sector 63 on with GRUB legacy's menu and no loader: its host read the menu (PyGrub).
    Pygrub,
    /// GPT, an EFI system partition with systemd-boot and its kernels, the root file system.
    SystemdBoot,
    /// GPT, an EFI system partition without the fallback loader, the root file system.
    Uefi,
}

/// A recipe for a source disk.
#[derive(Debug)]
pub struct Kind {
    /// What the operator calls it, and what `guest.sh` is told.
    pub name: &'static str,
    /// Debian packages besides those of every disk.
    pub packages: &'static [&'static str],
    /// Size in MiB.
    pub size: u64,
    pub layout: Layout,
    /// What it is an installation of.
    pub suite: &'static Suite,
}

/// Every recipe; the first is the demo's.
pub const KINDS: [Kind; 18] = [
    Kind { name: "ext4", packages: &[], size: 1536, layout: Layout::Plain, suite: &BOOKWORM },
    Kind { name: "uefi", packages: &["grub-efi-amd64"], size: 1536, layout: Layout::Uefi, suite: &BOOKWORM },
    Kind { name: "lvm", packages: &["lvm2"], size: 1792, layout: Layout::Lvm, suite: &BOOKWORM },
    Kind { name: "dracut", packages: &["dracut"], size: 1536, layout: Layout::Plain, suite: &BOOKWORM },
    Kind { name: "deleted", packages: &[], size: 4096, layout: Layout::Deleted, suite: &BOOKWORM },
    Kind { name: "xfs", packages: &["xfsprogs"], size: 1536, layout: Layout::Xfs, suite: &BOOKWORM },
    Kind { name: "btrfs", packages: &["btrfs-progs"], size: 1536, layout: Layout::Btrfs, suite: &BOOKWORM },
    Kind { name: "md", packages: &["lvm2", "mdadm"], size: 3072, layout: Layout::Md, suite: &BOOKWORM },
    Kind { name: "verity", packages: &[], size: 1792, layout: Layout::Verity, suite: &BOOKWORM },
    Kind {
        name: "luks",
        packages: &["lvm2", "cryptsetup-initramfs"],
        size: 1856,
        layout: Layout::Luks,
        suite: &BOOKWORM,
    },
    Kind {
        name: "extlinux",
        packages: &["extlinux"],
        size: 1536,
        layout: Layout::Extlinux,
        suite: &BOOKWORM,
    },
    Kind {
        name: "systemd-boot",
        packages: &["systemd-boot"],
        size: 1536,
        layout: Layout::SystemdBoot,
        suite: &BOOKWORM,
    },
    Kind {
        name: "grub-legacy",
        packages: &["grub-legacy"],
        size: 1536,
        layout: Layout::GrubLegacy,
        suite: &BOOKWORM,
    },
    Kind { name: "trixie", packages: &[], size: 1536, layout: Layout::Plain, suite: &TRIXIE },
    Kind { name: "bullseye", packages: &[], size: 1536, layout: Layout::Plain, suite: &BULLSEYE },
    Kind { name: "bionic", packages: &[], size: 1536, layout: Layout::Plain, suite: &BIONIC },
    Kind { name: "resolute", packages: &[], size: 2048, layout: Layout::Plain, suite: &RESOLUTE },
    Kind { name: "pygrub", packages: &[], size: 1536, layout: Layout::Pygrub, suite: &BOOKWORM },
];

impl Kind {
    /// The recipe of this name.
    pub fn named(name: &str) -> Result<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name).with_context(|| {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            format!("no recipe for a source disk called {name}; there are {}", names.join(", "))
        })
    }

    /// Where the disk is, once it is made.
    pub fn path(&self) -> PathBuf {
        root().join(format!(".work/source-{}.raw", self.name))
    }
}

/// The disk's path; it is made when it is missing or when its recipe changed.
pub fn build(kind: &Kind) -> Result<PathBuf> {
    let work = root().join(".work");
    fs::create_dir_all(&work)?;
    // Two commands at the same time must not make the same files.
    let lock = File::create(work.join("lock"))?;
    lock.lock().context("cannot lock .work/lock")?;
    let disk = kind.path();
    let recipe = format!("{kind:?}\n{}{}", tree::recipe(kind.suite), disk::recipe());
    let stamp = disk.with_extension("recipe");
    if disk.exists() && fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
        println!("{} is there already", shown(&disk));
        return Ok(disk);
    }
    packages::install(packages::IMAGE)?;
    let tree = tree::variant(kind)?;
    let part = disk.with_extension("part");
    let _ = fs::remove_file(&part);
    disk::assemble(kind, &tree, &part)?;
    fs::rename(&part, &disk)?;
    fs::write(&stamp, recipe)?;
    fs::remove_dir_all(&tree)?;
    println!("made {}", shown(&disk));
    Ok(disk)
}
