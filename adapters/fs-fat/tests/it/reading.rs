//! What the tools wrote, read by the adapter.

use crate::lab::{Lab, SHAPES, read};
use fs_fat::Fat;
use std::process::Command;
use wherry_sdk::testing::filesystem::{Contents, assert_same, copy_used, used};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, run};
use wherry_sdk::{Blob, ErrorKind, FileSystem, Kind, find};

/// Names of every sort, an empty file, one over many clusters, and a directory over several.
pub fn sample() -> Contents {
    let mut random = Random::new(7);
    let mut tree = Contents::new();
    for (path, length) in [
        ("/EFI/BOOT/BOOTX64.EFI", 100_000),
        ("/EFI/debian/grub.cfg", 117),
        ("/README.TXT", 512),
        ("/a name with blanks.and.dots", 513),
        ("/Ünïcödé 日本.txt", 1),
        ("/empty", 0),
    ] {
        tree.insert(path.into(), Some(random.bytes(length)));
    }
    for directory in ["/EFI", "/EFI/BOOT", "/EFI/debian", "/nothing", "/many"] {
        tree.insert(directory.into(), None);
    }
    for number in 0..60 {
        let path = format!("/many/a rather long file name, number {number}.conf");
        tree.insert(path, Some(random.bytes(number * 3)));
    }
    tree.insert(format!("/{}", "x".repeat(255)), Some(b"longest".to_vec()));
    tree
}

#[test]
fn trees_made_by_mtools() {
    for (arguments, kib) in SHAPES {
        let lab = Lab::new(arguments, kib);
        lab.fill(&sample());
        let blob = FileBlob::open(&lab.image).unwrap();
        let identity = Fat::probe(&blob).unwrap().unwrap();
        assert_eq!(identity.kind, "vfat");
        assert_eq!(identity.uuid.as_deref(), Some("5EE0-5EE0"));
        assert_eq!(identity.label.as_deref(), Some("VOYAGE"));
        assert_eq!(find(&identity.facts, "fat.bits"), Some(arguments[1]));
        assert!(identity.clean && identity.size <= kib << 10);
        let mut fat = Fat::mount(Box::new(blob), false).unwrap();
        assert_same(&read(&mut fat), &sample(), "all of it");
    }
}

#[test]
fn names_in_any_case_and_short() {
    let lab = Lab::new(&["-F", "16"], 9000);
    lab.fill(&sample());
    let (_, mut fat) = lab.mount();
    let id = fat.stat("/EFI/BOOT/BOOTX64.EFI").unwrap().id;
    assert_eq!(fat.stat("/efi/boot/bootx64.efi").unwrap().id, id);
    let unicode = fat.stat("/Ünïcödé 日本.txt").unwrap();
    assert_eq!(fat.stat("/üNÏCÖDÉ 日本.TXT").unwrap().id, unicode.id);
    let blanks = fat.stat("/a name with blanks.and.dots").unwrap();
    assert_eq!(fat.stat("/ANAMEW~1.DOT").unwrap().id, blanks.id);
    assert_eq!((blanks.kind, blanks.size, blanks.mode, blanks.uid), (Kind::File, 513, 0o644, 0));
    assert_eq!(fat.stat("/").unwrap().kind, Kind::Directory);
    for (path, kind) in [
        ("/none", ErrorKind::NotFound),
        ("/none/below", ErrorKind::NotFound),
        ("/README.TXT/below", ErrorKind::InvalidInput),
        ("/EFI/../README.TXT", ErrorKind::InvalidInput),
        ("relative", ErrorKind::InvalidInput),
        ("/VOYAGE", ErrorKind::NotFound),
    ] {
        assert_eq!(fat.stat(path).unwrap_err().kind, kind, "{path}");
    }
    assert_eq!(fat.read("/EFI", 0, 1).unwrap_err().kind, ErrorKind::InvalidInput);
    assert_eq!(fat.read_link("/README.TXT").unwrap_err().kind, ErrorKind::InvalidInput);
    assert_eq!(fat.read("/README.TXT", 500, 100).unwrap().len(), 12);
    assert_eq!(fat.read("/README.TXT", u64::MAX, 100).unwrap().len(), 0);
    // Backwards, so that no chain can be followed on.
    let whole = sample()["/EFI/BOOT/BOOTX64.EFI"].clone().unwrap();
    for at in (0..100_000usize).step_by(4999).rev() {
        assert_eq!(fat.read("/EFI/BOOT/BOOTX64.EFI", at as u64, 10).unwrap(), whole[at..][..10]);
    }
}

/// mtools stores the local time; the adapter calls it UTC.
#[test]
fn times_and_read_only() {
    let lab = Lab::new(&["-F", "12"], 2000);
    let file = lab.folder.path().join("old");
    std::fs::write(&file, "x").unwrap();
    run(Command::new("touch").args(["-d", "2001-02-03T04:05:06Z"]).arg(&file).env("TZ", "UTC"));
    let image = lab.image.to_str().unwrap();
    run(Command::new("mcopy").env("TZ", "UTC").args(["-m", "-i", image]).arg(&file).arg("::/OLD.TXT"));
    run(Command::new("mattrib").args(["-i", image, "+r", "::/OLD.TXT"]));
    let (_, mut fat) = lab.mount();
    let meta = fat.stat("/old.txt").unwrap();
    assert_eq!((meta.mtime, meta.mode), (981_173_106, 0o444));
}

