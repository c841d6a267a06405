//! Changes of firmware with what the operator lends.

use crate::system::*;
use os_linux::Linux;
use std::fs;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, SourceOs};

const DEBIAN_EFI: &str = "/usr/lib/grub/x86_64-efi/monolithic";
const ESP_MBR: &[(&str, &str)] = &[
    ("fs.kind", "vfat"),
    ("fs.uuid", "ABCD-0001"),
    ("disk.index", "0"),
    ("partition.number", "2"),
    ("partition.type", "ef"),
    ("table.kind", "mbr"),
    ("table.gap", "512-1048576"),
    ("parent", "disk:0"),
];

/// Debian's package as the operator would name it.
fn lent_efi() -> MemoryVolume {
    let file =
        fs::read(format!("{DEBIAN_EFI}/grubx64.efi")).expect("cargo xtask test installs grub-efi-amd64-bin");
    MemoryVolume::new("drivers:0", &[("name", "/lent"), ("fs.kind", "iso9660")])
        .kind("drivers")
        .file("/x/monolithic/grubx64.efi", file)
}

fn menu(command: &str) -> String {
    format!(
        "menuentry 'Linux' {{\n\t{command} /boot/vmlinuz-{BUILT_IN} root=UUID=1111-root ro console=ttyS0\n}}\n",
    )
}

/// A BIOS guest that starts by GRUB 2.
fn guest() -> MemoryVolume {
    built_in(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/os-release", "ID=debian\n")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
        .file("/boot/grub/grub.cfg", menu("linux16"))
        .file("/boot/grub/i386-pc/normal.mod", "")
        .file("/bin/sh", elf64())
}

/// The head of a program for x86_64, by which the architecture is told.
fn elf64() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    bytes
}

fn partitions(tree: &MemoryTree, profile: &DeviceProfile) -> Vec<(String, String, Option<String>)> {
    identify(tree);
    let wanted = Linux::partitions(tree, profile, &[]).expect("answers");
    wanted.into_iter().map(|one| (one.disk, one.purpose, one.file_system)).collect()
}

fn blocked(tree: &MemoryTree, profile: &DeviceProfile) -> Vec<String> {
    identify(tree);
    let adaptation = Linux::adapt(tree, profile, &[]).expect("adapts");
    concerns(&adaptation).into_iter().filter(|one| one.starts_with("blocking")).collect()
}

#[test]
fn an_esp_is_asked_for_only_where_it_is_needed() {
    let wanted = [("disk:0".to_owned(), "efi-system".to_owned(), Some("vfat".to_owned()))];
    assert_eq!(partitions(&tree(guest(), vec![lent_efi()]), &virtio_uefi()), wanted);
    // BIOS as before, nothing lent, one is there, nothing that a shim could start
    assert_eq!(partitions(&tree(guest(), vec![lent_efi()]), &virtio()), []);
    assert_eq!(partitions(&tree(guest(), Vec::new()), &virtio_uefi()), []);
    let there = tree(guest(), vec![MemoryVolume::new("mbr:2", ESP_MBR), lent_efi()]);
    assert_eq!(partitions(&there, &virtio_uefi()), []);
    let secure = DeviceProfile { firmware: "uefi-secure-boot".into(), ..virtio() };
    let unsigned = tree(guest(), vec![lent_efi()]);
    assert_eq!(partitions(&unsigned, &secure), []);
    assert_eq!(blocked(&unsigned, &secure), ["blocking linux.firmware.mismatch"]);
    let signed = MemoryVolume::new("drivers:0", &[("fs.kind", "iso9660")]).kind("drivers");
    let signed = signed.file("/shimx64.efi.signed", "shim").file("/grubx64.efi.signed", "grub");
    assert_eq!(partitions(&tree(guest(), vec![signed]), &secure), wanted);
}

