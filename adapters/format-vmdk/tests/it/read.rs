//! QEMU's images, read by us.

use crate::host::{self, Image};
use crate::qemu;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use wherry_sdk::format::{Extent, Place};
use wherry_sdk::testing::Random;
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk, text};
use wherry_sdk::{ErrorKind, FormatReader, find};

const MIB: u64 = 1 << 20;
const SUBFORMATS: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"];

#[test]
fn converted_images_of_every_kind_read_as_their_source() {
    for subformat in SUBFORMATS {
        for size in [512, 3 * MIB + 512, 40 * MIB] {
            for pattern in PATTERNS {
                let folder = tempdir().unwrap();
                let (raw, vmdk) = (folder.path().join("a.raw"), folder.path().join("a.vmdk"));
                SparseDisk::new(size, pattern, size).write_raw(&raw);
                let options = format!("subformat={subformat}");
                qemu::img(&["convert", "-f", "raw", "-O", "vmdk", "-o", &options, text(&raw), text(&vmdk)]);
                assert!(
                    host::decode(&vmdk, 9) == std::fs::read(&raw).unwrap(),
                    "{options} {size} {pattern:?}"
                );
                let facts = host::open(&vmdk, None).unwrap().reader.facts();
                assert_eq!(find(&facts.facts, "create-type"), Some(subformat));
                assert_eq!(facts.variant_name, format!("VMDK {subformat}"));
                assert!(facts.concerns.is_empty(), "{:?}", facts.concerns);
            }
        }
    }
}

fn create(folder: &TempDir, options: &str, size: u64) -> PathBuf {
    let path = folder.path().join("a.vmdk");
    qemu::img(&["create", "-q", "-f", "vmdk", "-o", options, text(&path), &size.to_string()]);
    path
}

/// Ours must be what `qemu-img convert -O raw` makes of it.
fn same_as_qemu(path: &Path) {
    assert!(host::decode(path, 5) == qemu::raw(path), "{} differs", path.display());
}

/// Writes and zeroes anywhere.
fn edits(size: u64, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut commands = Vec::new();
    for number in 1..30 {
        let offset = random.below(size / 512) * 512;
        let length = ((1 + random.below(600)) * 512).min(size - offset);
        let whole = offset >> 16 << 16;
        commands.push(match random.below(4) {
            0 => format!("write -z {whole} {}", (256 << 10).min(size - whole)),
            _ => format!("write -P {number} {offset} {length}"),
        });
    }
    commands
}

#[test]
fn edited_images_read_as_qemu_reads_them() {
    for options in ["zeroed_grain=on", "zeroed_grain=off", "subformat=twoGbMaxExtentSparse,zeroed_grain=on"] {
        for seed in 0..4 {
            let folder = tempdir().unwrap();
            let size = 8 * MIB + 1024;
            let path = create(&folder, options, size);
            qemu::io(&path, &edits(size, seed));
            same_as_qemu(&path);
        }
    }
}

#[test]
fn zero_grains_and_holes_are_zero_and_merged() {
    let folder = tempdir().unwrap();
    let path = create(&folder, "zeroed_grain=on", 64 * MIB);
    let commands = ["write -P 7 1M 1M", "write -z 1536k 256k", "write -z 8M 1M"];
    qemu::io(&path, &commands.map(String::from));
    let mut image = host::open(&path, None).unwrap();
    let extents = image.extents(1000);
    let kinds: Vec<(u64, u64, bool)> =
        extents.iter().map(|e| (e.logical >> 10, e.length >> 10, e.at == Place::Zero)).collect();
    let expected = [(0, 1024, true), (1024, 512, false), (1536, 256, true), (1792, 256, false)];
    assert_eq!(kinds, [&expected[..], &[(2048, 63488, true)]].concat());
    assert_eq!(find(&image.reader.facts().facts, "grain-size"), Some("65536"));
    assert_eq!(find(&image.reader.facts().facts, "redundant-directory"), Some("true"));
}

#[test]
fn an_answer_starts_where_it_was_asked() {
    let folder = tempdir().unwrap();
    let path = create(&folder, "subformat=monolithicSparse", 4 * MIB);
    qemu::io(&path, &["write -P 7 0 128k".into()]);
    let mut image = host::open(&path, None).unwrap();
    let first = |image: &mut Image, at| image.reader.extents(at, 1).unwrap().remove(0);
    let Place::Stored(offset) = first(&mut image, 0).at else { panic!("not stored") };
    let inside = first(&mut image, 70_000);
    let expected =
        Extent { logical: 70_000, length: (128 << 10) - 70_000, at: Place::Stored(offset + 70_000) };
    assert_eq!(inside, expected);
    assert!(image.reader.extents(4 * MIB, 1).unwrap().is_empty());
    assert!(image.reader.extents(u64::MAX, 1).unwrap().is_empty());
    let (raw, stream) = (folder.path().join("a.raw"), folder.path().join("b.vmdk"));
    SparseDisk::new(MIB, Pattern::Dense, 1).write_raw(&raw);
    let options = "subformat=streamOptimized";
    qemu::img(&["convert", "-f", "raw", "-O", "vmdk", "-o", options, text(&raw), text(&stream)]);
    let packed = first(&mut host::open(&stream, None).unwrap(), (128 << 10) + 512);
    assert_eq!((packed.logical, packed.length), (128 << 10, 64 << 10), "a whole grain");
}

