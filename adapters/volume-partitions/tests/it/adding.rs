//! New partitions, as the real tools see the table afterwards.

use crate::disks::{GPT, Image, MBR, MIB, fdisk4096, run, sfdisk};
use crate::exercise::{add, scan};
use wherry_sdk::volume::Added;
use wherry_sdk::{ErrorKind, find};

/// The disk with the writes made.
fn written(image: &Image, added: &Added) {
    let mut bytes = image.bytes();
    for patch in &added.patches {
        let at = patch.offset as usize;
        bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    std::fs::write(image.path(), bytes).unwrap();
}

/// Longer by so many MiB, as the host makes a disk longer.
fn grown(image: &Image, more: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(image.path()).unwrap();
    file.set_len(file.metadata().unwrap().len() + more * MIB).unwrap();
}

fn sound(image: &Image) {
    let said = run("/sbin/sgdisk", &["--verify"], &image.path(), "");
    assert!(said.contains("No problems found"), "{said}");
    let said = run("/sbin/sfdisk", &["--verify", "--no-reread"], &image.path(), "");
    assert!(!said.contains("verlap") && said.contains("No errors detected"), "{said}");
}

#[test]
fn behind_the_others_on_an_mbr() {
    let image = sfdisk(64 * MIB, MBR);
    let added = add(&image.bytes(), 512, "efi-system", 33 * MIB, 40 * MIB).unwrap();
    assert_eq!((added.offset, added.length), (8 * MIB, 40 * MIB));
    written(&image, &added);
    let said = run("/sbin/sfdisk", &["--verify", "--no-reread"], &image.path(), "");
    assert!(!said.contains("verlap"), "{said}");
    let dump = run("/sbin/sfdisk", &["--dump"], &image.path(), "");
    assert!(dump.contains("start=       16384, size=       81920, type=ef"), "{dump}");
    let layout = scan(&image.bytes(), 512);
    assert!(layout.concerns.is_empty() && layout.parts.len() == 5);
    // boot code has room before the first
    assert_eq!(find(&layout.parts[0].facts, "table.gap"), Some("512-1048576"));
    let other = add(&image.bytes(), 512, "bios-boot", MIB, MIB).unwrap_err();
    assert_eq!(other.kind, ErrorKind::Unsupported);
}

#[test]
fn a_gap_ends_at_an_extended_partition() {
    let image =
        sfdisk(8 * MIB, "label: dos\ngrain: 512\nstart=63,size=8000,type=5\nstart=200,size=8,type=83\n");
    let layout = scan(&image.bytes(), 512);
    assert_eq!(find(&layout.parts[0].facts, "table.gap"), Some("512-32256"));
}

#[test]
fn no_room_and_no_entry_on_an_mbr() {
    let image = sfdisk(8 * MIB, "label: dos\nstart=1MiB,size=7MiB,type=83\n");
    let full = add(&image.bytes(), 512, "efi-system", MIB, MIB).unwrap_err();
    assert_eq!(full.kind, ErrorKind::NoSpace, "{}", full.message);
    grown(&image, 3);
    let added = add(&image.bytes(), 512, "efi-system", MIB, 3 * MIB).unwrap();
    assert_eq!((added.offset, added.length), (8 * MIB, 3 * MIB));
    let four = "label: dos\nstart=1MiB,size=1MiB\nstart=2MiB,size=1MiB\nstart=3MiB,size=1MiB\nstart=4MiB,size=1MiB\n";
    let used = add(&sfdisk(16 * MIB, four).bytes(), 512, "efi-system", MIB, MIB).unwrap_err();
    assert_eq!(used.kind, ErrorKind::Unsupported);
    assert!(used.message.contains("all four entries"), "{}", used.message);
    let empty = add(&[0; 1 << 20], 512, "efi-system", 4096, 4096).unwrap_err();
    assert_eq!(empty.kind, ErrorKind::NotFound);
}

#[test]
fn in_free_space_of_a_gpt() {
    let image = sfdisk(64 * MIB, GPT);
    let added = add(&image.bytes(), 512, "efi-system", 33 * MIB, 512 * MIB).unwrap();
    assert_eq!((added.offset, added.length), (5 * MIB, 58 * MIB));
    written(&image, &added);
    sound(&image);
    let added = add(&image.bytes(), 512, "bios-boot", 512 << 10, MIB).unwrap();
    assert_eq!((added.offset, added.length), (2 * MIB, MIB), "between the two of sfdisk");
    written(&image, &added);
    // before the backup table, where no grain fits: what sfdisk calls usable begins at the first MiB
    let added = add(&image.bytes(), 512, "bios-boot", 512 << 10, MIB).unwrap();
    assert_eq!((added.offset, added.length), (63 * MIB, MIB - 33 * 512));
    written(&image, &added);
    sound(&image);
    let said = run("/sbin/sgdisk", &["--info=4"], &image.path(), "");
    assert!(said.contains("21686148-6449-6E6F-744E-656564454649 (BIOS boot partition)"), "{said}");
    let said = run("/sbin/sgdisk", &["--info=3"], &image.path(), "");
    assert!(said.contains("C12A7328-F81F-11D2-BA4B-00A0C93EC93B (EFI system partition)"), "{said}");
    let layout = scan(&image.bytes(), 512);
    assert!(layout.concerns.is_empty() && layout.parts.len() == 5, "{:?}", layout.concerns);
    let own: Vec<_> = layout.parts.iter().filter_map(|part| find(&part.facts, "partition.uuid")).collect();
    assert!(own.iter().all(|uuid| own.iter().filter(|other| other == &uuid).count() == 1), "{own:?}");
}

#[test]
fn on_a_gpt_whose_disk_has_grown() {
    let image = sfdisk(8 * MIB, GPT);
    let full = add(&image.bytes(), 512, "efi-system", 33 * MIB, 64 * MIB).unwrap_err();
    assert_eq!(full.kind, ErrorKind::NoSpace);
    grown(&image, 66);
    let added = add(&image.bytes(), 512, "efi-system", 33 * MIB, 64 * MIB).unwrap();
    assert_eq!((added.offset, added.length), (5 * MIB, 64 * MIB));
    written(&image, &added);
    sound(&image);
    let layout = scan(&image.bytes(), 512);
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
}

#[test]
fn with_large_sectors() {
    let image = fdisk4096(64 * MIB, "g\nn\n1\n256\n+2M\nw\n");
    let added = add(&image.bytes(), 4096, "efi-system", 33 * MIB, 40 * MIB).unwrap();
    written(&image, &added);
    let layout = scan(&image.bytes(), 4096);
    assert!(layout.concerns.is_empty() && layout.parts.len() == 2, "{:?}", layout.concerns);
    let other = add(&image.bytes(), 512, "efi-system", MIB, MIB).unwrap_err();
    assert_eq!(other.kind, ErrorKind::Unsupported);
}
