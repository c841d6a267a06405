//! From a tree to a disk image: partition table, file systems and boot loader, without mounting anything.

use crate::image::{Kind, Layout};
use crate::{lvm, progress, quiet, root};
use anyhow::{Context, Result, bail};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

pub const MIB: u64 = 1 << 20;
/// A gap of 1 MiB before the first partition holds the boot loader, as every partitioning tool leaves it.
const PLAIN: &str = "label: dos\nlabel-id: 0x77680001\nstart=1MiB,type=83,bootable\n";
const LVM: &str =
    "label: dos\nlabel-id: 0x77680001\nstart=1MiB,size=255MiB,type=83,bootable\nstart=256MiB,type=8e\n";
const UEFI: &str = "label: gpt\nstart=1MiB,size=64MiB,type=U,name=ESP\nstart=65MiB,type=L,name=root\n";
/// Where the second partition starts, in MiB.
const LVM_SECOND: u64 = 256;
const UEFI_SECOND: u64 = 65;
/// Deleted files of 256 MiB each: 80 % of what the disk ever held, beside the system's 0.7 GiB.
const DELETED: u64 = 12;

const BIOS_GRUB: &str = "/usr/lib/grub/i386-pc";
const BIOS_MODULES: &[&str] = &["biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "serial"];
const EFI_GRUB: &str = "/usr/lib/grub/x86_64-efi";
const EFI_MODULES: &[&str] =
    &["part_gpt", "fat", "ext2", "search", "search_label", "normal", "configfile", "linux", "serial"];
/// What grub-install embeds: where the configuration is.
const EFI_EARLY: &str =
    "search --no-floppy --label --set=root root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n";

/// Everything here that decides what a disk holds.
pub fn recipe() -> String {
    format!("{PLAIN}{LVM}{UEFI}{DELETED}{BIOS_MODULES:?}{EFI_MODULES:?}{EFI_EARLY}{}", lvm::recipe())
}

/// A file system of a disk, in bytes from its start.
pub struct FileSystem {
    pub fat: bool,
    pub offset: u64,
    pub size: u64,
}

/// What a checker has to look at.
pub fn file_systems(kind: &Kind) -> Vec<FileSystem> {
    let one = |fat, start, size| FileSystem { fat, offset: start * MIB, size: size * MIB };
    match kind.layout {
        Layout::Plain | Layout::Deleted => vec![one(false, 1, kind.size - 1)],
        Layout::Uefi => {
            vec![one(true, 1, UEFI_SECOND - 1), one(false, UEFI_SECOND, kind.size - UEFI_SECOND - 1)]
        }
        Layout::Lvm => {
            let volumes = lvm::volumes(LVM_SECOND * MIB, (kind.size - LVM_SECOND) * MIB);
            let root = FileSystem { fat: false, offset: volumes.root, size: volumes.root_size };
            vec![one(false, 1, LVM_SECOND - 1), root]
        }
    }
}

/// Makes the image of `tree`.
pub fn assemble(kind: &Kind, tree: &Path, disk: &Path) -> Result<()> {
    let file = File::create(disk).with_context(|| format!("cannot create {}", disk.display()))?;
    file.set_len(kind.size * MIB)?;
    match kind.layout {
        Layout::Plain => {
            partition(disk, PLAIN)?;
            ext4(disk, "root", tree, MIB, kind.size - 1)?;
            bios_loader(disk, "(hd0,msdos1)/boot/grub")?;
        }
        Layout::Deleted => {
            partition(disk, PLAIN)?;
            deleted(disk, tree, kind.size - 1)?;
            bios_loader(disk, "(hd0,msdos1)/boot/grub")?;
        }
        Layout::Lvm => {
            partition(disk, LVM)?;
            // On the running machine /boot is another file system.
            let boot = root().join(".work/tree-boot");
            let _ = fs::remove_dir_all(&boot);
            fs::rename(tree.join("boot"), &boot)?;
            fs::create_dir(tree.join("boot"))?;
            ext4(disk, "boot", &boot, MIB, LVM_SECOND - 1)?;
            fs::remove_dir_all(&boot)?;
            let volumes = lvm::create(disk, LVM_SECOND * MIB, (kind.size - LVM_SECOND) * MIB)?;
            ext4(disk, "root", tree, volumes.root, volumes.root_size / MIB)?;
            swap(disk, volumes.swap, volumes.swap_size)?;
            bios_loader(disk, "(hd0,msdos1)/grub")?;
        }
        Layout::Uefi => {
            partition(disk, UEFI)?;
            // The backup table takes the last sectors.
            ext4(disk, "root", tree, UEFI_SECOND * MIB, kind.size - UEFI_SECOND - 1)?;
            efi_loader(disk)?;
        }
    }
    Ok(file.sync_all()?)
}

fn partition(disk: &Path, table: &str) -> Result<()> {
    let mut sfdisk = Command::new("/sbin/sfdisk").arg("-q").arg(disk).stdin(Stdio::piped()).spawn()?;
    sfdisk.stdin.take().context("sfdisk takes no input")?.write_all(table.as_bytes())?;
    let status = sfdisk.wait()?;
    if !status.success() {
        bail!("sfdisk ended with {status}");
    }
    Ok(())
}

/// A file system of `size` MiB at a byte offset of the disk, filled from a folder.
fn ext4(disk: &Path, label: &str, tree: &Path, offset: u64, size: u64) -> Result<()> {
    let mut mke2fs = Command::new("/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", label, "-d"]).arg(tree);
    mke2fs.arg("-E").arg(format!("offset={offset}")).arg(disk);
    progress::run(&format!("file system {label}"), mke2fs.arg(format!("{size}M")))
}

