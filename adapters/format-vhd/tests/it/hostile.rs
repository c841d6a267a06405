//! Damaged and malicious images.

use crate::exercise::exercise;
use format_vhd::Vhd;
use std::panic::catch_unwind;
use tempfile::tempdir;
use wherry_sdk::testing::damage;
use wherry_sdk::testing::image::{Pattern, SparseDisk, run, text};

const MIB: u64 = 1 << 20;

/// Ours, one by QEMU, and a fixed one.
fn images() -> [Vec<u8>; 3] {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vhd");
    SparseDisk::new(20 * MIB + 512, Pattern::LastSector, 1).write_image::<Vhd>(&path, &[]);
    let ours = std::fs::read(&path).unwrap();
    SparseDisk::new(300 << 10, Pattern::Dense, 1).write_image::<Vhd>(&path, &[("subformat", "fixed")]);
    let fixed = std::fs::read(&path).unwrap();
    run("qemu-img", &["create", "-q", "-f", "vpc", text(&path), "9M"]);
    run("qemu-io", &["-f", "vpc", "-c", "write -P 1 3M 70k", text(&path)]);
    [ours, std::fs::read(&path).unwrap(), fixed]
}

/// Footers and headers with wrong sums go no further, so they get right ones.
fn seal(image: &mut [u8]) {
    let end = image.len() - 512;
    for (from, length, at) in [(0, 512, 64), (512, 1024, 36), (end, 512, 64)] {
        let part = &mut image[from..from + length];
        part[at..at + 4].fill(0);
        let sum = !part.iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        part[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

#[test]
fn damaged_tables_never_break_the_reader() {
    let images = images();
    let mut opened = 0;
    for seed in 0..900 {
        let mut image = images[seed as usize % 3].clone();
        let end = image.len();
        let (start, length) =
            [(8, 80), (512, 700), (1536, 80), (end - 504, end - 420)][seed as usize / 3 % 4];
        damage(&mut image, start, length, seed);
        seal(&mut image);
        let outcome = catch_unwind(|| exercise(&image));
        opened += u32::from(outcome.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert!((100..900).contains(&opened), "{opened} of 900 could be opened");
}

#[test]
fn truncated_images_never_break_the_reader() {
    for image in images() {
        assert!(exercise(&image));
        for length in (0..1700).chain((1700..image.len()).step_by(image.len() / 30)) {
            exercise(&image[..length]);
        }
    }
}

#[test]
fn absurd_tables_end_in_errors() {
    let [_, image, _] = images();
    // Offsets of the header, entries, block size, table offset, table entry.
    let cases: &[(usize, &[u8])] = &[
        (16, &[0xff; 8]),
        (16, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (48, &[0xff; 8]),
        (512 + 16, &[0xff; 8]),
        (512 + 28, &[0xff; 4]),
        (512 + 28, &[0; 4]),
        (512 + 32, &[0xff; 4]),
        (512 + 32, &[0; 4]),
        (512 + 32, &[0, 0, 0, 3]),
        (1536, &[0xff, 0xff, 0xff, 0xfe]),
        (1540, &[0, 0, 0, 0]),
    ];
    for (at, bytes) in cases {
        let mut image = image.clone();
        image[*at..at + bytes.len()].copy_from_slice(bytes);
        let copy = image[..512].to_vec();
        let end = image.len() - 512;
        image[end..].copy_from_slice(&copy);
        seal(&mut image);
        exercise(&image);
    }
}
