//! Damaged and malicious images.

use crate::edit::{COPY, HEADER, Part, edit, footer, mend};
use crate::exercise::exercise;
use format_vhd::Vhd;
use std::panic::catch_unwind;
use tempfile::tempdir;
use wherry_sdk::testing::image::{Pattern, SparseDisk};
use wherry_sdk::testing::{MemoryBlob, damage};
use wherry_sdk::{DiskFormat, ErrorKind, FormatReader};

const MIB: u64 = 1 << 20;

/// A dynamic, a fixed and a differencing image.
fn images() -> [Vec<u8>; 3] {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vhd");
    let disk = SparseDisk::new(90 * MIB + 512, Pattern::LastSector, 1);
    disk.write_image::<Vhd>(&path, &[]);
    let dynamic = std::fs::read(&path).unwrap();
    SparseDisk::new(100 << 10, Pattern::Dense, 1).write_image::<Vhd>(&path, &[("subformat", "fixed")]);
    let fixed = std::fs::read(&path).unwrap();
    let mut differencing = dynamic.clone();
    edit(&mut differencing, COPY, &[(60, &[0, 0, 0, 4])]);
    let end = footer(&differencing);
    edit(&mut differencing, end, &[(60, &[0, 0, 0, 4])]);
    [dynamic, fixed, differencing]
}

/// Damage in footer, header, table or bitmap, half of it with mended checksums.
#[test]
fn damaged_tables_never_break_the_reader() {
    let images = images();
    let mut opened = 0;
    for seed in 0..1200 {
        let mut image = images[seed as usize % 3].clone();
        let length = image.len();
        let (from, to) = match seed / 3 % 5 {
            0 => (0, 512),
            1 => (512, 1536),
            2 => (1536, 2048),
            3 => (4096 - 512, 4096),
            _ => (length - 512, length),
        };
        damage(&mut image, from, to, seed);
        if seed % 2 == 0 {
            mend(&mut image);
        }
        let outcome = catch_unwind(|| exercise(&image));
        opened += u32::from(outcome.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert!((300..1200).contains(&opened), "{opened} of 1200 could be opened");
}

#[test]
fn truncated_images_never_break_the_reader() {
    for image in images() {
        assert!(exercise(&image));
        for length in (0..2100).step_by(7).chain((2100..image.len()).step_by(image.len() / 30)) {
            exercise(&image[..length]);
        }
    }
}

#[test]
fn absurd_headers_and_tables_are_refused() {
    let [dynamic, ..] = images();
    let end = footer(&dynamic);
    let cases: &[(&str, Part, usize, &[u8])] = &[
        ("no sound footer", end, 60, &[0, 0, 0, 5]),
        ("header at 18446744073709551615", end, 16, &[0xff; 8]),
        ("does not fit the", end, 48, &[0xff; 8]),
        ("does not start with `cxsparse`", HEADER, 0, b"x"),
        ("does not start with `cxsparse`", end, 16, &[0; 8]),
        ("does not fit the file", HEADER, 16, &[0xff; 8]),
        ("does not fit the file", HEADER, 16, &[0, 0, 0, 0, 0, 0, 0, 1]),
        ("does not fit the file", HEADER, 28, &[0xff; 4]),
        ("a power of two", HEADER, 32, &[0; 4]),
        ("a power of two", HEADER, 32, &[0, 0, 0, 255]),
        ("does not fit the", HEADER, 32, &[0, 0, 2, 0]),
        ("block 0 at 512", HEADER, 1024, &[0, 0, 0, 1]),
        ("block 0 at 2199023254528", HEADER, 1024, &[0xff, 0xff, 0xff, 0xfe]),
    ];
    for (words, part, at, bytes) in cases {
        let mut image = dynamic.clone();
        // The copy says the same as the footer, unless that is what is damaged.
        if *at < part.1 {
            edit(&mut image, *part, &[(*at, bytes)]);
        } else {
            image[part.0 + at..part.0 + at + bytes.len()].copy_from_slice(bytes);
        }
        if *words == "no sound footer" {
            image[0] = 0;
        }
        exercise(&image);
        let opened = <Vhd as DiskFormat>::Reader::open(vec![Box::new(MemoryBlob::read_only(image))]);
        let error = opened.and_then(|mut reader| reader.extents(0, 100)).expect_err(words);
        assert!(matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported), "{error:?}");
        assert!(error.message.contains(words), "`{words}` is not in `{}`", error.message);
    }
    let mut header = dynamic;
    header[512 + 40] ^= 1;
    assert!(<Vhd as DiskFormat>::Reader::open(vec![Box::new(MemoryBlob::read_only(header))]).is_err());
}
