//! QEMU's images, read by us.

use crate::host;
use crate::qemu::{self, text};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use wherry_sdk::format::{Extent, Place};
use wherry_sdk::testing::Random;
use wherry_sdk::testing::image::{Pattern, SparseDisk};
use wherry_sdk::{FormatReader, find};

const MIB: u64 = 1 << 20;

/// Ours must be what `qemu-img convert -O raw` makes of it.
fn same_as_qemu(qcow2: &Path) {
    assert!(host::decode(&[qcow2], 5) == qemu::raw(qcow2), "{} differs", qcow2.display());
}

fn create(folder: &TempDir, options: &str, size: u64) -> PathBuf {
    let path = folder.path().join("a.qcow2");
    qemu::img(&["create", "-q", "-f", "qcow2", "-o", options, text(&path), &size.to_string()]);
    path
}

/// A disk converted by QEMU, compressed too.
fn converted(options: &str, size: u64, pattern: Pattern) {
    let folder = tempdir().unwrap();
    let (raw, qcow2) = (folder.path().join("a.raw"), folder.path().join("a.qcow2"));
    SparseDisk::new(size, pattern, size).write_raw(&raw);
    let expected = std::fs::read(&raw).unwrap();
    let compressible = !options.contains("preallocation");
    for flag in ["-q", "-c"].into_iter().take(if compressible { 2 } else { 1 }) {
        let (raw, target) = (text(&raw), text(&qcow2));
        qemu::img(&["convert", flag, "-f", "raw", "-O", "qcow2", "-o", options, raw, target]);
        assert!(host::decode(&[&qcow2], 9) == expected, "{flag} {options} {size} {pattern:?}");
    }
}

#[test]
fn converted_images_of_every_kind_read_as_their_source() {
    for options in [
        "compat=0.10,cluster_size=512",
        "compat=0.10,cluster_size=4k",
        "compat=0.10",
        "compat=0.10,cluster_size=2M",
        "compat=1.1,cluster_size=512",
        "compat=1.1,cluster_size=4k,compression_type=zstd",
        "compat=1.1,cluster_size=2M,compression_type=zstd",
        "compat=1.1,compression_type=zlib",
        "compat=1.1,compression_type=zstd",
        "preallocation=metadata",
        "preallocation=metadata,cluster_size=2M",
        "preallocation=full,cluster_size=4k",
        "lazy_refcounts=on",
        "extended_l2=on,cluster_size=16k",
        "extended_l2=on,cluster_size=128k,compression_type=zstd",
        "extended_l2=on,cluster_size=2M,preallocation=metadata",
    ] {
        converted(options, 3 * MIB + 512, Pattern::Alternating);
        converted(options, 12 * MIB, Pattern::Scattered);
        converted(options, 512, Pattern::LastSector);
    }
}

#[test]
fn refcounts_of_every_width_are_read() {
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        let options = format!("refcount_bits={bits},cluster_size=1k");
        converted(&options, 3 * MIB, Pattern::Dense);
        let folder = tempdir().unwrap();
        let reader = host::open(&[&create(&folder, &options, MIB)]).unwrap();
        assert_eq!(find(&reader.facts().facts, "refcount-bits"), Some(bits.to_string().as_str()));
    }
}

/// Compressed clusters (QEMU compresses only what is not allocated), then random writes, zeroes and discards.
fn edits(size: u64, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let compressed = (0..size >> 16).filter(|_| random.below(4) == 0).collect::<Vec<u64>>();
    let mut commands: Vec<String> =
        compressed.iter().map(|cluster| format!("write -c -P {cluster} {} 64k", cluster << 16)).collect();
    for number in 1..30 {
        let offset = random.below(size / 512) * 512;
        let length = ((1 + random.below(400)) * 512).min(size - offset);
        let (whole, end) = (offset >> 16 << 16, (offset + length).next_multiple_of(64 << 10));
        commands.push(match random.below(5) {
            0 => format!("write -z {offset} {length}"),
            1 => format!("write -z -u {offset} {length}"),
            2 => format!("discard {whole} {}", end - whole),
            _ => format!("write -P {number} {offset} {length}"),
        });
    }
    commands
}