#[test]
fn grub_of_the_operator_in_a_new_esp() {
    let tree = tree(guest(), vec![MemoryVolume::new("mbr:2", ESP_MBR), lent_efi()]);
    let (adaptation, edits) = adapt(&tree, &virtio_uefi(), &[]);
    assert_eq!(concerns(&adaptation), Vec::<String>::new());
    let done: Vec<String> = edits.iter().map(|edit| format!("{} {}", edit.action, edit.object)).collect();
    same(
        &done,
        &[
            "make-directory /boot/efi",
            "write /boot/grub/grub.cfg",
            "make-directory /boot/efi/EFI",
            "make-directory /boot/efi/EFI/BOOT",
            "write /boot/efi/EFI/BOOT/grub.cfg",
            "make-directory /boot/efi/EFI/debian",
            "write /boot/efi/EFI/debian/grub.cfg",
            "write /boot/efi/EFI/BOOT/BOOTX64.EFI",
            "write /etc/fstab",
        ],
    );
    assert_eq!(tree.text("/boot/grub/grub.cfg"), menu("linux"));
    let stub = "search --no-floppy --fs-uuid --set=root 1111-root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n";
    assert_eq!(tree.text("/boot/efi/EFI/debian/grub.cfg"), stub, "where the image looks by itself");
    assert_eq!(
        tree.text("/etc/fstab"),
        "UUID=1111-root / ext4 defaults 0 1\nUUID=ABCD-0001 /boot/efi vfat umask=0077,nofail 0 0\n"
    );
}

#[test]
fn a_menu_of_another_loader() {
    let legacy = format!(
        "default 1\ntitle Old\n\tkernel /boot/vmlinuz-gone root=/dev/sda1\ntitle It's new\n\troot (hd0,0)\n\tkernel /boot/vmlinuz-{BUILT_IN} root=/dev/sda1 ro console=ttyS0 x=a;b\n"
    );
    let root = built_in(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/os-release", "ID=debian\n")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
        .file("/boot/grub/menu.lst", legacy)
        .file("/boot/grub/stage2", "");
    let tree = tree(root, vec![MemoryVolume::new("mbr:2", ESP_MBR), lent_efi()]);
    let (adaptation, _) = adapt(&tree, &virtio_uefi(), &[]);
    assert!(
        adaptation
            .notes
            .iter()
            .any(|note| note.contains("/boot/grub/grub.cfg was made of the guest's own menu"))
    );
    let text = format!(
        "# Entries of the guest's own menus; later kernels are not added.\nset default=0\nset timeout=5\nmenuentry 'It'\\''s new' {{\n\tsearch --no-floppy --fs-uuid --set=root 1111-root\n\tlinux /boot/vmlinuz-{BUILT_IN} root=PARTUUID=cafe-01 ro console=ttyS0 'x=a;b'\n}}\n"
    );
    assert_eq!(tree.text("/boot/grub/grub.cfg"), text);
}

#[test]
fn what_cannot_start_on_uefi() {
    let esp = || vec![MemoryVolume::new("mbr:2", ESP_MBR), lent_efi()];
    let without =
        guest().file(&format!("/boot/config-{BUILT_IN}"), "CONFIG_X86=y\n# CONFIG_EFI is not set\n");
    assert_eq!(blocked(&tree(without, esp()), &virtio_uefi()), ["blocking linux.firmware.kernel"]);
    let mut small = elf64();
    (small[4], small[18]) = (1, 3);
    let i386 = guest().file("/bin/sh", small);
    assert_eq!(blocked(&tree(i386, esp()), &virtio_uefi()), ["blocking linux.firmware.architecture"]);
    let full = vec![MemoryVolume::new("mbr:2", ESP_MBR).room(1000), lent_efi()];
    assert_eq!(blocked(&tree(guest(), full), &virtio_uefi()), ["blocking linux.efi.no-room"]);
    let none = tree(guest(), vec![lent_efi()]);
    assert_eq!(blocked(&none, &virtio_uefi()), ["blocking linux.firmware.no-esp"]);
}
