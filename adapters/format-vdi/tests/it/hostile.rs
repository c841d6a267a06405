//! Damaged and malicious images.

use crate::exercise::exercise;
use format_vdi::Vdi;
use std::panic::catch_unwind;
use tempfile::tempdir;
use wherry_sdk::testing::image::{Pattern, SparseDisk, run, text};
use wherry_sdk::testing::{MemoryBlob, damage};
use wherry_sdk::{DiskFormat, ErrorKind, FormatReader};

const MIB: u64 = 1 << 20;

/// Ours, a fixed one by QEMU, and one with a parent.
fn images() -> [Vec<u8>; 3] {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vdi");
    SparseDisk::new(20 * MIB + 512, Pattern::LastSector, 1).write_image::<Vdi>(&path, &[]);
    let ours = std::fs::read(&path).unwrap();
    run("qemu-img", &["create", "-q", "-f", "vdi", "-o", "static=on", text(&path), "700k"]);
    let fixed = std::fs::read(&path).unwrap();
    let mut difference = ours.clone();
    (difference[0x4c], difference[0x1a8]) = (4, 1);
    [ours, fixed, difference]
}

#[test]
fn damaged_tables_never_break_the_reader() {
    let images = images();
    let mut opened = 0;
    for seed in 0..900 {
        let mut image = images[seed as usize % 3].clone();
        let start = [0x40, 0x150, 0x1f8][seed as usize / 3 % 3];
        damage(&mut image, start, 512 + 84, seed);
        let outcome = catch_unwind(|| exercise(&image));
        opened += u32::from(outcome.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert!((200..900).contains(&opened), "{opened} of 900 could be opened");
}

#[test]
fn truncated_images_never_break_the_reader() {
    for image in images() {
        assert!(exercise(&image));
        for length in (0..700).chain((700..image.len()).step_by(image.len() / 30)) {
            exercise(&image[..length]);
        }
    }
}

#[test]
fn absurd_headers_and_maps_are_refused() {
    let [ours, ..] = images();
    let cases: &[(&str, usize, &[u8])] = &[
        ("signature", 0x40, &[0]),
        ("version 1.2", 0x44, &[2]),
        ("header of 383 bytes", 0x48, &[0x7f, 1]),
        ("image type 5", 0x4c, &[5]),
        ("whole sectors", 0x154, &[1]),
        ("whole sectors", 0x154, &[0, 0]),
        ("the block map ends", 0x158, &[0, 2, 0, 0]),
        ("sectors of 4096", 0x168, &[0, 16]),
        ("do not hold a disk", 0x170, &[0xff; 8]),
        ("do not hold a disk", 0x180, &[1]),
        ("do not hold a disk", 0x180, &[0xff; 4]),
        ("a power of two", 0x178, &[1]),
        ("a power of two", 0x178, &[0; 4]),
        ("the block map ends", 0x180, &[0xff, 0xff, 0xff, 0x1f]),
        ("stored block 255", 512, &[255, 0, 0, 0]),
        ("stored block 4294967293", 512, &[0xfd, 0xff, 0xff, 0xff]),
    ];
    for (words, at, bytes) in cases {
        let mut image = ours.clone();
        image[*at..at + bytes.len()].copy_from_slice(bytes);
        exercise(&image);
        let opened = <Vdi as DiskFormat>::Reader::open(vec![Box::new(MemoryBlob::read_only(image))]);
        let error = opened.and_then(|mut reader| reader.extents(0, 100)).expect_err(words);
        assert!(matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported), "{error:?}");
        assert!(error.message.contains(words), "`{words}` is not in `{}`", error.message);
    }
}

/// Found by fuzzing: where block 4294967293 of the largest size would be is no number of 64 bits.
#[test]
fn a_block_beyond_all_numbers_is_refused() {
    let [mut image, ..] = images();
    image[0x178..0x180].copy_from_slice(&[0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff]);
    image[512..516].copy_from_slice(&[0xfd, 0xff, 0xff, 0xff]);
    assert!(exercise(&image));
}
