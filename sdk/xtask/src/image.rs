//! The demo's source disk: a real Debian bookworm, tied to the hardware of the machine it came from.

use crate::{packages, root, run};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
/// The disk's size; a gap of 1 MiB before the partition holds the boot loader, as every partitioning tool leaves it.
const DISK: u64 = 1536 * MIB;
const TABLE: &str = "label: dos\nlabel-id: 0x77680001\nstart=1MiB,type=83,bootable\n";
const GUEST: &str = include_str!("guest.sh");
const PACKAGES: &str = "linux-image-amd64,initramfs-tools,zstd,systemd-sysv,udev,kmod,ifupdown,iproute2,\
isc-dhcp-client,grub-pc";
/// What mmdebstrap is told besides names and folders: no translations, no manuals, but every copyright notice.
const SLIM: &[&str] = &[
    "--variant=minbase",
    "--skip=download/empty",
    "--aptopt=Acquire::Languages \"none\"",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];
const GRUB: &str = "/usr/lib/grub/i386-pc";
const GRUB_MODULES: &[&str] = &["biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "serial"];

/// The disk's path; it is made when it is missing or when its recipe changed.
pub fn build(kind: &str) -> Result<PathBuf> {
    if kind != "ext4" {
        bail!("no recipe for a source disk with {kind}; there is one for ext4");
    }
    let work = root().join(".work");
    fs::create_dir_all(&work)?;
    let disk = work.join("source-ext4.raw");
    let recipe = format!("{GUEST}{PACKAGES}{SLIM:?}{GRUB_MODULES:?}{TABLE}{DISK}");
    let stamp = work.join("source-ext4.recipe");
    if disk.exists() && fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
        println!("{} is there already", disk.display());
        return Ok(disk);
    }
    packages::install(packages::IMAGE)?;
    let part = work.join("source-ext4.part");
    let _ = fs::remove_file(&part);
    let tree = tree(&work)?;
    assemble(&work, &tree, &part)?;
    fs::rename(&part, &disk)?;
    fs::write(&stamp, recipe)?;
    fs::remove_dir_all(&tree)?;
    println!("made {}", disk.display());
    Ok(disk)
}

/// A Debian system in a folder, by mmdebstrap.
fn tree(work: &Path) -> Result<PathBuf> {
    let tree = work.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    let hook = work.join("guest.sh");
    fs::write(&hook, GUEST)?;
    let mut command = Command::new("mmdebstrap");
    command.arg("--quiet").args(SLIM).arg(format!("--include={PACKAGES}"));
    command.arg(format!("--customize-hook=sh '{}' \"$1\"", hook.display()));
    run(command.arg("bookworm").arg(&tree))?;
    Ok(tree)
}

/// Partition table, file system and boot loader, without a loop device.
fn assemble(work: &Path, tree: &Path, disk: &Path) -> Result<()> {
    let mut file = File::create(disk).with_context(|| format!("cannot create {}", disk.display()))?;
    file.set_len(DISK)?;
    partition(disk)?;
    let mut mke2fs = Command::new("/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", "root", "-d"]).arg(tree);
    mke2fs.arg("-E").arg(format!("offset={MIB}")).arg(disk);
    run(mke2fs.arg(format!("{}M", DISK / MIB - 1)))?;
    let core = work.join("core.img");
    let mut grub = Command::new("grub-mkimage");
    grub.args(["-O", "i386-pc", "-d", GRUB, "-p", "(hd0,msdos1)/boot/grub", "-o"]).arg(&core);
    run(grub.args(GRUB_MODULES))?;
    let boot = fs::read(Path::new(GRUB).join("boot.img"))?;
    // The first 440 bytes are the loader's; the partition table follows them in the same sector.
    file.write_all(boot.get(..440).context("GRUB's boot.img is too short")?)?;
    let core = fs::read(&core)?;
    if core.len() as u64 > MIB - 512 {
        bail!("GRUB's core image does not fit before the first partition");
    }
    file.seek(SeekFrom::Start(512))?;
    file.write_all(&core)?;
    Ok(file.sync_all()?)
}

fn partition(disk: &Path) -> Result<()> {
    let mut sfdisk = Command::new("/sbin/sfdisk").arg("-q").arg(disk).stdin(Stdio::piped()).spawn()?;
    sfdisk.stdin.take().context("sfdisk takes no input")?.write_all(TABLE.as_bytes())?;
    let status = sfdisk.wait()?;
    if !status.success() {
        bail!("sfdisk ended with {status}");
    }
    Ok(())
}