#[test]
fn what_is_not_fat() {
    let probe = |bytes: &[u8]| Fat::probe(&MemoryBlob::read_only(bytes)).unwrap();
    let mut mbr = vec![0; 1 << 20];
    mbr[..3].copy_from_slice(&[0xeb, 0x63, 0x90]);
    mbr[446 + 4] = 0x83;
    mbr[446 + 12] = 1;
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert!(probe(&mbr).is_none());
    for size in [0, 511, 512, 4096] {
        assert!(probe(&vec![0; size]).is_none());
        assert!(probe(&vec![0xff; size]).is_none());
    }
    // The numbers that an NTFS boot sector bears: no reserved sectors, no tables.
    let mut ntfs = mbr.clone();
    ntfs[3..11].copy_from_slice(b"NTFS    ");
    ntfs[11..14].copy_from_slice(&[0, 2, 8]);
    ntfs[21] = 0xf8;
    assert!(probe(&ntfs).is_none());
    let lab = Lab::new(&["-F", "16"], 9000);
    let fat = std::fs::read(&lab.image).unwrap();
    assert!(probe(&fat).is_some());
    for maker in [b"NTFS    ", b"EXFAT   ", b"-FVE-FS-"] {
        let mut other = fat.clone();
        other[3..11].copy_from_slice(maker);
        assert!(probe(&other).is_none());
    }
    let mut encrypted = fat.clone();
    let to_go = wherry_sdk::image::Uuid::parse("4967d63b-2e29-4ad8-8399-f6a339e3d001").unwrap();
    encrypted[424..440].copy_from_slice(&to_go.guid());
    assert!(probe(&encrypted).is_none(), "BitLocker To Go");
    assert!(probe(&fat[..fat.len() / 2]).is_none(), "longer than its device");
    let error = Fat::mount(Box::new(MemoryBlob::new(mbr)), false).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Corrupt);
}

/// Labels and marks that mkfs.vfat does not make.
#[test]
fn labels_and_dirty_marks() {
    for (arguments, label_at, state_at, table_bit) in [
        (&["-F", "16"], 43, 37, Some((3, 0x80))),
        (&["-F", "32"], 71, 65, Some((7, 0x08))),
        (&["-F", "12"], 43, 37, None),
    ] {
        let lab = Lab::new(arguments, if arguments[1] == "32" { 36_000 } else { 9000 });
        run(Command::new("mlabel").arg("-i").arg(&lab.image).arg("::ROOTLABEL"));
        let mut bytes = std::fs::read(&lab.image).unwrap();
        let identity = |bytes: &[u8]| Fat::probe(&MemoryBlob::read_only(bytes)).unwrap().unwrap();
        bytes[label_at..label_at + 11].copy_from_slice(b"BOOTLABEL  ");
        assert_eq!(identity(&bytes).label.as_deref(), Some("ROOTLABEL"));
        let root = bytes.windows(11).rposition(|window| window == b"ROOTLABEL  ").unwrap();
        bytes[root] = 0xe5;
        assert_eq!(identity(&bytes).label.as_deref(), Some("BOOTLABEL"));
        bytes[label_at..label_at + 11].copy_from_slice(b"NO NAME    ");
        assert_eq!(identity(&bytes).label, None);
        assert!(identity(&bytes).clean);
        let mut dirty = bytes.clone();
        dirty[state_at] |= 1;
        assert!(!identity(&dirty).clean);
        if let Some((at, bit)) = table_bit {
            let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
            bytes[table + at] &= !bit;
            assert!(!identity(&bytes).clean);
        }
    }
}

/// Free clusters are left out, everything else is in; pages of any size say the same.
#[test]
fn used_ranges() {
    for (arguments, kib) in SHAPES.into_iter().filter(|(_, kib)| *kib < 100_000) {
        let lab = Lab::new(arguments, kib);
        lab.fill(&sample());
        let image = lab.image.to_str().unwrap();
        for name in ["::/README.TXT", "::/EFI/debian/grub.cfg"] {
            run(Command::new("mdel").args(["-i", image, name]));
        }
        let (blob, mut fat) = lab.mount();
        let all = fat.used(0, u32::MAX).unwrap();
        assert_eq!(used(&mut fat, blob.size(), 1).unwrap(), all);
        assert!(all.windows(2).all(|pair| pair[0].offset + pair[0].length < pair[1].offset));
        let bytes: u64 = all.iter().map(|range| range.length).sum();
        let room = fat.room().unwrap();
        assert_eq!(bytes + room.free, blob.size(), "{arguments:?}");
        assert!(fat.used(0, 0).unwrap().is_empty());
        // A copy of nothing but these ranges is the same volume.
        let copy = lab.folder.path().join("copy");
        copy_used(&lab.image, &copy, &all);
        run(Command::new("/usr/sbin/fsck.fat").arg("-n").arg(&copy));
        let mut fat = Fat::mount(Box::new(FileBlob::open(&copy).unwrap()), false).unwrap();
        let mut expected = sample();
        expected.remove("/README.TXT");
        expected.remove("/EFI/debian/grub.cfg");
        assert_same(&read(&mut fat), &expected, "the copy");
    }
}
