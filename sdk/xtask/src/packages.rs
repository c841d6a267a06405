//! Debian packages, installed where they are missing.

use crate::run;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// A file that shows that a package is there, and the package.
type Need = (&'static str, &'static str);

/// What builds Wasm where rustup has no wasm target.
pub const WASM: &[Need] = &[
    ("/usr/bin/rustc", "rustc-web"),
    ("/usr/bin/cargo", "cargo-web"),
    ("/usr/lib/rustlib/src/rust/library/std/Cargo.toml", "rust-web-src"),
    ("/usr/bin/wasm-ld-19", "lld-19"),
];

/// The checkers that the tests use.
pub const TESTS: &[Need] = &[
    ("/sbin/mke2fs", "e2fsprogs"),
    ("/sbin/sfdisk", "fdisk"),
    ("/usr/bin/mcopy", "mtools"),
    ("/usr/sbin/mkfs.vfat", "dosfstools"),
    ("/usr/bin/qemu-img", "qemu-utils"),
    ("/usr/bin/cpio", "cpio"),
    ("/usr/bin/zstd", "zstd"),
    ("/usr/bin/lz4", "lz4"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/sbin/depmod", "kmod"),
    ("/usr/bin/virt-xml-validate", "libvirt-clients"),
    ("/usr/bin/xmllint", "libxml2-utils"),
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"),
];

/// What makes the demo's source disk.
pub const IMAGE: &[Need] = &[
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    ("/sbin/mke2fs", "e2fsprogs"),
    ("/sbin/sfdisk", "fdisk"),
    ("/usr/bin/grub-mkimage", "grub-common"),
    ("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin"),
    ("/usr/lib/grub/x86_64-efi/kernel.img", "grub-efi-amd64-bin"),
    ("/usr/bin/mcopy", "mtools"),
    ("/usr/sbin/mkfs.vfat", "dosfstools"),
    ("/sbin/vgcfgrestore", "lvm2"),
];

/// What boots it. On a machine with QEMU from backports, apt must be told so by whoever installed that.
pub const BOOT: &[Need] = &[("/usr/bin/qemu-system-x86_64", "qemu-system-x86")];

/// Installs those whose file is missing.
pub fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> =
        needs.iter().filter(|(file, _)| !Path::new(file).exists()).map(|need| need.1).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("these Debian packages are needed, and there is no apt-get here: {}", missing.join(" "));
    }
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
    ]);
    run(install.args(missing))
}
