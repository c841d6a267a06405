//! From a tree to a disk image: partition table, file systems and boot loader, without mounting anything.

use crate::image::{Kind, Layout};
use crate::loops::Loop;
use crate::{luks, lvm, mirror, progress, quiet, root};
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
const SPLIT: &str =
    "label: dos\nlabel-id: 0x77680001\nstart=1MiB,size=255MiB,type=83,bootable\nstart=256MiB,type=83\n";
const MD: &str = "label: dos\nlabel-id: 0x77680001\nstart=1MiB,size=255MiB,type=83,bootable\n\
    start=256MiB,size=1408MiB,type=fd\nstart=1664MiB,size=1408MiB,type=fd\n";
const SYSTEMD_BOOT: &str =
    "label: gpt\nstart=1MiB,size=255MiB,type=U,name=ESP\nstart=256MiB,type=L,name=root\n";
const UEFI: &str = "label: gpt\nstart=1MiB,size=64MiB,type=U,name=ESP\nstart=65MiB,type=L,name=root\n";
/// Where the second partition starts, in MiB.
const LVM_SECOND: u64 = 256;
/// Where the mirror's second half starts, and how long each is.
const MD_THIRD: u64 = 1664;
const MD_SIZE: u64 = 1408;
const UEFI_SECOND: u64 = 65;
/// As disks were divided before 2010: the first partition behind one track.
const PYGRUB: &str = "label: dos\nlabel-id: 0x77680001\ngrain: 512\nstart=63,type=83,bootable\n";
const PYGRUB_START: u64 = 63 * 512;
/// Deleted files of 256 MiB each: 80 % of what the disk ever held, beside the system's 0.7 GiB.
const DELETED: u64 = 12;

const BIOS_GRUB: &str = "/usr/lib/grub/i386-pc";
const BIOS_MODULES: &[&str] =
    &["biosdisk", "part_msdos", "ext2", "xfs", "btrfs", "normal", "configfile", "linux", "serial"];
/// Without what SYSLINUX 6 and GRUB legacy do not read of what mke2fs makes today.
const PLAINER: &str = "^64bit,^metadata_csum";
/// Of the package syslinux-common.
const SYSLINUX_MBR: &str = "/usr/lib/syslinux/mbr/mbr.bin";
const EFI_GRUB: &str = "/usr/lib/grub/x86_64-efi";
const EFI_MODULES: &[&str] =
    &["part_gpt", "fat", "ext2", "search", "search_label", "normal", "configfile", "linux", "serial"];
/// What grub-install embeds: where the configuration is.
const EFI_EARLY: &str =
    "search --no-floppy --label --set=root root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n";

/// Everything here that decides what a disk holds.
pub fn recipe() -> String {
    format!(
        "{PLAIN}{LVM}{SPLIT}{MD}{MD_THIRD}{MD_SIZE}{SYSTEMD_BOOT}{UEFI}{DELETED}{BIOS_MODULES:?}{EFI_MODULES:?}{EFI_EARLY}{}",
        lvm::recipe()
    )
}

/// Whose checker looks at a file system.
#[derive(Clone, Copy)]
pub enum Checker {
    Ext4,
    Fat,
    Xfs,
    Btrfs,
}

impl Checker {
    /// The command, for an image that follows.
    pub fn command(self) -> Command {
        let (program, words): (&str, &[&str]) = match self {
            Self::Ext4 => ("/sbin/e2fsck", &["-fn"]),
            Self::Fat => ("/usr/sbin/fsck.fat", &["-n"]),
            Self::Xfs => ("/sbin/xfs_repair", &["-n"]),
            Self::Btrfs => ("/bin/btrfs", &["check", "--check-data-csum"]),
        };
        let mut command = Command::new(program);
        command.args(words);
        command
    }
}

/// A file system of a disk, in bytes from its start.
pub struct FileSystem {
    pub checker: Checker,
    pub offset: u64,
    pub size: u64,
}

