//! Damaged and malicious images.

use crate::edit::{
    BAT, DATA, FIRST, HEADERS, ITEMS, LOG, METADATA, Part, TABLES, difference, edit, entry, make, read,
};
use crate::exercise::exercise;
use crate::log::{Write, in_use, logged, put};
use crate::made;
use format_vhdx::Vhdx;
use std::panic::catch_unwind;
use tempfile::tempdir;
use wherry_sdk::testing::image::{Pattern, run, text};
use wherry_sdk::testing::{MemoryBlob, damage};
use wherry_sdk::{DiskFormat, ErrorKind, FormatReader};

const MIB: u64 = 1 << 20;
/// Structures that have checksums.
const SEALED: [Part; 4] =
    [(HEADERS[0], 4096), (HEADERS[1], 4096), (TABLES[0], 64 << 10), (TABLES[1], 64 << 10)];

/// A dynamic image of one block, a fixed and a differencing one, and one with a log.
fn images() -> [Vec<u8>; 4] {
    let options = [("block-size", "1M")];
    let make = |size, pattern, options: &[(&str, &str)]| read(&make(size, pattern, options).1);
    let dynamic = make(90 * MIB + 512, Pattern::LastSector, &options);
    let fixed = make(MIB, Pattern::Dense, &[options[0], ("subformat", "fixed")]);
    let mut differencing = dynamic.clone();
    let bitmap = difference(&mut differencing, &[("relative_path", "base.vhdx"), ("parent_linkage", "{x}")]);
    differencing[bitmap + 3 * 256..bitmap + 4 * 256].fill(0x5a);
    entry(&mut differencing, 3, DATA, 7);
    let mut crashed = dynamic.clone();
    in_use(&mut crashed);
    let (mut at, length) = (0, crashed.len());
    for sequence in 1..4 {
        let writes = [
            Write::Data(BAT, crashed[BAT..BAT + 4096].to_vec()),
            Write::Zero(DATA + 4096 * sequence, 8192),
            Write::Data(DATA + 8192, vec![sequence as u8; 4096]),
        ];
        at = put(&mut crashed, at, &logged(sequence as u64, 0, length, &writes));
    }
    [dynamic, fixed, differencing, crashed]
}

