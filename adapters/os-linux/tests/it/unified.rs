//! Unified kernel images by systemd's stub and objcopy, which read them again after they were changed.

use crate::initramfs_guest::{Base, kernel, run};
use crate::system::*;
use std::fs;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{Edit, MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, Tree};

const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const PATH: &str = "/efi/EFI/Linux/linux.efi";
const LINUX: &[u8] = &[7; 100_000];

/// An image whose sections lie in this order in file and memory.
fn image(initrd: &[u8], command_line: &str, order: &[&str]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, content) in [
        ("uname", kernel().0.as_bytes()),
        ("cmdline", command_line.as_bytes()),
        ("initrd", initrd),
        ("linux", LINUX),
    ] {
        fs::write(path(name), content).unwrap();
    }
    let mut command = Command::new("objcopy");
    let mut address = 0x1_4df8_0000u64 + (1 << 24);
    for name in order {
        let size = fs::metadata(path(name)).unwrap().len();
        command.args(["--add-section", &format!(".{name}={}", path(name))]);
        command.args(["--change-section-vma", &format!(".{name}={address:#x}")]);
        address = (address + size).next_multiple_of(4096) + 4096;
    }
    run(command.args([STUB, &path("image.efi")]));
    fs::read(path("image.efi")).unwrap()
}

/// A section as objcopy finds it.
fn section(image: &[u8], name: &str) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let [from, to, copy] =
        ["image.efi", "section", "copy"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    fs::write(&from, image).unwrap();
    run(Command::new("objcopy").args(["--dump-section", &format!("{name}={to}"), &from, &copy]));
    fs::read(to).unwrap()
}

fn guest(image: &[u8], free: u64) -> MemoryTree {
    let esp = MemoryVolume::new("gpt:3", ESP)
        .room(free)
        .file("/EFI/BOOT/BOOTX64.EFI", "systemd-boot")
        .file("/EFI/Linux/linux.efi", image);
    let root = with_modules(MemoryVolume::new("gpt:1", ROOT))
        .file("/etc/os-release", "ID=fedora\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/dracut/dracut-init.sh", "")
        .directory("/etc/dracut.conf.d")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\nUUID=ABCD-0001 /efi vfat defaults 0 0\n");
    tree(root, vec![esp])
}

fn adapted(image: &[u8], free: u64, profile: &DeviceProfile) -> (Vec<String>, Vec<Edit>, Vec<u8>) {
    let tree = guest(image, free);
    let (adaptation, edits) = adapt(&tree, profile, &[]);
    (concerns(&adaptation), edits, tree.read_all(PATH, 1 << 30).unwrap())
}

fn old() -> Vec<u8> {
    Base::new(true).dracut().modules(OLD).pack()
}

/// What the sections are after the change: the initramfs grown, everything else as it was.
fn check(before: &[u8], after: &[u8]) {
    for name in [".linux", ".uname", ".cmdline", ".text", ".data", ".reloc"] {
        assert_eq!(section(before, name), section(after, name), "{name}");
    }
    let (old, new) = (section(before, ".initrd"), section(after, ".initrd"));
    assert!(new.len() > old.len() && new.starts_with(old.strip_suffix(&[0]).unwrap_or(&old)));
    let headers = run(Command::new("objdump").args(["-h", write(after).path().to_str().unwrap()]));
    let addresses: Vec<u64> = headers
        .lines()
        .filter_map(|line| Some(line.split_whitespace().collect::<Vec<_>>()).filter(|words| words.len() == 7))
        .filter_map(|words| u64::from_str_radix(words[3], 16).ok())
        .collect();
    assert!(addresses.len() > 6 && addresses.is_sorted(), "{headers}");
}

fn write(image: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), image).unwrap();
    file
}

#[test]
fn an_initramfs_grows_where_it_is_or_behind_everything() {
    for order in [["uname", "cmdline", "linux", "initrd"], ["uname", "cmdline", "initrd", "linux"]] {
        let before = image(&old(), "root=UUID=1111-root ro\n", &order);
        let (concerns, edits, after) = adapted(&before, 1 << 30, &virtio_uefi());
        assert_eq!(concerns, Vec::<String>::new());
        assert!(shown(&edits).contains(&"write /etc/dracut.conf.d/wherry.conf".to_owned()));
        check(&before, &after);
        let moved = order[3] != "initrd";
        assert_eq!(after.len() > before.len() + old().len() / 2, moved, "{order:?}");
    }
}

