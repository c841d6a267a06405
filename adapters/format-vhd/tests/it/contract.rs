//! What reader and writer promise their host.

use crate::edit::{COPY, HEADER, edit, footer};
use format_vhd::Vhd;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use wherry_sdk::format::{Codec, Place, Unit};
use wherry_sdk::image::Uuid;
use wherry_sdk::testing::Random;
use wherry_sdk::testing::image::{Pattern, SparseDisk, by_libvhdi, decode, extents, open, run, text, writer};
use wherry_sdk::{DiskFormat, ErrorKind, FormatReader, FormatWriter, Severity, find};

const MIB: u64 = 1 << 20;
const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
const OTHER: &str = "10112233-4455-6677-8899-aabbccddeeff";

fn make(size: u64, pattern: Pattern, options: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vhd");
    SparseDisk::new(size, pattern, 1).write_image::<Vhd>(&path, options);
    (folder, path)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn options_and_sizes_are_checked() {
    for (key, value) in [
        ("subformat", "differencing"),
        ("align", "0"),
        ("align", "513"),
        ("align", "2G"),
        ("uuid", "x"),
        ("time", "1"),
        ("time", "9999999999"),
        ("sector-size", "4096"),
    ] {
        let refused = writer::<Vhd>(1, &[(key, value)]).err().unwrap();
        assert!(refused.kind == ErrorKind::InvalidInput && refused.message.contains(key), "{refused:?}");
    }
    assert!(writer::<Vhd>(2040 << 30, &[]).is_ok());
    for size in [(2040 << 30) + 1, u64::MAX] {
        assert!(writer::<Vhd>(size, &[]).err().unwrap().message.contains("2040 GiB"));
    }
}

#[test]
fn data_begins_at_multiples_of_4096() {
    let unit = |index| Unit { index, stored: 2 << 20, codec: Codec::None };
    let mut once = writer::<Vhd>(1000 * MIB, &[]).unwrap();
    assert_eq!(once.shape().unit, 2 << 20);
    let places = once.place(&[unit(1), unit(7), unit(499)]).unwrap();
    assert_eq!(places, [4096, 4096 * 2 + (2 << 20), 4096 * 3 + (4 << 20)]);
    assert!(once.place(&[unit(500)]).is_err() && once.place(&[unit(499)]).is_err());
    let mut again = writer::<Vhd>(1000 * MIB, &[]).unwrap();
    for index in [1, 7, 499] {
        again.place(&[unit(index)]).unwrap();
    }
    for page in 0..3 {
        assert_eq!(once.finish(page).unwrap(), again.finish(page).unwrap());
    }
}

#[test]
fn facts_say_what_was_made() {
    let options = [("uuid", UUID), ("time", "946684801"), ("align", "1M"), ("subformat", "fixed")];
    let (_folder, path) = make(MIB + 1, Pattern::Dense, &options);
    let facts = open::<Vhd>(&[&path]).unwrap().facts();
    assert_eq!((facts.virtual_size, facts.variant_name.as_str()), (2 * MIB, "vhd fixed"));
    for (key, value) in [
        ("uuid", UUID),
        ("time", "946684801"),
        ("whole-mib", "true"),
        ("creator", "win"),
        ("subformat", "fixed"),
    ] {
        assert_eq!(find(&facts.facts, key), Some(value));
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 2 * MIB + 512);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(Vhd::probe(&bytes[..65536], &bytes[bytes.len() - 65536..]).as_deref(), Some("vhd fixed"));
    assert_eq!(Vhd::probe(&bytes[..65536], &bytes[..65536]), None);
    assert_eq!(Vhd::probe(&[], &[]), None);
}

/// The same geometry as QEMU's for the same size.
#[test]
fn geometry_is_that_of_the_specification() {
    for mib in [3, 100, 505, 520, 1000, 5000, 33_000, 140_000] {
        let (_folder, path) = make(mib * MIB, Pattern::Zero, &[]);
        let theirs = path.with_extension("qemu");
        run("qemu-img", &["create", "-q", "-f", "vpc", text(&theirs), &format!("{mib}M")]);
        let size = open::<Vhd>(&[&theirs]).unwrap().facts().virtual_size;
        // QEMU looks for the first geometry that holds the disk, and so ours is that or just below.
        let facts = open::<Vhd>(&[&path]).unwrap().facts();
        let numbers: Vec<u64> = find(&facts.facts, "geometry")
            .unwrap()
            .split('/')
            .map(|number| number.parse().unwrap())
            .collect();
        let (sectors, track) = (numbers.iter().product::<u64>(), numbers[1] * numbers[2]);
        assert!(
            sectors * 512 <= size && (size / 512 - sectors) <= track || mib == 140_000,
            "{mib}: {numbers:?} {size}"
        );
        assert!(
            sectors <= mib * 2048 && mib * 2048 - sectors < track || mib == 140_000,
            "{mib}: {numbers:?}"
        );
    }
}

#[test]
fn a_damaged_footer_is_replaced_by_its_copy() {
    let (_folder, path) = make(5 * MIB, Pattern::Alternating, &[]);
    let expected = decode::<Vhd>(&[&path], 9);
    change(&path, |bytes| {
        let last = bytes.len() - 500;
        bytes[last] ^= 1;
    });
    let facts = open::<Vhd>(&[&path]).unwrap().facts();
    assert_eq!(
        (facts.concerns[0].id.as_str(), facts.concerns[0].severity),
        ("vhd.footer", Severity::Warning)
    );
    assert!(decode::<Vhd>(&[&path], 9) == expected);
    change(&path, |bytes| bytes.truncate(bytes.len() - 512));
    assert!(decode::<Vhd>(&[&path], 9) == expected);
    change(&path, |bytes| bytes[511] ^= 1);
    assert_eq!(open::<Vhd>(&[&path]).err().unwrap().kind, ErrorKind::Corrupt);
}

#[test]
fn sizes_by_creator() {
    let (_folder, path) = make(5 * MIB, Pattern::Dense, &[]);
    let geometry = 150 * 4 * 17 * 512;
    let cases: [(&[u8], &[u8], u64); 5] = [
        (b"win ", &[0, 150, 4, 17], 5 * MIB),
        (b"vpc ", &[0, 150, 4, 17], geometry),
        (b"qemu", &[0, 150, 4, 17], geometry),
        (b"vpc ", &[255, 255, 16, 255], 5 * MIB),
        (b"vbox", &[0, 150, 4, 17], 5 * MIB),
    ];
    for (creator, chs, size) in cases {
        change(&path, |bytes| {
            edit(bytes, COPY, &[(28, creator), (56, chs)]);
            let footer = footer(bytes);
            edit(bytes, footer, &[(28, creator), (56, chs)]);
        });
        let facts = open::<Vhd>(&[&path]).unwrap().facts();
        assert_eq!(facts.virtual_size, size, "{creator:?}");
        assert_eq!(facts.concerns.iter().any(|concern| concern.id == "vhd.geometry"), size != 5 * MIB);
        if creator != b"vbox" {
            let info = run("qemu-img", &["info", "-f", "vpc", text(&path)]);
            assert!(info.contains(&format!("({size} bytes)")), "{info}");
        }
    }
}

/// Sectors 0 to 3 stored and the rest of block 0 clear, block 1 not there; then the same with a parent.
#[test]
fn clear_bits_are_zero_or_the_parents() {
    let (folder, path) = make(6 * MIB, Pattern::Dense, &[]);
    change(&path, |bytes| {
        bytes[4096 - 512..4096].fill(0);
        bytes[4096 - 512] = 0xf0;
        bytes[1540..1544].fill(0xff);
    });
    let places: Vec<_> = extents(&mut open::<Vhd>(&[&path]).unwrap(), 9)
        .iter()
        .map(|extent| (extent.length, extent.at))
        .collect();
    let last = Place::Stored(4096 * 3 + (4 << 20));
    assert_eq!(places, [(2048, Place::Stored(4096)), (4 * MIB - 2048, Place::Zero), (2 * MIB, last)]);
    let name: Vec<u8> = "parent.vhd".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let path16: Vec<u8> = ".\\parent.vhd".encode_utf16().flat_map(u16::to_le_bytes).collect();
    change(&path, |bytes| {
        // Behind the table there is room for a locator.
        bytes[2048..2048 + path16.len()].copy_from_slice(&path16);
        let locator = [
            &b"W2ru"[..],
            &512u32.to_be_bytes(),
            &(path16.len() as u32).to_be_bytes(),
            &[0; 4],
            &2048u64.to_be_bytes(),
        ]
        .concat();
        edit(bytes, HEADER, &[(40, &[7; 16]), (64, &name), (576, &locator)]);
        edit(bytes, COPY, &[(60, &[0, 0, 0, 4])]);
        let footer = footer(bytes);
        edit(bytes, footer, &[(60, &[0, 0, 0, 4])]);
    });
    let mut alone = open::<Vhd>(&[&path]).unwrap();
    let facts = alone.facts();
    assert_eq!(facts.parent.as_deref(), Some("parent.vhd"));
    assert_eq!(find(&facts.facts, "parent-locator.W2ru"), Some(".\\parent.vhd"));
    assert_eq!(
        (facts.concerns[0].id.as_str(), facts.concerns[0].severity),
        ("vhd.parent", Severity::Blocking)
    );
    assert!(alone.extents(0, 9).unwrap_err().message.contains("`parent.vhd`"));
    let parent = folder.path().join("parent.raw");
    std::fs::write(&parent, vec![9; 3 * MIB as usize]).unwrap();
    let places: Vec<_> = extents(&mut open::<Vhd>(&[&path, &parent]).unwrap(), 9)
        .iter()
        .map(|extent| (extent.length, extent.at))
        .collect();
    let inherited = (3 * MIB - 2048, Place::StoredIn((1, 2048)));
    assert_eq!(places, [(2048, Place::Stored(4096)), inherited, (MIB, Place::Zero), (2 * MIB, last)]);
}

/// Random sector bitmaps over a parent, and blocks that are not there, judged by libvhdi.
#[test]
fn sector_bitmaps_decide_between_file_and_parent() {
    let size = 9 * MIB + 512;
    let (folder, child) = make(size, Pattern::Dense, &[("uuid", OTHER)]);
    let base = folder.path().join("base.vhd");
    SparseDisk::new(size, Pattern::Alternating, 2).write_image::<Vhd>(&base, &[("uuid", UUID)]);
    change(&child, |bytes| {
        edit(bytes, HEADER, &[(40, &Uuid::parse(UUID).unwrap().0)]);
        edit(bytes, COPY, &[(60, &[0, 0, 0, 4])]);
        let footer = footer(bytes);
        edit(bytes, footer, &[(60, &[0, 0, 0, 4])]);
        let mut random = Random::new(7);
        for block in 0..3 {
            let at = 4096 * (block + 1) + (block << 21) - 512;
            // What follows the first set bit of a byte libvhdi takes for set.
            bytes[at..at + 512].fill_with(|| [0, 0xff, 0x0f, 0x01, 0x7f][random.below(5) as usize]);
        }
    });
    let parent = folder.path().join("parent.raw");
    std::fs::write(&parent, decode::<Vhd>(&[&base], 9)).unwrap();
    let (expected, said) = by_libvhdi(&[&child, &base]);
    assert!(said.contains(UUID), "{said}");
    assert!(decode::<Vhd>(&[&child, &parent], 7) == expected);
}

#[test]
fn a_parent_that_the_image_does_not_have_is_refused() {
    let (_folder, path) = make(MIB, Pattern::Dense, &[]);
    assert_eq!(open::<Vhd>(&[&path, &path]).err().unwrap().kind, ErrorKind::InvalidInput);
}
