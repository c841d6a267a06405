//! Damaged volumes, deterministic by seed.

use crate::exercise::exercise;
use crate::lab::Lab;
use crate::reading::sample;
use fs_fat::Fat;
use wherry_sdk::testing::{MemoryBlob, Random, damage};
use wherry_sdk::{ErrorKind, FileSystem};

/// Small volumes of each kind, and how many bytes of metadata they start with.
fn volumes() -> Vec<(Vec<u8>, usize)> {
    [(["-F", "12"], 1200, 40_000), (["-F", "16"], 2500, 60_000), (["-F", "32"], 1500, 60_000)]
        .into_iter()
        .map(|(arguments, kib, metadata)| {
            let lab = Lab::new(&[&arguments[..], &["-s", "1"]].concat(), kib);
            let mut tree = sample();
            // A directory over several clusters, but not one that takes all the time.
            tree.retain(|path, _| !path.starts_with("/many/") || path.contains("number 1"));
            lab.fill_with_adapter(&tree);
            (std::fs::read(&lab.image).unwrap(), metadata)
        })
        .collect()
}

#[test]
fn damaged_volumes() {
    for (number, (whole, metadata)) in (0..).zip(volumes()) {
        for seed in 0..200 {
            let mut bytes = whole.clone();
            // Mostly in the boot sector, the tables and the directories, which come first.
            let (from, to) = match seed % 4 {
                0 => (11, 90),
                1 => (512, metadata / 3),
                2 => (metadata / 3, metadata),
                _ => (0, bytes.len()),
            };
            damage(&mut bytes, from, to, seed + number * 1000);
            exercise(&bytes);
        }
    }
}

/// Short names' slots, aimed at: first clusters, sizes, attributes.
#[test]
fn damaged_entries() {
    for (number, (whole, _)) in (0..).zip(volumes()) {
        let slots: Vec<usize> = (0..whole.len() - 32)
            .step_by(32)
            .filter(|at| {
                matches!(whole[at + 11], 0x10 | 0x20) && whole[*at].is_ascii_graphic() && whole[at + 12] == 0
            })
            .collect();
        assert!(slots.len() > 20);
        let mut random = Random::new(number);
        for _ in 0..100 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = slots[random.below(slots.len() as u64) as usize];
                let other = slots[random.below(slots.len() as u64) as usize];
                match random.below(4) {
                    // Another entry's clusters: chains cross, directories lie within themselves.
                    0 => bytes.copy_within(other + 26..other + 28, at + 26),
                    1 => bytes[at + 11] ^= 0x10,
                    2 => bytes[at + 28..at + 32].copy_from_slice(&(random.next_u64() as u32).to_le_bytes()),
                    _ => bytes[at + 26] = random.next_u64() as u8,
                }
            }
            exercise(&bytes);
        }
    }
}

/// Circles, each by hand: a file's chain, a directory's chain, a directory that holds itself.
#[test]
fn circles() {
    let (whole, _) = volumes().remove(1);
    let number = |at: usize| usize::from(u16::from_le_bytes([whole[at], whole[at + 1]]));
    let slot = |name: &[u8; 11]| whole.windows(11).position(|window| window == name).unwrap();
    let first = |name| number(slot(name) + 26);
    let table = |cluster: usize| number(14) * 512 + cluster * 2;
    let refused = |bytes: &[u8], message: &str| {
        let e = Fat::mount(Box::new(MemoryBlob::new(bytes)), true).err().unwrap();
        assert!(e.kind == ErrorKind::Corrupt && e.message.contains(message), "{e:?}");
        Fat::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap()
    };

    let mut bytes = whole.clone();
    let loader = first(b"BOOTX64 EFI");
    bytes[table(loader + 1)..][..2].copy_from_slice(&(loader as u16).to_le_bytes());
    exercise(&bytes);
    let mut fat = refused(&bytes, "goes in circles");
    assert_eq!(fat.read("/EFI/BOOT/BOOTX64.EFI", 99_000, 5000).unwrap().len(), 1000);

    let mut bytes = whole.clone();
    let many = first(b"MANY       ");
    bytes[table(many)..][..2].copy_from_slice(&(many as u16).to_le_bytes());
    exercise(&bytes);
    let mut fat = refused(&bytes, "goes in circles");
    assert_eq!(fat.entries("/many", 0, 9).unwrap_err().kind, ErrorKind::Corrupt);

    let mut bytes = whole.clone();
    bytes.copy_within(slot(b"EFI        ") + 26..slot(b"EFI        ") + 28, slot(b"BOOT       ") + 26);
    exercise(&bytes);
    let mut fat = refused(&bytes, "two chains");
    let e = fat.stat("/EFI/BOOT/BOOT/BOOT").unwrap_err();
    assert!(e.kind == ErrorKind::Corrupt && e.message.contains("lies within itself"), "{e:?}");
}

#[test]
fn truncated_volumes() {
    let (whole, _) = volumes().remove(0);
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        exercise(&whole[..length]);
    }
    // Its own end is believed, not the device's.
    for length in (0..whole.len()).step_by(whole.len() / 20) {
        let mut bytes = whole[..length].to_vec();
        if bytes.len() > 512 {
            bytes[19..21].copy_from_slice(&((length / 512) as u16).to_le_bytes());
        }
        exercise(&bytes);
    }
}

/// Found by fuzzing: `..` was written into whatever the second slot of a moved directory held.
#[test]
fn a_directory_without_dots_is_moved_without_harm() {
    let lab = Lab::new(&["-F", "12", "-s", "1"], 100);
    let tree = [("/a", None), ("/a/b", None), ("/a/b/FILE.TXT", Some(vec![7; 98]))];
    lab.fill_with_adapter(&tree.map(|(path, content)| (path.to_owned(), content)).into());
    let mut bytes = std::fs::read(&lab.image).unwrap();
    let at = |name: &[u8]| bytes.windows(11).rposition(|window| window == name).unwrap();
    let (dots, file) = (at(b"..         "), at(b"FILE    TXT"));
    bytes.copy_within(file..file + 32, dots);
    bytes[file] = 0xe5;
    let blob = MemoryBlob::new(bytes);
    let mut fat = Fat::mount(Box::new(blob.clone()), true).unwrap();
    fat.rename("/a/b", "/moved").unwrap();
    fat.sync().unwrap();
    let mut fat = Fat::mount(Box::new(blob), true).unwrap();
    assert_eq!(fat.read("/moved/FILE.TXT", 0, 100).unwrap(), [7; 98]);
}

/// Found by fuzzing: eleven blanks gave an empty name.
#[test]
fn a_name_of_blanks_is_shown_as_one_that_no_path_can_hold() {
    let lab = Lab::new(&["-F", "12", "-s", "1"], 100);
    lab.fill_with_adapter(&[("/FILE.TXT".to_owned(), Some(vec![7; 98]))].into());
    let mut bytes = std::fs::read(&lab.image).unwrap();
    let at = bytes.windows(11).position(|window| window == b"FILE    TXT").unwrap();
    bytes[at..at + 11].fill(b' ');
    exercise(&bytes);
    let mut fat = Fat::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap();
    assert_eq!(fat.entries("/", 0, 10).unwrap().entries[0].name, "\u{fffd}");
}