#[test]
fn split_disks_cross_their_files() {
    const GIB: u64 = 1 << 30;
    for (subformat, letter) in [("twoGbMaxExtentSparse", 's'), ("twoGbMaxExtentFlat", 'f')] {
        let folder = tempdir().unwrap();
        let path = create(&folder, &format!("subformat={subformat}"), 5 * GIB + 512);
        let edge = 2047 * MIB;
        let commands = [
            format!("write -P 1 {} 128k", edge - (64 << 10)),
            format!("write -P 2 {} 64k", 2 * edge - 4096),
            format!("write -P 3 {} 512", 5 * GIB),
        ];
        qemu::io(&path, &commands);
        let mut image = host::open(&path, None).unwrap();
        let names: Vec<String> = (1..=3).map(|number| format!("a-{letter}00{number}.vmdk")).collect();
        assert_eq!(image.reader.facts().files, names);
        assert_eq!(image.reader.facts().virtual_size, 5 * GIB + 512);
        for (at, length, byte) in
            [(edge - (64 << 10), 128 << 10, 1), (2 * edge - 4096, 64 << 10, 2), (5 * GIB, 512, 3)]
        {
            assert!(read(&mut image, at, length).iter().all(|found| *found == byte), "{subformat} {at}");
            assert!(read(&mut image, at - 512, 512).iter().all(|found| *found == 0), "{subformat} {at}");
        }
    }
}

/// A range of a disk that is too large to be decoded.
fn read(image: &mut Image, at: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut here = at;
    while here < at + length {
        let mut extent = image.reader.extents(here, 1).unwrap().remove(0);
        assert!(extent.logical == here, "not compressed");
        extent.length = extent.length.min(at + length - here);
        here += extent.length;
        bytes.extend_from_slice(&image.data(&extent).unwrap());
    }
    bytes
}

/// QEMU has a table for every 32 MiB: walking all of them is not for a test.
#[test]
fn a_disk_of_63_tib_is_read_where_it_is_asked() {
    const TIB: u64 = 1 << 40;
    let folder = tempdir().unwrap();
    let path = create(&folder, "subformat=monolithicSparse", 63 * TIB);
    let commands = [format!("write -P 1 {} 64k", 3 * TIB), format!("write -P 2 {} 512", 63 * TIB - 512)];
    qemu::io(&path, &commands);
    let mut image = host::open(&path, None).unwrap();
    assert_eq!(image.reader.facts().virtual_size, 63 * TIB);
    assert!(read(&mut image, 3 * TIB, 64 << 10).iter().all(|byte| *byte == 1));
    assert!(read(&mut image, 3 * TIB + (64 << 10), MIB).iter().all(|byte| *byte == 0));
    assert!(read(&mut image, 63 * TIB - MIB, MIB).ends_with(&[2; 512]));
    assert!(image.reader.extents(63 * TIB, 1).unwrap().is_empty());
}

/// Tables in which nothing is allocated are not looked at entry by entry: an answer reaches further.
#[test]
fn blank_tables_are_passed_quickly() {
    const TIB: u64 = 1 << 40;
    let folder = tempdir().unwrap();
    let path = create(&folder, "subformat=monolithicSparse", TIB);
    qemu::io(&path, &[format!("write -P 1 {} 64k", TIB / 2 + 512), format!("write -P 2 {} 512", TIB - 512)]);
    let mut image = host::open(&path, None).unwrap();
    let (mut at, mut answers, mut stored) = (0, 0, Vec::new());
    while at < TIB {
        answers += 1;
        for extent in image.reader.extents(at, 1000).unwrap() {
            assert_eq!(extent.logical, at);
            at += extent.length;
            if extent.at != Place::Zero {
                stored.push((extent.logical, extent.length));
            }
        }
    }
    assert_eq!(stored, [(TIB / 2, 128 << 10), (TIB - (64 << 10), 64 << 10)]);
    assert!(answers <= 4, "{answers}");
}

fn patch(path: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn number(path: &Path, at: u64, length: usize) -> u64 {
    let mut bytes = [0; 8];
    File::open(path).unwrap().read_exact_at(&mut bytes[..length], at).unwrap();
    u64::from_le_bytes(bytes)
}

#[test]
fn the_redundant_directory_helps_out() {
    let folder = tempdir().unwrap();
    let (raw, path) = (folder.path().join("a.raw"), folder.path().join("a.vmdk"));
    SparseDisk::new(80 * MIB, Pattern::Scattered, 5).write_raw(&raw);
    let expected = std::fs::read(&raw).unwrap();
    let damage: [&dyn Fn(&Path); 5] = [
        &|path| patch(path, number(path, 56, 8) * 512, &[0; 12]),
        &|path| patch(path, number(path, 56, 8) * 512, &[0xff; 8]),
        &|path| patch(path, 56, &(1u64 << 40).to_le_bytes()),
        &|path| patch(path, 56, &0u64.to_le_bytes()),
        // A table instead of the directory: nothing to be said beforehand.
        &|path| patch(path, number(path, number(path, 56, 8) * 512 + 4, 4) * 512, &[0xff; 2048]),
    ];
    for (at, damage) in damage.into_iter().enumerate() {
        qemu::img(&["convert", "-f", "raw", "-O", "vmdk", text(&raw), text(&path)]);
        damage(&path);
        assert!(host::decode(&path, 9) == expected, "damage {at}");
        let concerns = host::open(&path, None).unwrap().reader.facts().concerns;
        let ids: Vec<&str> = concerns.iter().map(|concern| concern.id.as_str()).collect();
        assert_eq!(ids, if at < 4 { vec!["vmdk.damaged-directory"] } else { vec![] }, "damage {at}");
    }
    // Without the flag there is no redundant one.
    patch(&path, 8, &1u32.to_le_bytes());
    let refused = host::open(&path, None).unwrap().reader.extents(32 * MIB, 1000).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Corrupt);
}