/// Damage in every structure, half of it with mended checksums.
#[test]
fn damaged_structures_never_break_the_reader() {
    let images = images();
    let mut opened = 0;
    for seed in 0..1600 {
        let mut image = images[seed as usize % 4].clone();
        let end = image.len();
        let places = [
            (HEADERS[0], HEADERS[0] + 80),
            (HEADERS[1], HEADERS[1] + 80),
            (TABLES[0], TABLES[0] + 96),
            (METADATA, METADATA + 240),
            (ITEMS, ITEMS + 200),
            (BAT, BAT + 900),
            (BAT + 4096 * 8 - 16, BAT + 4096 * 8 + 16),
            (LOG, LOG + 224),
            (LOG + 3 * 4096, LOG + 3 * 4096 + 224),
            (end - FIRST, end - FIRST + 2048),
        ];
        let (from, to) = places[seed as usize / 4 % places.len()];
        damage(&mut image, from, to, seed);
        if seed / 40 % 2 == 0 {
            made::mend(&mut image, &SEALED);
        }
        let outcome = catch_unwind(|| exercise(&image));
        opened += u32::from(outcome.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert!((400..1600).contains(&opened), "{opened} of 1600 could be opened");
}

#[test]
fn truncated_images_never_break_the_reader() {
    for image in images() {
        assert!(exercise(&image));
        let lengths = (0..image.len()).step_by(image.len() / 60);
        for length in lengths.chain([8, 520, LOG - 1, LOG, METADATA, BAT, BAT + 8, DATA - 1, DATA, DATA + 1])
        {
            exercise(&image[..length]);
        }
    }
}

/// 2DC27766-F623-4200-9D64-115E9BFD4A08 as it is stored.
const BAT_REGION: [u8; 16] =
    [0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 8];

#[test]
fn absurd_structures_are_refused() {
    let [dynamic, .., crashed] = images();
    let header = (HEADERS[1], 4096);
    let regions = (TABLES[0], 64 << 10);
    let plain = (0, 0);
    let cases: &[(&str, Part, usize, &[u8])] = &[
        ("does not start with `vhdxfile`", plain, 0, b"x"),
        ("version 2", header, 66, &[2]),
        ("log of 4096 bytes", header, 68, &[0, 0x10, 0, 0]),
        ("at most 64 MiB", header, 68, &[0, 0, 0x10, 4]),
        ("log of 1048576 bytes at 0", header, 72, &[0; 8]),
        ("is not whole MiB", header, 72, &[0xff; 8]),
        ("4294967295 entries", regions, 8, &[0xff; 4]),
        ("names no block allocation table", regions, 8, &[1]),
        ("names no block allocation table", regions, 8, &[0]),
        ("there twice", regions, 48, &BAT_REGION),
        ("not whole MiB of the file", regions, 32, &[0xff; 8]),
        ("not whole MiB of the file", regions, 40, &[1, 0, 0, 0]),
        ("regions overlap", regions, 34, &[0x20]),
        ("no metadata table", plain, METADATA, b"x"),
        ("it has 65535", plain, METADATA + 10, &[0xff; 2]),
        ("is missing", plain, METADATA + 10, &[4]),
        ("does not fit", plain, METADATA + 32 + 16, &[0xff; 4]),
        ("does not fit", plain, METADATA + 32 + 16, &[0; 4]),
        ("does not fit", plain, METADATA + 32 + 20, &[7]),
        ("blocks of 0 bytes", plain, ITEMS, &[0; 4]),
        ("blocks of 3145728 bytes", plain, ITEMS + 2, &[0x30]),
        ("at most 64 TiB", plain, ITEMS + 8, &[0, 2, 0, 0, 0, 0x40]),
        ("whole sectors", plain, ITEMS + 8, &[1]),
        ("room for 131072 entries", plain, ITEMS + 13, &[1]),
        ("sectors of 0 and", plain, ITEMS + 32, &[0; 4]),
        ("block 90 at 0 lies", plain, BAT + 90 * 8, &[6, 0, 0]),
        ("block 90 at 18446744073708503040 lies", plain, BAT + 90 * 8 + 2, &[0xff; 6]),
        (
            "block 3 at 18446744073708503040 lies",
            plain,
            BAT + 3 * 8,
            &[6, 0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("block 90 at 1048576 lies", plain, BAT + 90 * 8 + 2, &[0x10]),
        ("overlap too often", plain, 0, b"v"),
    ];
    for (words, part, at, bytes) in cases {
        let mut image =
            if part == &header || words.contains("often") { crashed.clone() } else { dynamic.clone() };
        if words.contains("often") {
            overlapping(&mut image);
        }
        match part.1 {
            0 => image[*at..at + bytes.len()].copy_from_slice(bytes),
            _ => edit(&mut image, *part, &[(*at, bytes)]),
        }
        exercise(&image);
        let opened = <Vhdx as DiskFormat>::Reader::open(vec![Box::new(MemoryBlob::read_only(image))]);
        let error = opened.and_then(|mut reader| reader.extents(0, 100)).expect_err(words);
        let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::Limit];
        assert!(kinds.contains(&error.kind), "{error:?}");
        assert!(error.message.contains(words), "`{words}` is not in `{}`", error.message);
    }
}

/// Every sector begins an entry that takes the whole log: 64 KiB of sums for each 4 KiB.
fn overlapping(image: &mut [u8]) {
    let entry = logged(1, 0, 0, &[]);
    for at in (LOG..LOG + FIRST).step_by(4096) {
        image[at..at + 4096].copy_from_slice(&entry);
        image[at + 8..at + 12].copy_from_slice(&(FIRST as u32).to_le_bytes());
    }
}

/// A log that zeroes everything, and one that reaches to the end of all offsets.
#[test]
fn a_log_may_zero_anything() {
    let [dynamic, ..] = images();
    for (offset, length) in
        [(0, 1 << 62), (BAT, FIRST), (METADATA, 4096), (1 << 62, 1 << 62), (DATA, usize::MAX - 4095)]
    {
        let mut image = dynamic.clone();
        in_use(&mut image);
        let all = image.len();
        put(&mut image, 0, &logged(1, 0, all, &[Write::Zero(offset, length)]));
        exercise(&image);
    }
}

/// What the fuzzer starts with (tests/fuzz/seeds.sh) can be opened.
#[test]
fn pieces_make_an_image() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vhdx");
    run("qemu-img", &["create", "-q", "-f", "vhdx", "-o", "block_size=1M", text(&path), "8M"]);
    let image = read(&path);
    let pieces =
        [(128 << 10, 80), (192 << 10, 96), (2 << 20, 528), (3 << 20, 256), ((3 << 20) + (64 << 10), 256)];
    let pieces: Vec<u8> = pieces
        .into_iter()
        .flat_map(|(at, length): (usize, usize)| &image[at..at + length])
        .copied()
        .collect();
    assert!(exercise(&made::image(&pieces)));
    assert!(!exercise(&made::image(&pieces[..100])));
    exercise(&made::image(&[]));
}
