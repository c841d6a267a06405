//! Debian packages, installed where they are missing.

use crate::progress;
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

/// The checkers that the tests use. `cargo xtask test` installs IMAGE and BOOT as well.
pub const TESTS: &[Need] = &[
    ("/usr/bin/git", "git"),
    ("/sbin/mke2fs", "e2fsprogs"),
    ("/sbin/sfdisk", "fdisk"),
    ("/sbin/sgdisk", "gdisk"),
    ("/sbin/lvm", "lvm2"),
    ("/sbin/mdadm", "mdadm"),
    ("/usr/bin/mcopy", "mtools"),
    ("/usr/sbin/mkfs.vfat", "dosfstools"),
    ("/usr/bin/qemu-img", "qemu-utils"),
    ("/usr/lib/python3.11/ensurepip/__init__.py", "python3-venv"),
    ("/usr/bin/curl", "curl"),
    ("/usr/lib/python3/dist-packages/pyvhdi.cpython-311-x86_64-linux-gnu.so", "python3-libvhdi"),
    ("/usr/bin/hivexregedit", "libwin-hivex-perl"),
    ("/usr/bin/reglookup", "reglookup"),
    ("/sbin/mkntfs", "ntfs-3g"),
    ("/sbin/mkfs.xfs", "xfsprogs"),
    ("/sbin/mkfs.btrfs", "btrfs-progs"),
    ("/usr/sbin/makefs", "makefs"),
    ("/sbin/cryptsetup", "cryptsetup-bin"),
    ("/usr/bin/mksquashfs", "squashfs-tools"),
    ("/usr/bin/setfattr", "attr"),
    ("/usr/bin/wine", "wine"),
    ("/usr/lib/wine/wine64", "wine64"),
    ("/usr/bin/wimcapture", "wimtools"),
    ("/usr/bin/gcab", "gcab"),
    ("/usr/bin/cabextract", "cabextract"),
    ("/usr/bin/mscompress", "mscompress"),
    ("/usr/bin/i686-w64-mingw32-windres", "binutils-mingw-w64-i686"),
    ("/usr/bin/osslsigncode", "osslsigncode"),
    ("/usr/bin/objdump", "binutils"),
    ("/usr/bin/lzop", "lzop"),
    ("/usr/bin/ldmtool", "ldmtool"),
    ("/usr/bin/genisoimage", "genisoimage"),
    ("/usr/bin/xorrisofs", "xorriso"),
    ("/usr/bin/nbdcopy", "libnbd-bin"),
    ("/usr/bin/nbdkit", "nbdkit"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/sbin/thin_delta", "thin-provisioning-tools"),
    ("/sbin/losetup", "mount"),
    ("/usr/lib/python3.11/ensurepip/__init__.py", "python3-venv"),
    ("/usr/bin/cpio", "cpio"),
    ("/usr/bin/zstd", "zstd"),
    ("/usr/bin/lz4", "lz4"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/bin/bzip2", "bzip2"),
    ("/usr/sbin/depmod", "kmod"),
    ("/usr/bin/virt-xml-validate", "libvirt-clients"),
    ("/usr/bin/go", "golang-go"),
    ("/usr/share/gocode/src/github.com/vmware/govmomi/go.mod", "golang-github-vmware-govmomi-dev"),
    ("/usr/bin/xmllint", "libxml2-utils"),
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"),
    ("/usr/bin/grub-mkimage", "grub-common"),
    ("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin"),
    ("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", "grub-efi-amd64-bin"),
];

/// What the archive is measured against.
pub const ARCHIVE_BENCH: &[Need] = &[
    ("/usr/bin/restic", "restic"),
    ("/usr/bin/borg", "borgbackup"),
    ("/sbin/mke2fs", "e2fsprogs"),
    ("/sbin/debugfs", "e2fsprogs"),
];

/// What makes the source disks.
pub const IMAGE: &[Need] = &[
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    ("/sbin/mke2fs", "e2fsprogs"),
    ("/sbin/sfdisk", "fdisk"),
    ("/sbin/cryptsetup", "cryptsetup-bin"),
    ("/usr/bin/grub-mkimage", "grub-common"),
    ("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin"),
    ("/usr/lib/grub/x86_64-efi/kernel.img", "grub-efi-amd64-bin"),
    ("/usr/bin/mcopy", "mtools"),
    ("/usr/sbin/mkfs.vfat", "dosfstools"),
    ("/sbin/vgcfgrestore", "lvm2"),
    ("/sbin/mkfs.xfs", "xfsprogs"),
    ("/sbin/mkfs.btrfs", "btrfs-progs"),
    ("/usr/bin/extlinux", "extlinux"),
    ("/usr/lib/syslinux/mbr/mbr.bin", "syslinux-common"),
    ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-boot-efi"),
];

/// What boots them and looks at migrated disks.
pub const BOOT: &[Need] = &[
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/qemu-img", "qemu-utils"),
    ("/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"),
    ("/sbin/sgdisk", "gdisk"),
    ("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin"),
    ("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", "grub-efi-amd64-bin"),
];

/// Installs those whose file is missing. In two rounds where needed: bookworm's qemu-system-x86 pushes out a qemu-utils that
/// came from backports, and the second round brings back bookworm's.
pub fn install(needs: &[Need]) -> Result<()> {
    for _ in 0..2 {
        let missing = missing(needs);
        if missing.is_empty() {
            return Ok(());
        }
        apt(&missing)?;
    }
    match missing(needs).join(" ") {
        none if none.is_empty() => Ok(()),
        names => {
            bail!("apt-get installed these packages, yet what they are needed for is not there: {names}")
        }
    }
}

fn missing(needs: &[Need]) -> Vec<&'static str> {
    needs.iter().filter(|(file, _)| !Path::new(file).exists()).map(|need| need.1).collect()
}

fn apt(packages: &[&str]) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("these Debian packages are needed, and there is no apt-get here: {}", packages.join(" "));
    }
    progress::run("package lists", Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "-y", "-q", "--no-install-recommends"]).args(packages);
    // Their names could be longer than a file's name may be, and the title is the log's name.
    progress::run(&format!("packages ({})", packages.len()), &mut install)
}