/// What a checker has to look at.
pub fn file_systems(kind: &Kind) -> Vec<FileSystem> {
    use Checker::{Btrfs, Ext4, Fat, Xfs};
    let one = |checker, start, size| FileSystem { checker, offset: start * MIB, size: size * MIB };
    let volume = |offset, size| {
        let volumes = lvm::volumes(offset, size);
        FileSystem { checker: Ext4, offset: volumes.root, size: volumes.root_size }
    };
    match kind.layout {
        Layout::Plain | Layout::Deleted | Layout::Extlinux | Layout::GrubLegacy => {
            vec![one(Ext4, 1, kind.size - 1)]
        }
        Layout::Xfs => vec![one(Xfs, 1, kind.size - 1)],
        Layout::Btrfs => vec![one(Btrfs, 1, kind.size - 1)],
        Layout::Pygrub => {
            vec![FileSystem { checker: Ext4, offset: PYGRUB_START, size: (kind.size - 1) * MIB }]
        }
        Layout::Verity => vec![one(Ext4, 1, LVM_SECOND - 1), one(Ext4, LVM_SECOND, kind.size - LVM_SECOND)],
        Layout::Uefi => {
            vec![one(Fat, 1, UEFI_SECOND - 1), one(Ext4, UEFI_SECOND, kind.size - UEFI_SECOND - 1)]
        }
        Layout::SystemdBoot => {
            vec![one(Fat, 1, LVM_SECOND - 1), one(Ext4, LVM_SECOND, kind.size - LVM_SECOND - 1)]
        }
        Layout::Lvm => {
            let root = volume(LVM_SECOND * MIB, (kind.size - LVM_SECOND) * MIB);
            vec![one(Ext4, 1, LVM_SECOND - 1), root]
        }
        // What is encrypted, the guest's own fsck looks at.
        Layout::Luks => vec![one(Ext4, 1, LVM_SECOND - 1)],
        Layout::Md => {
            let half = |start: u64| volume(start * MIB + mirror::DATA, MD_SIZE * MIB - mirror::DATA);
            vec![one(Ext4, 1, LVM_SECOND - 1), half(LVM_SECOND), half(MD_THIRD)]
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
            ext4(disk, "root", tree, MIB, kind.size - 1, &[])?;
            bios_loader(disk, "(hd0,msdos1)/boot/grub")?;
        }
        Layout::Pygrub => {
            partition(disk, PYGRUB)?;
            legacy_menu(tree)?;
            ext4(disk, "root", tree, PYGRUB_START, kind.size - 1, &[])?;
        }
        Layout::Xfs => {
            partition(disk, PLAIN)?;
            let device = Loop::attach(disk, MIB, (kind.size - 1) * MIB)?;
            quiet(Command::new("/sbin/mkfs.xfs").args(["-q", "-L", "root"]).arg(&device.path))?;
            filled(device, tree, &[])?;
            bios_loader(disk, "(hd0,msdos1)/boot/grub")?;
        }
        Layout::Btrfs => {
            partition(disk, PLAIN)?;
            let device = Loop::attach(disk, MIB, (kind.size - 1) * MIB)?;
            quiet(Command::new("/sbin/mkfs.btrfs").args(["-q", "-L", "root"]).arg(&device.path))?;
            filled(device, tree, &["@rootfs", "@home"])?;
            bios_loader(disk, "(hd0,msdos1)/@rootfs/boot/grub")?;
        }
        Layout::Verity => {
            partition(disk, SPLIT)?;
            separate_boot(disk, tree)?;
            let (second, rest) = (LVM_SECOND * MIB, kind.size - LVM_SECOND);
            ext4(disk, "root", tree, second, rest, &["-O", "verity"])?;
            bios_loader(disk, "(hd0,msdos1)/grub")?;
        }
        Layout::Md => {
            partition(disk, MD)?;
            separate_boot(disk, tree)?;
            let (first, second) = (LVM_SECOND * MIB, MD_THIRD * MIB);
            physical_volume(disk, tree, first + mirror::DATA, MD_SIZE * MIB - mirror::DATA)?;
            copy_within(disk, first, second, MD_SIZE * MIB)?;
            mirror::create(disk, [first, second], MD_SIZE * MIB)?;
            bios_loader(disk, "(hd0,msdos1)/grub")?;
        }
        Layout::Luks => {
            partition(disk, SPLIT)?;
            separate_boot(disk, tree)?;
            let plain = disk.with_extension("plain");
            let size = (kind.size - LVM_SECOND) * MIB - luks::HEADER;
            File::create(&plain)?.set_len(size)?;
            physical_volume(&plain, tree, 0, size)?;
            luks::seal(&plain, disk, LVM_SECOND)?;
            bios_loader(disk, "(hd0,msdos1)/grub")?;
        }
        Layout::Extlinux => {
            partition(disk, PLAIN)?;
            ext4(disk, "root", tree, MIB, kind.size - 1, &["-O", PLAINER])?;
            extlinux(disk, (kind.size - 1) * MIB)?;
        }
        Layout::GrubLegacy => {
            partition(disk, PLAIN)?;
            ext4(disk, "root", tree, MIB, kind.size - 1, &["-O", PLAINER])?;
            grub_legacy(disk, tree)?;
        }
        Layout::SystemdBoot => {
            partition(disk, SYSTEMD_BOOT)?;
            let esp = root().join(".work/tree-esp");
            let _ = fs::remove_dir_all(&esp);
            fs::rename(tree.join("boot/efi"), &esp)?;
            fs::create_dir(tree.join("boot/efi"))?;
            let volume = fat(disk, LVM_SECOND - 1)?;
            let copy = "mcopy -s -i \"$1\" \"$2\"/* ::";
            quiet(Command::new("sh").args(["-ec", copy, "sh", &volume]).arg(&esp))?;
            fs::remove_dir_all(&esp)?;
            // The backup table takes the last sectors.
            ext4(disk, "root", tree, LVM_SECOND * MIB, kind.size - LVM_SECOND - 1, &[])?;
        }
        Layout::Deleted => {
            partition(disk, PLAIN)?;
            deleted(disk, tree, kind.size - 1)?;
            bios_loader(disk, "(hd0,msdos1)/boot/grub")?;
        }
        Layout::Lvm => {
            partition(disk, LVM)?;
            separate_boot(disk, tree)?;
            physical_volume(disk, tree, LVM_SECOND * MIB, (kind.size - LVM_SECOND) * MIB)?;
            bios_loader(disk, "(hd0,msdos1)/grub")?;
        }
        Layout::Uefi => {
            partition(disk, UEFI)?;
            // The backup table takes the last sectors.
            ext4(disk, "root", tree, UEFI_SECOND * MIB, kind.size - UEFI_SECOND - 1, &[])?;
            efi_loader(disk)?;
        }
    }
    Ok(file.sync_all()?)
}

