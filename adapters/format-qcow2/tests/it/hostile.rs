//! Damaged and malicious images.

use crate::exercise::exercise;
use crate::host;
use crate::qemu::{self, text};
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use tempfile::tempdir;
use wherry_sdk::testing::damage;
use wherry_sdk::{ErrorKind, FormatReader};

fn number(image: &[u8], at: usize, length: usize) -> u64 {
    image[at..at + length].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Small images of each kind: data, compressed, zero and shared clusters.
fn images() -> Vec<Vec<u8>> {
    [
        "compat=0.10,cluster_size=512",
        "cluster_size=512",
        "cluster_size=4k,compression_type=zstd",
        "cluster_size=16k,extended_l2=on",
        "cluster_size=1k,refcount_bits=2",
        "cluster_size=4k,lazy_refcounts=on,backing_file=parent.raw,backing_fmt=raw",
        "cluster_size=4k,refcount_bits=64",
    ]
    .map(image)
    .into()
}

fn image(options: &str) -> Vec<u8> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    let unsafely = if options.contains("backing") { "-u" } else { "-q" };
    qemu::img(&["create", "-q", unsafely, "-f", "qcow2", "-o", options, text(&path), "300k"]);
    if unsafely == "-u" {
        std::fs::write(folder.path().join("parent.raw"), [7; 100 << 10]).unwrap();
    }
    if !options.contains("0.10") {
        qemu::img(&["bitmap", "--add", "-g", "512", text(&path), "since"]);
    }
    let compressed = ["write -c -P 9 16k 32k", "write -c -P 8 64k 16k"];
    let plain = ["write -P 1 0 2k", "write -z 96k 32k", "write -P 2 128k 33k", "write -P 3 299k 1k"];
    qemu::io(&path, &compressed.map(String::from));
    qemu::io(&path, &plain.map(String::from));
    std::fs::read(path).unwrap()
}

/// Header, L1 table, L2 tables, refcount table and refcount blocks.
fn tables(image: &[u8]) -> Vec<Range<usize>> {
    let cluster = 1usize << number(image, 20, 4);
    let table = |at: usize, entries: usize| -> Vec<usize> {
        (0..entries)
            .map(|entry| (number(image, at + 8 * entry, 8) & 0x00ff_ffff_ffff_fe00) as usize)
            .collect()
    };
    let (l1, l1_entries) = (number(image, 40, 8) as usize, number(image, 36, 4) as usize);
    let (refcounts, clusters) = (number(image, 48, 8) as usize, number(image, 56, 4) as usize);
    let clusters_of = |offsets: Vec<usize>| {
        offsets.into_iter().filter(|at| *at != 0).map(|at| at..at + cluster).collect::<Vec<_>>()
    };
    let mut all = vec![0..cluster.min(640), l1..l1 + 8 * l1_entries.max(3), refcounts..refcounts + 32];
    all.extend(clusters_of(table(l1, l1_entries)));
    all.extend(clusters_of(table(refcounts, clusters * cluster / 8)));
    all.extend(bitmap(image).into_iter().flatten());
    all
}

/// The bitmap's directory, table and bits.
fn bitmap(image: &[u8]) -> Option<[Range<usize>; 3]> {
    let extension = image[..512].windows(4).position(|word| word == 0x2385_2875u32.to_be_bytes())?;
    let (size, directory) = (number(image, extension + 16, 8), number(image, extension + 24, 8));
    let (directory, size) = (directory as usize, size as usize);
    let (table, entries) = (number(image, directory, 8) as usize, number(image, directory + 8, 4) as usize);
    let bits = (number(image, table, 8) & !1) as usize;
    Some([directory..directory + size, table..table + 8 * entries, bits..bits + 80])
}

/// What a seed makes of the images.
fn damaged(images: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut image = images[seed as usize % images.len()].clone();
    let tables = tables(&image);
    let table = tables[seed as usize / images.len() % tables.len()].clone();
    damage(&mut image, table.start, table.end, seed);
    image
}

#[test]
fn damaged_tables_never_break_the_reader() {
    let images = images();
    let mut opened = 0;
    for seed in 0..1500 {
        let image = damaged(&images, seed);
        assert!(catch_unwind(|| exercise(&image)).is_ok(), "seed {seed}");
        opened += u32::from(open(&image).is_ok());
    }
    assert!(
        (300..1400).contains(&opened),
        "{opened} of 1500 could be opened: the damage is not where it should be"
    );
}

