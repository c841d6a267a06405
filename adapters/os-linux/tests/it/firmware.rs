//! Changes of firmware with what the operator lends.

use crate::core_image;
use crate::golden::Guest;
use crate::lent_exercise::{exercise, small_bios};
use crate::system::*;
use os_linux::Linux;
use std::fs;
use wherry_sdk::testing::{MemoryTree, MemoryVolume, Random, damage};
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

const ESP_GPT: &[(&str, &str)] = &[
    ("fs.kind", "vfat"),
    ("fs.uuid", "ABCD-0001"),
    ("disk.index", "0"),
    ("partition.number", "1"),
    ("partition.type", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    ("table.kind", "gpt"),
    ("parent", "disk:0"),
];
const ROOT_GPT: &[(&str, &str)] = &[
    ("fs.kind", "ext4"),
    ("fs.uuid", "1111-root"),
    ("disk.index", "0"),
    ("partition.number", "2"),
    ("partition.uuid", "cafe-02"),
    ("table.kind", "gpt"),
    ("parent", "disk:0"),
];
const BIOS_BOOT: &[(&str, &str)] = &[
    ("disk.index", "0"),
    ("partition.number", "3"),
    ("partition.type", "21686148-6449-6e6f-744e-656564454649"),
    ("partition.offset", "1048576"),
    ("table.kind", "gpt"),
    ("parent", "disk:0"),
];

/// Debian's package as the operator would name it.
fn lent_bios() -> MemoryVolume {
    let lent = MemoryVolume::new("drivers:0", &[("fs.kind", "iso9660")]).kind("drivers");
    lent.folder("/usr/lib/grub/i386-pc", core_image::FOLDER).expect("cargo xtask test installs grub-pc-bin")
}

/// A guest that starts by GRUB on UEFI, and its EFI system partition.
fn uefi() -> (MemoryVolume, MemoryVolume) {
    let root = built_in(MemoryVolume::new("gpt:2", ROOT_GPT))
        .file("/etc/os-release", "ID=debian\n")
        .file(
            "/etc/fstab",
            "UUID=1111-root / ext4 defaults 0 1\nUUID=ABCD-0001 /boot/efi vfat defaults 0 1\n",
        )
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
        .file("/boot/grub/grub.cfg", menu("linuxefi"))
        .directory("/boot/efi");
    (root, MemoryVolume::new("gpt:1", ESP_GPT).file("/EFI/debian/grubx64.efi", "x"))
}

/// Offset and bytes of each piece of the boot code.
fn boot_code(edits: &[wherry_sdk::testing::Edit], lengths: [usize; 2]) -> Vec<(u64, Vec<u8>)> {
    let edit = edits.iter().find(|edit| edit.action == "write-boot-code").expect("is written");
    assert_eq!(edit.object, "disk:0");
    let mut rest = edit.after.as_deref().unwrap();
    let mut pieces = Vec::new();
    for length in [lengths[0], lengths[1], usize::MAX] {
        let (offset, after) = rest.split_at(8);
        let (bytes, after) = after.split_at(length.min(after.len()));
        pieces.push((u64::from_le_bytes(offset.try_into().unwrap()), bytes.to_vec()));
        rest = after;
    }
    pieces
}

#[test]
fn from_uefi_to_bios() {
    let (root, esp) = uefi();
    let wanted = [("disk:0".to_owned(), "bios-boot".to_owned(), None)];
    assert_eq!(partitions(&tree(root.clone(), vec![esp.clone(), lent_bios()]), &virtio()), wanted);
    assert_eq!(partitions(&tree(root.clone(), vec![esp.clone()]), &virtio()), []);
    assert_eq!(partitions(&tree(root.clone(), vec![esp.clone(), lent_bios()]), &virtio_uefi()), []);
    let none = tree(root.clone(), vec![esp.clone(), lent_bios()]);
    assert_eq!(blocked(&none, &virtio()), ["blocking linux.firmware.no-gap"]);
    let reserved = MemoryVolume::new("gpt:3", BIOS_BOOT);
    let tree = tree(root, vec![esp, reserved, lent_bios()]);
    assert_eq!(partitions(&tree, &virtio()), []);
    let (adaptation, edits) = adapt(&tree, &virtio(), &[]);
    assert_eq!(concerns(&adaptation), Vec::<String>::new());
    assert_eq!(tree.text("/boot/grub/grub.cfg"), menu("linux"));
    let pieces = boot_code(&edits, [3, 440 - 0x5a]);
    let places: Vec<u64> = pieces.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(places, [0, 0x5a, 1 << 20]);
    assert_eq!(pieces[1].1[2..10], 2048u64.to_le_bytes());
    let objects = core_image::unpacked(&pieces[2].1);
    let has = |text: &str| objects.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(has("search.fs_uuid 1111-root root\nset prefix=($root)'/boot/grub'\n\0"));
    // every module that the menu could ask for
    let modules = edits.iter().filter(|edit| edit.object.starts_with("/boot/grub/i386-pc/")).count();
    let whole = fs::read_dir(core_image::FOLDER).unwrap().filter(|one| {
        let name = one.as_ref().unwrap().file_name().into_string().unwrap();
        name.ends_with(".mod") || name.ends_with(".lst")
    });
    assert_eq!(modules, whole.count());
}

/// Its host read the menu; the first partition begins behind one track.
fn pygrub(gap: &str) -> MemoryVolume {
    built_in(MemoryVolume::new("mbr:1", ROOT).fact("table.kind", "mbr").fact("table.gap", gap))
        .file("/etc/os-release", "ID=debian\n")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
        .file("/boot/grub/menu.lst", format!("default 0\ntitle Debian\nroot (hd0,0)\nkernel /boot/vmlinuz-{BUILT_IN} root=/dev/xvda1 ro console=hvc0\n"))
}

#[test]
fn boot_code_for_a_guest_of_pygrub() {
    let tree = tree(pygrub("512-32256"), vec![lent_bios()]);
    assert_eq!(partitions(&tree, &virtio()), []);
    let (adaptation, edits) = adapt(&tree, &virtio(), &[]);
    assert_eq!(concerns(&adaptation), Vec::<String>::new());
    let pieces = boot_code(&edits, [3, 440 - 0x5a]);
    assert_eq!(pieces[2].0, 512);
    assert!(pieces[2].1.len() <= 62 * 512);
    let text = tree.text("/boot/grub/grub.cfg");
    assert!(
        text.contains(&format!("\tlinux /boot/vmlinuz-{BUILT_IN} root=PARTUUID=cafe-01 ro console=tty0\n")),
        "{text}"
    );
}

#[test]
fn no_room_for_boot_code() {
    let none = "blocking linux.boot-loader.none";
    assert_eq!(blocked(&tree(pygrub("512-32256"), Vec::new()), &virtio()), [none]);
    let small = tree(pygrub("512-16384"), vec![lent_bios()]);
    assert_eq!(blocked(&small, &virtio()), ["blocking linux.firmware.no-gap"]);
    let full = tree(pygrub("512-32256").room(1 << 20), vec![lent_bios()]);
    assert_eq!(blocked(&full, &virtio()), ["blocking linux.boot.no-room"]);
    // a file system on the whole disk
    let whole = tree(pygrub("512-32256").fact("parent", "none"), vec![lent_bios()]);
    assert_eq!(blocked(&whole, &virtio()), ["blocking linux.firmware.no-gap"]);
    // GRUB asks for no passphrase here
    let root = pygrub("512-32256").kind("logical-volume").fact("parent", "luks:1");
    let luks = MemoryVolume::new("luks:1", &[("parent", "mbr:2")]).kind("decrypted");
    let below = [("disk.index", "0"), ("table.gap", "512-32256"), ("parent", "disk:0")];
    let encrypted = tree(root, vec![MemoryVolume::new("mbr:2", &below), luks, lent_bios()]);
    assert!(blocked(&encrypted, &virtio()).contains(&"blocking linux.boot-loader.no-entry".to_owned()));
    // what was lent is no GRUB
    let empty = ["boot.img", "diskboot.img", "kernel.img", "lzma_decompress.img", "moddep.lst"];
    let lent = MemoryVolume::new("drivers:0", &[("fs.kind", "iso9660")]).kind("drivers");
    let lent = empty.into_iter().fold(lent, |lent, name| lent.file(&format!("/{name}"), "x"));
    let damaged = tree(pygrub("512-32256"), vec![lent]);
    assert_eq!(blocked(&damaged, &virtio()), ["blocking linux.boot-loader.lent"]);
}

/// For the golden files: a GRUB whose every byte is known.
fn small_lent() -> MemoryVolume {
    let lent = MemoryVolume::new("drivers:0", &[("fs.kind", "iso9660")]).kind("drivers");
    let lent = lent.file("/grubx64.efi", "x");
    small_bios().into_iter().fold(lent, |lent, (name, bytes)| lent.file(&format!("/i386-pc/{name}"), bytes))
}

pub fn bios_to_uefi() -> Guest {
    let all = vec![MemoryVolume::new("mbr:2", ESP_MBR), small_lent()];
    Guest { tree: tree(guest(), all), firmware: "uefi" }
}

pub fn uefi_to_bios() -> Guest {
    let (root, esp) = uefi();
    let all = vec![esp, MemoryVolume::new("gpt:3", BIOS_BOOT), small_lent()];
    Guest { tree: tree(root, all), firmware: "bios" }
}

pub fn pygrub_to_bios() -> Guest {
    Guest { tree: tree(pygrub("512-32256"), vec![small_lent()]), firmware: "bios" }
}

/// Deterministic by seed: lent files that mean harm, in a guest that needs them.
#[test]
fn five_hundred_lent_files() {
    let image = fs::read(format!("{DEBIAN_EFI}/grubx64.efi")).unwrap();
    let small = small_bios();
    for seed in 0..500 {
        let mut random = Random::new(seed);
        // headers, section table and the first objects of the image, or one of the small files
        let mut bytes = match random.below(2) {
            0 => image[..(120 << 10)].to_vec(),
            _ => small[random.below(small.len() as u64) as usize].1.clone(),
        };
        let end = bytes.len().min(1024);
        damage(&mut bytes, 0, end, random.next_u64());
        bytes.truncate(bytes.len() - random.below(bytes.len() as u64 / 2 + 1) as usize);
        exercise(&bytes);
    }
}