fn partition(disk: &Path, table: &str) -> Result<()> {
    fed(Command::new("/sbin/sfdisk").arg("-q").arg(disk), table).map(drop)
}

/// What a command that is told these lines prints.
fn fed(command: &mut Command, lines: &str) -> Result<String> {
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    running.stdin.take().context("no input is taken")?.write_all(lines.as_bytes())?;
    let output = running.wait_with_output()?;
    if !output.status.success() {
        bail!("{:?} ended with {}", command.get_program(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// GRUB legacy's menu in the place of all that GRUB 2 has in `/boot/grub`.
fn legacy_menu(tree: &Path) -> Result<()> {
    let folder = tree.join("boot/grub");
    let menu = fs::read_to_string(folder.join("grub.cfg"))?;
    let line = |word: &str| {
        let line = menu.lines().find_map(|line| line.trim().strip_prefix(word));
        line.with_context(|| format!("the menu has no line {word}"))
    };
    let (kernel, image) = (line("linux ")?, line("initrd ")?);
    fs::remove_dir_all(&folder)?;
    fs::create_dir(&folder)?;
    let menu = format!(
        "default 0\ntimeout 2\n\ntitle Debian GNU/Linux\nroot (hd0,0)\nkernel {kernel}\ninitrd {image}\n"
    );
    Ok(fs::write(folder.join("menu.lst"), menu)?)
}

/// A file system of `size` MiB at a byte offset of the disk, filled from a folder.
fn ext4(disk: &Path, label: &str, tree: &Path, offset: u64, size: u64, options: &[&str]) -> Result<()> {
    let mut mke2fs = Command::new("/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", label, "-d"]).arg(tree);
    mke2fs.args(options).arg("-E").arg(format!("offset={offset}")).arg(disk);
    progress::run(&format!("file system {label}"), mke2fs.arg(format!("{size}M")))
}

/// Copies a part of the disk to another place in it.
fn copy_within(disk: &Path, from: u64, to: u64, size: u64) -> Result<()> {
    let mut dd = Command::new("dd");
    let path = disk.display();
    dd.args([format!("if={path}"), format!("of={path}"), "bs=1M".into(), "conv=notrunc,sparse".into()]);
    dd.args([format!("skip={}", from / MIB), format!("seek={}", to / MIB), format!("count={}", size / MIB)]);
    quiet(&mut dd).map(drop)
}

/// The first partition as `/boot`, which on the running machine is another file system.
fn separate_boot(disk: &Path, tree: &Path) -> Result<()> {
    let boot = root().join(".work/tree-boot");
    let _ = fs::remove_dir_all(&boot);
    fs::rename(tree.join("boot"), &boot)?;
    fs::create_dir(tree.join("boot"))?;
    ext4(disk, "boot", &boot, MIB, LVM_SECOND - 1, &[])?;
    Ok(fs::remove_dir_all(&boot)?)
}

/// A physical volume with root and swap.
fn physical_volume(disk: &Path, tree: &Path, offset: u64, size: u64) -> Result<()> {
    let volumes = lvm::create(disk, offset, size)?;
    ext4(disk, "root", tree, volumes.root, volumes.root_size / MIB, &[])?;
    swap(disk, volumes.swap, volumes.swap_size)
}

/// Copies a tree into a new file system, into the first of these subvolumes if there are any.
fn filled(device: Loop, tree: &Path, subvolumes: &[&str]) -> Result<()> {
    let mounted = device.mount(&root().join(".work/mounted"))?;
    for name in subvolumes {
        let path = mounted.folder.join(name);
        quiet(Command::new("/bin/btrfs").args(["-q", "subvolume", "create"]).arg(path))?;
    }
    mounted.fill(tree, subvolumes.first().unwrap_or(&""))?;
    mounted.end()
}

/// EXTLINUX of the build host, by its own installer; the configuration is the guest's.
fn extlinux(disk: &Path, size: u64) -> Result<()> {
    let mounted = Loop::attach(disk, MIB, size)?.mount(&root().join(".work/mounted"))?;
    quiet(Command::new("extlinux").arg("--install").arg(mounted.folder.join("boot/extlinux")))?;
    mounted.end()?;
    let code = fs::read(SYSLINUX_MBR)?;
    write_at(&mut open(disk)?, 0, code.get(..440).context("SYSLINUX' mbr.bin is too short")?)
}

/// GRUB legacy by the guest's own shell, run in its tree: a program of 32 bits, whose libraries are there.
fn grub_legacy(disk: &Path, tree: &Path) -> Result<()> {
    fs::hard_link(disk, tree.join("disk"))?;
    fs::write(tree.join("device.map"), "(hd0) /disk\n")?;
    let mut shell = Command::new("chroot");
    shell.arg(tree).args(["/usr/sbin/grub", "--batch", "--no-floppy", "--device-map=/device.map"]);
    let said = fed(&mut shell, "root (hd0,0)\nsetup (hd0)\nquit\n")?;
    if !said.contains("... succeeded\nDone.") {
        bail!("GRUB legacy was not installed:\n{said}");
    }
    Ok(())
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
    ext4(disk, "root", tree, MIB, size, &[])?;
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
    let volume = fat(disk, UEFI_SECOND - 1)?;
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

/// An EFI system partition of `size` MiB at 1 MiB, empty; answers what mtools call it.
fn fat(disk: &Path, size: u64) -> Result<String> {
    let mut fat = Command::new("/usr/sbin/mkfs.vfat");
    // 2048 sectors: the partition's start. Clusters of one sector make enough of them for FAT32. The size is in KiB.
    fat.args(["-F", "32", "-s", "1", "-n", "ESP", "--offset", "2048"]).arg(disk);
    quiet(fat.arg((size * 1024).to_string()))?;
    Ok(format!("{}@@1M", disk.display()))
}

pub fn open(disk: &Path) -> Result<File> {
    OpenOptions::new().write(true).open(disk).with_context(|| format!("cannot open {}", disk.display()))
}

pub fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    Ok(file.write_all(bytes)?)
}