#[test]
fn one_that_is_complete_is_left_alone() {
    let complete = Base::new(true).dracut().modules(&["virtio_pci", "virtio_blk"]).pack();
    let before = image(&complete, "root=UUID=1111-root ro\n", &["uname", "cmdline", "initrd", "linux"]);
    let (concerns, edits, _) = adapted(&before, 1 << 30, &virtio_uefi());
    assert_eq!((concerns, shown(&edits)), (Vec::new(), Vec::new()));
}

#[test]
fn what_cannot_be_changed_is_said() {
    let missing = "blocking linux.uki.driver-missing";
    let order = ["uname", "cmdline", "initrd", "linux"];
    let before = image(&old(), "root=/dev/sda1 ro\n", &order);
    let mut signed = before.clone();
    let pe = u32::from_le_bytes(signed[60..64].try_into().unwrap()) as usize;
    // the directory of signatures
    signed[pe + 24 + 144..pe + 24 + 152].copy_from_slice(&[1; 8]);
    let (found, edits, after) = adapted(&signed, 1 << 30, &virtio_uefi());
    same(&found, &[missing, "blocking linux.uki.command-line"]);
    assert!(edits.is_empty() && after == signed);
    let secure = DeviceProfile { firmware: "uefi-secure-boot".into(), ..virtio() };
    same(&adapted(&before, 1 << 30, &secure).0, &[missing, "blocking linux.uki.command-line"]);
    // room for the command line is in its section, for the initramfs there is none
    same(&adapted(&before, 1 << 10, &virtio_uefi()).0, &[missing]);
    let (found, _, _) = adapted(b"not a PE file", 1 << 30, &virtio_uefi());
    same(&found, &["blocking linux.uki.unknown"]);
}

#[test]
fn a_command_line_is_made_portable() {
    let complete = Base::new(true).dracut().modules(&["virtio_pci", "virtio_blk"]).pack();
    let before = image(&complete, "root=/dev/sda1 ro\n", &["uname", "cmdline", "initrd", "linux"]);
    let (concerns, edits, after) = adapted(&before, 1 << 30, &virtio_uefi());
    assert_eq!(concerns, Vec::<String>::new());
    same(&shown(&edits), &[&format!("modify {PATH}"), "- root=/dev/sda1 ro", "+ root=UUID=1111-root ro"]);
    assert_eq!(section(&after, ".cmdline"), b"root=UUID=1111-root ro");
    assert_eq!(section(&after, ".initrd"), section(&before, ".initrd"));
    // the console that the profile has, once
    let profile = DeviceProfile { facts: vec![wherry_sdk::fact("serial-console", "ttyS0")], ..virtio_uefi() };
    let (_, _, after) = adapted(&before, 1 << 30, &profile);
    assert_eq!(section(&after, ".cmdline"), b"root=UUID=1111-root ro console=tty0 console=ttyS0");
}

/// Whatever the headers say, nothing breaks, and a second run has nothing to do.
#[test]
fn damaged_headers() {
    let small = Base::empty();
    small.file("usr/lib/dracut/dracut-dir", "").file("usr/lib/systemd/systemd-udevd", "udev");
    let before = image(&small.pack(), "root=/dev/sda1\n", &["uname", "cmdline", "linux", "initrd"]);
    let pe = u32::from_le_bytes(before[60..64].try_into().unwrap()) as usize;
    let built = || {
        built_in(MemoryVolume::new("gpt:1", ROOT))
            .file("/etc/os-release", "ID=fedora\n")
            .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\nUUID=ABCD-0001 /efi vfat defaults 0 0\n")
    };
    let mut changed = 0;
    for case in 0..600u32 {
        let mut damaged = before.clone();
        let at = if case % 8 == 0 { 60 } else { pe + (case as usize * 7) % 0x240 };
        let value = [0, 0xff, 0x7f, 0x80, (case % 251) as u8][case as usize % 5];
        for byte in &mut damaged[at..at + 1 + case as usize % 4] {
            *byte = value;
        }
        if case % 10 == 9 {
            damaged.truncate(pe + case as usize);
        }
        let esp = MemoryVolume::new("gpt:3", ESP)
            .file("/EFI/BOOT/BOOTX64.EFI", "systemd-boot")
            .file("/EFI/Linux/linux.efi", &damaged);
        let (_, edits) = adapt(&tree(built(), vec![esp]), &virtio_uefi(), &[]);
        changed += usize::from(!edits.is_empty());
    }
    assert!(changed > 100, "{changed}");
}