#[test]
fn truncated_images_never_break_the_reader() {
    for image in images() {
        exercise(&image);
        for length in (0..200).chain((200..image.len()).step_by(image.len() / 60)) {
            exercise(&image[..length]);
        }
    }
}

fn open(image: &[u8]) -> wherry_sdk::Result<host::Reader> {
    host::Reader::open(vec![Box::new(wherry_sdk::testing::MemoryBlob::read_only(image))])
}

/// What we read of a damaged image is what QEMU reads of it, unless QEMU refuses.
#[test]
fn damaged_images_read_as_qemu_reads_them_or_not_at_all() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    let images: Vec<Vec<u8>> = images().into_iter().filter(|image| number(image, 8, 8) == 0).collect();
    let mut compared = 0;
    for seed in 0..150 {
        let image = damaged(&images, 10_000 + seed);
        std::fs::write(&path, &image).unwrap();
        let Some(ours) = read(&path) else { continue };
        let target = path.with_extension("raw");
        let arguments = ["convert", "-q", "-f", "qcow2", "-O", "raw", text(&path), text(&target)];
        if !Command::new("qemu-img").args(arguments).output().unwrap().status.success() {
            continue;
        }
        let theirs = std::fs::read(target).unwrap();
        assert!(ours.get(..theirs.len()) == Some(&theirs) && ours.len() - theirs.len() < 512, "seed {seed}");
        compared += 1;
    }
    assert!(compared > 20, "only {compared} images were compared");
}

/// None: refused, damaged, or too large for this test.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut reader = host::open(&[path]).ok()?;
    let (size, unit) = (reader.facts().virtual_size, reader.facts().unit);
    let (mut at, mut bytes) = (0, Vec::new());
    while at < size && size < 16 << 20 {
        for extent in reader.extents(at, 1000).ok()? {
            at = extent.logical + extent.length;
            bytes.extend(host::data(&extent, &[path], unit)?);
        }
    }
    (at == size).then_some(bytes)
}

/// A version 3 image with clusters of 64 KiB and some data.
fn sound() -> Vec<u8> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    qemu::img(&["create", "-q", "-f", "qcow2", text(&path), "1M"]);
    qemu::io(&path, &["write -P 1 0 256k".into()]);
    std::fs::read(path).unwrap()
}

/// Where, which number, of how many bytes.
type Edit = (u64, u64, usize);

/// The image with these edits must be refused in these words.
fn refused(sound: &[u8], words: &str, edits: &[Edit]) {
    let mut image = sound.to_vec();
    for (at, number, length) in edits {
        image[*at as usize..][..*length].copy_from_slice(&number.to_be_bytes()[8 - length..]);
    }
    exercise(&image);
    let error = open(&image).and_then(|mut reader| reader.extents(0, 100)).expect_err(words);
    assert!(matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported), "{error:?}");
    assert!(error.message.contains(words), "`{words}` is not in `{}`", error.message);
}

#[test]
fn absurd_headers_are_refused() {
    let sound = sound();
    let most = u64::from(u32::MAX);
    let cases: &[(&str, &[Edit])] = &[
        ("does not start with", &[(0, 0, 4)]),
        ("version 4", &[(4, 4, 4)]),
        ("a backing file name of 1024 bytes", &[(8, 1024, 8), (16, 1024, 4)]),
        ("a backing file name of 9 bytes", &[(8, u64::MAX - 3, 8), (16, 9, 4)]),
        ("clusters of 2^8 bytes", &[(20, 8, 4)]),
        ("clusters of 2^22 bytes", &[(20, 22, 4)]),
        ("too small for 18446744073709551615 bytes", &[(24, u64::MAX, 8)]),
        ("encrypted with an unknown method, 3", &[(32, 3, 4)]),
        ("an L1 table of 4294967295 entries", &[(36, most, 4)]),
        ("an L1 table of 0 entries is too small", &[(36, 0, 4)]),
        ("the L1 table at", &[(36, 4 << 20, 4)]),
        ("the L1 table at", &[(40, u64::MAX << 16, 8)]),
        ("the L1 table at", &[(40, 0x30200, 8)]),
        ("the refcount table at", &[(48, 1 << 62, 8)]),
        ("a refcount table of 8454144 bytes", &[(56, 129, 4)]),
        ("a refcount table of 281474976645120 bytes", &[(56, most, 4)]),
        ("no refcount table", &[(56, 0, 4)]),
        ("4294967295 snapshots", &[(60, most, 4)]),
        ("the snapshot table leaves the file", &[(60, 1, 4), (64, u64::MAX - 10, 8)]),
        ("the compression type contradicts", &[(72, 1 << 3, 8)]),
        ("the compression type contradicts", &[(104, 1, 1)]),
        ("refcounts of 2^7 bits", &[(96, 7, 4)]),
        ("refcounts of 2^4294967295 bits", &[(96, most, 4)]),
        ("a header length of 103", &[(100, 103, 4)]),
        ("a header length of 4294967295", &[(100, most, 4)]),
        ("leaves the header", &[(116, most, 4)]),
        ("need clusters of 16 KiB", &[(72, 1 << 4, 8), (20, 13, 4), (36, 512, 4)]),
    ];
    for (words, edits) in cases {
        refused(&sound, words, edits);
    }
}