/// A file system that files of random bytes were removed from, as an unlink without a trim leaves it.
fn deleted(disk: &Path, tree: &Path, size: u64) -> Result<()> {
    let folder = tree.join("var/tmp/deleted");
    fs::create_dir_all(&folder)?;
    let random = File::open("/dev/urandom")?;
    for number in 0..DELETED {
        let mut file = File::create(folder.join(number.to_string()))?;
        std::io::copy(&mut (&random).take(256 * MIB), &mut file)?;
    }
    ext4(disk, "root", tree, MIB, size)?;
    let mut commands: String = (0..DELETED).map(|number| format!("rm /var/tmp/deleted/{number}\n")).collect();
    commands.push_str("rmdir /var/tmp/deleted\n");
    let script = root().join(".work/debugfs.txt");
    fs::write(&script, commands)?;
    let mut debugfs = Command::new("/sbin/debugfs");
    debugfs.args(["-w", "-f"]).arg(script);
    progress::run("deleting files", debugfs.arg(format!("{}?offset={MIB}", disk.display())))
}

/// Swap space at a byte offset; its signature takes the first page.
fn swap(disk: &Path, offset: u64, size: u64) -> Result<()> {
    let part = root().join(".work/swap.part");
    File::create(&part)?.set_len(size)?;
    quiet(Command::new("/sbin/mkswap").args(["-q", "-L", "swap"]).arg(&part))?;
    let mut page = vec![0; 4096];
    File::open(&part)?.read_exact(&mut page)?;
    fs::remove_file(&part)?;
    write_at(&mut open(disk)?, offset, &page)
}

fn bios_loader(disk: &Path, prefix: &str) -> Result<()> {
    let core = root().join(".work/core.img");
    let mut grub = Command::new("grub-mkimage");
    grub.args(["-O", "i386-pc", "-d", BIOS_GRUB, "-p", prefix, "-o"]).arg(&core);
    quiet(grub.args(BIOS_MODULES))?;
    let boot = fs::read(Path::new(BIOS_GRUB).join("boot.img"))?;
    let core = fs::read(&core)?;
    if core.len() as u64 > MIB - 512 {
        bail!("GRUB's core image does not fit before the first partition");
    }
    let mut file = open(disk)?;
    // The first 440 bytes are the loader's; the partition table follows them in the same sector.
    write_at(&mut file, 0, boot.get(..440).context("GRUB's boot.img is too short")?)?;
    write_at(&mut file, 512, &core)
}

/// The EFI system partition as grub-install leaves it beside a boot entry in the machine's memory: `EFI/debian`, and no
/// `EFI/BOOT` for machines that have no such entry.
fn efi_loader(disk: &Path) -> Result<()> {
    let work = root().join(".work");
    let early = work.join("early.cfg");
    fs::write(&early, EFI_EARLY)?;
    let loader = work.join("grubx64.efi");
    let mut grub = Command::new("grub-mkimage");
    grub.args(["-O", "x86_64-efi", "-d", EFI_GRUB, "-p", "/boot/grub", "-c"]).arg(&early);
    quiet(grub.arg("-o").arg(&loader).args(EFI_MODULES))?;
    let mut fat = Command::new("/usr/sbin/mkfs.vfat");
    // 2048 sectors: the partition's start. Clusters of one sector make enough of them for FAT32. The size is in KiB.
    fat.args(["-F", "32", "-s", "1", "-n", "ESP", "--offset", "2048"]).arg(disk);
    quiet(fat.arg(((UEFI_SECOND - 1) * 1024).to_string()))?;
    let volume = format!("{}@@1M", disk.display());
    let mtools = |program: &str| {
        let mut command = Command::new(program);
        command.arg("-i").arg(&volume);
        command
    };
    quiet(mtools("mmd").args(["::EFI", "::EFI/debian"]))?;
    quiet(mtools("mcopy").arg(&loader).arg("::EFI/debian/grubx64.efi"))?;
    quiet(mtools("mcopy").arg(&early).arg("::EFI/debian/grub.cfg"))?;
    Ok(())
}

fn open(disk: &Path) -> Result<File> {
    OpenOptions::new().write(true).open(disk).with_context(|| format!("cannot open {}", disk.display()))
}

fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    Ok(file.write_all(bytes)?)
}
