//! Damaged and malicious images.

use crate::esx;
use crate::exercise::exercise;
use crate::host;
use crate::qemu;
use std::ops::Range;
use std::panic::catch_unwind;
use tempfile::tempdir;
use wherry_sdk::testing::image::{Pattern, SparseDisk, text};
use wherry_sdk::testing::{MemoryBlob, damage};
use wherry_sdk::{ErrorKind, FormatReader};

fn number(image: &[u8], at: usize, length: usize) -> u64 {
    image
        .get(at..at + length)
        .unwrap_or_default()
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A small image of each kind, and where its tables are.
fn images() -> Vec<(Vec<u8>, Vec<Range<usize>>)> {
    let disk = SparseDisk::new(5 << 20, Pattern::Scattered, 9);
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vmdk");
    let mut images = Vec::new();
    qemu::img(&["create", "-q", "-f", "vmdk", "-o", "zeroed_grain=on", text(&path), "5M"]);
    qemu::io(&path, &["write -P 1 0 200k", "write -z 1M 64k", "write -P 2 4M 1M"].map(String::from));
    images.push(std::fs::read(&path).unwrap());
    for subformat in ["monolithicSparse", "streamOptimized"] {
        host::write(&disk, &path, &[("subformat", subformat)], 0);
        images.push(std::fs::read(&path).unwrap());
    }
    let hosted = images.into_iter().map(|image| {
        let mut tables = vec![0..80, 512..900];
        let end = image.len();
        let directories = [number(&image, 48, 8), number(&image, 56, 8), number(&image, end - 1024 + 56, 8)];
        for directory in directories.map(|sector| sector.saturating_mul(512) as usize) {
            if directory > 0 && directory < end {
                let table = number(&image, directory, 4) as usize * 512;
                tables.extend([directory..directory + 32, table..table + 400]);
            }
        }
        tables.extend([end - 1536..end - 1400, end - 1024..end - 940, 65_536..65_560]);
        (image, tables)
    });
    let small = SparseDisk::new(5 << 20, Pattern::Scattered, 9);
    let mut all: Vec<(Vec<u8>, Vec<Range<usize>>)> = hosted.collect();
    all.push((esx::cowd(&small), vec![0..40, 2048..2080, 2560..6000]));
    all.push((esx::sesparse(&small), vec![0..240, 512..560, 1024..1064, 32_768..43_000]));
    let lines = "RW 8 FLAT \"a\" 0\nRW 16 SPARSE \"b\"\nRDONLY 4 ZERO";
    let descriptor = esx::descriptor("custom", lines).into_bytes();
    all.push((descriptor.clone(), vec![0..descriptor.len(), 90..200]));
    all
}

#[test]
fn damaged_images_never_break_the_reader() {
    let images = images();
    for seed in 0..1500u64 {
        let (image, tables) = &images[seed as usize % images.len()];
        let table = tables[seed as usize / images.len() % tables.len()].clone();
        let mut image = image.clone();
        damage(&mut image, table.start, table.end, seed);
        assert!(catch_unwind(|| exercise(&image)).is_ok(), "seed {seed}");
    }
}

#[test]
fn truncated_images_never_break_the_reader() {
    for (image, _) in images() {
        exercise(&image);
        for length in (0..100).chain((100..image.len()).step_by(image.len() / 30)) {
            exercise(&image[..length]);
        }
    }
}

#[test]
fn absurd_headers_are_refused_or_blocked() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vmdk");
    host::write(&SparseDisk::new(1 << 20, Pattern::Dense, 1), &path, &[], 0);
    let sound = std::fs::read(&path).unwrap();
    let cases: [(&str, usize, u64, usize); 13] = [
        ("neither a descriptor", 0, 0, 4),
        ("sparse extent version 4", 4, 4, 4),
        ("more than its tables can map", 12, u64::MAX, 8),
        ("grains of 0 sectors", 20, 0, 8),
        ("grains of 100 sectors", 20, 100, 8),
        ("grains of 9223372036854775808", 20, 1 << 63, 8),
        ("up to 1 MiB in the file", 28, u64::MAX, 8),
        ("grain tables of 0 entries", 44, 0, 4),
        ("grain tables of 513 entries", 44, 513, 4),
        ("no footer", 56, u64::MAX, 8),
        ("newline bytes", 73, 0, 1),
        ("newline bytes", 75, 10, 1),
        ("compressed with method 2", 77, 2, 2),
    ];
    for (words, at, number, length) in cases {
        let mut image = sound.clone();
        image[at..at + length].copy_from_slice(&number.to_le_bytes()[..length]);
        exercise(&image);
        let opened = host::Reader::open(vec![Box::new(MemoryBlob::read_only(image))]);
        let error = opened.and_then(|mut reader| reader.extents(0, 100)).expect_err(words);
        assert!(matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported), "{error:?}");
        assert!(error.message.contains(words), "`{words}` is not in `{}`", error.message);
    }
}