/// Found by fuzzing: offsets were counted up from a table that lies at the end of all numbers.
#[test]
fn a_refcount_table_at_the_end_of_all_numbers_is_only_absent() {
    let mut image = sound();
    image[48..56].copy_from_slice(&0xffff_ffff_ffff_0000u64.to_be_bytes());
    exercise(&image);
}

const COPIED: u64 = 1 << 63;

#[test]
fn tables_that_share_clusters_or_leave_the_file_are_refused() {
    let sound = sound();
    let (l1, refcounts) = (number(&sound, 40, 8), number(&sound, 48, 8));
    let l2 = number(&sound, l1 as usize, 8) & !COPIED;
    let data = number(&sound, l2 as usize, 8) & !COPIED;
    let block = number(&sound, refcounts as usize, 8);
    let cases: &[(&str, &[Edit])] = &[
        ("two tables share the cluster", &[(l1, refcounts | COPIED, 8)]),
        ("a refcount block at", &[(48, l1, 8)]),
        ("two tables share the cluster", &[(40, refcounts, 8), (refcounts, l2, 8)]),
        ("two tables share the cluster", &[(36, 2, 4), (l1 + 8, l2 | COPIED, 8)]),
        ("two tables share the cluster", &[(refcounts + 8, block, 8)]),
        ("the L2 table lies beyond", &[(l1, 1 << 40, 8)]),
        ("the L2 table is not aligned", &[(l1, 512, 8)]),
        ("reserved bits", &[(l1, 1 << 60, 8)]),
        ("a refcount block at", &[(refcounts, 1 << 50, 8)]),
        ("a refcount block at", &[(refcounts, 77, 8)]),
        ("which holds a table", &[(l2, refcounts | COPIED, 8)]),
        ("which holds a table", &[(l2, block | COPIED, 8)]),
        ("which holds a table", &[(l2, l1 | COPIED, 8)]),
        ("which holds a table", &[(l2, l2 | COPIED, 8)]),
        ("which holds a table", &[(l2, 1 << 62 | 100, 8)]),
        ("lies beyond the file", &[(l2, 1 << 50, 8)]),
        ("lies beyond the file", &[(l2, 1 << 62 | ((1 << 54) - 1), 8)]),
        ("not aligned to a cluster", &[(l2, 0x1200, 8)]),
        ("reserved bits", &[(l2, 1 << 58, 8)]),
        ("marked for writing in place", &[(l2, 3 << 62, 8)]),
        ("counted as free", &[(block + (data >> 16) * 2, 0, 2)]),
        ("counted as free", &[(block + (l2 >> 16) * 2, 0, 2)]),
        ("counted as free", &[(refcounts, 0, 8)]),
        ("a zero flag", &[(4, 2, 4), (l2, 1, 8)]),
        ("a zero flag", &[(72, 1 << 4, 8), (l2, 1, 8)]),
        ("both stored and zero", &[(72, 1 << 4, 8), (l2 + 8, 1 << 32 | 1, 8)]),
        ("stored nowhere", &[(72, 1 << 4, 8), (l2, 0, 8), (l2 + 8, 1, 8)]),
    ];
    for (words, edits) in cases {
        refused(&sound, words, edits);
    }
}