#[test]
fn edited_images_read_as_qemu_reads_them() {
    for (seed, options) in [
        "compat=0.10",
        "compat=1.1",
        "compression_type=zstd",
        "extended_l2=on",
        "lazy_refcounts=on,refcount_bits=64",
    ]
    .into_iter()
    .enumerate()
    {
        for round in 0..4 {
            let folder = tempdir().unwrap();
            let size = 4 * MIB;
            let qcow2 = create(&folder, options, size);
            qemu::io(&qcow2, &edits(size, (seed * 100 + round) as u64));
            same_as_qemu(&qcow2);
        }
    }
}

#[test]
fn zero_clusters_and_holes_are_zero_and_merged() {
    let folder = tempdir().unwrap();
    let qcow2 = create(&folder, "compat=1.1", 64 * MIB);
    let commands = ["write -P 7 1M 1M", "write -z 1536k 256k", "write -z 8M 1M", "discard 1M 64k"];
    qemu::io(&qcow2, &commands.map(String::from));
    let mut reader = host::open(&[&qcow2]).unwrap();
    let extents = host::extents(&mut reader, 1000);
    let kinds: Vec<(u64, u64, bool)> =
        extents.iter().map(|e| (e.logical >> 10, e.length >> 10, e.at == Place::Zero)).collect();
    let expected = [(0, 1088, true), (1088, 448, false), (1536, 256, true), (1792, 256, false)];
    assert_eq!(kinds, [&expected[..], &[(2048, 63488, true)]].concat());
}

#[test]
fn an_answer_starts_where_it_was_asked() {
    let folder = tempdir().unwrap();
    let qcow2 = create(&folder, "compat=1.1", 4 * MIB);
    qemu::io(&qcow2, &["write -P 7 0 128k", "write -c -P 9 128k 64k"].map(String::from));
    let mut reader = host::open(&[&qcow2]).unwrap();
    let first = |reader: &mut host::Reader, at| reader.extents(at, 1).unwrap().remove(0);
    let Place::Stored(host) = first(&mut reader, 0).at else { panic!("not stored") };
    let inside = first(&mut reader, 70_000);
    let expected = Extent { logical: 70_000, length: (128 << 10) - 70_000, at: Place::Stored(host + 70_000) };
    assert_eq!(format!("{inside:?}"), format!("{expected:?}"));
    let compressed = first(&mut reader, (128 << 10) + 512);
    assert_eq!((compressed.logical, compressed.length), (128 << 10, 64 << 10), "a whole cluster");
    assert!(reader.extents(4 * MIB, 1).unwrap().is_empty());
    assert!(reader.extents(u64::MAX, 1).unwrap().is_empty());
}

#[test]
fn a_sparse_disk_of_63_tib_takes_few_extents() {
    const TIB: u64 = 1 << 40;
    for options in ["cluster_size=64k", "cluster_size=2M"] {
        let folder = tempdir().unwrap();
        let qcow2 = create(&folder, options, 63 * TIB);
        qemu::io(
            &qcow2,
            &[format!("write -P 1 {} 4k", 3 * TIB), format!("write -P 2 {} 512", 63 * TIB - 512)],
        );
        let mut reader = host::open(&[&qcow2]).unwrap();
        let extents = host::extents(&mut reader, 1000);
        let stored = extents.iter().filter(|extent| extent.at != Place::Zero);
        assert!(extents.len() <= 4 && stored.count() == 2, "{extents:?}");
        let unit = reader.facts().unit;
        let last = extents.last().unwrap();
        let data = host::data(last, &[&qcow2], unit).unwrap();
        assert!(data.ends_with(&[2; 512]) && last.logical + last.length == 63 * TIB);
    }
}
