//! What reader and writer promise their host.

use crate::edit::{BAT, FIRST, TABLES, edit, make, read, write};
use format_vhdx::Vhdx;
use wherry_sdk::format::{Codec, Unit};
use wherry_sdk::testing::image::{Pattern, SparseDisk, decode, open, run, text, writer};
use wherry_sdk::{DiskFormat, ErrorKind, FormatReader, FormatWriter, Severity, find};

const MIB: u64 = 1 << 20;
const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
const OTHER: &str = "10112233-4455-6677-8899-aabbccddeeff";

#[test]
fn options_and_sizes_are_checked() {
    for (key, value) in [
        ("subformat", "differencing"),
        ("block-size", "512K"),
        ("block-size", "3M"),
        ("block-size", "512M"),
        ("sector-size", "1024"),
        ("physical-sector-size", "8192"),
        ("uuid", "x"),
        ("data-uuid", "x"),
        ("align", "1M"),
    ] {
        let refused = writer::<Vhdx>(1, &[(key, value)]).err().unwrap();
        assert!(refused.kind == ErrorKind::InvalidInput && refused.message.contains(key), "{refused:?}");
    }
    let sectors = [("sector-size", "4096"), ("physical-sector-size", "512")];
    assert!(writer::<Vhdx>(1, &sectors).err().unwrap().message.contains("less than"));
    assert!(writer::<Vhdx>(64 << 40, &[("block-size", "1M")]).is_ok());
    for size in [(64 << 40) + 1, u64::MAX] {
        assert!(writer::<Vhdx>(size, &[]).err().unwrap().message.contains("64 TiB"));
    }
}

#[test]
fn blocks_begin_at_whole_mib_in_the_order_of_the_disk() {
    let unit = |index| Unit { index, stored: 64 << 10, codec: Codec::None };
    let units = [unit(17), unit(31), unit(16 * 70), unit(16 * 99 + 15)];
    let mut once = writer::<Vhdx>(100 * MIB, &[("block-size", "2M")]).unwrap();
    assert_eq!(once.shape().unit, 64 << 10);
    let places = once.place(&units).unwrap();
    let [data, kib] = [4 * MIB, 1024];
    assert_eq!(
        places,
        [data + MIB + 64 * kib, data + MIB + 960 * kib, data + 2 * MIB, data + 5 * MIB + 960 * kib]
    );
    assert!(once.place(&[unit(1600)]).is_err() && once.place(&[unit(1599)]).is_err());
    let mut again = writer::<Vhdx>(100 * MIB, &[("block-size", "2M")]).unwrap();
    for one in units {
        again.place(&[one]).unwrap();
    }
    for page in 0..2 {
        assert_eq!(once.finish(page).unwrap(), again.finish(page).unwrap());
    }
    assert_eq!(once.finish(1).unwrap().length, data + 6 * MIB);
    let mut fixed = writer::<Vhdx>(100 * MIB, &[("block-size", "2M"), ("subformat", "fixed")]).unwrap();
    assert_eq!(fixed.place(&[unit(17), unit(1599)]).unwrap(), [data + 17 * 64 * kib, data + 1599 * 64 * kib]);
    assert_eq!(fixed.finish(1).unwrap().length, data + 100 * MIB);
}

/// QEMU's sizes of blocks.
#[test]
fn blocks_are_larger_in_larger_disks() {
    for (size, mib) in [(1 << 30, 8), ((1 << 30) + 1, 16), (101 << 30, 32), (33 << 40, 64)] {
        let (_folder, path) = make(size, Pattern::Zero, &[]);
        let facts = open::<Vhdx>(&[&path]).unwrap().facts();
        assert_eq!(u64::from(facts.unit), mib * MIB, "{size}");
    }
}

#[test]
fn facts_say_what_was_made() {
    let options = [
        ("uuid", UUID),
        ("data-uuid", OTHER),
        ("subformat", "fixed"),
        ("sector-size", "4096"),
        ("block-size", "2M"),
    ];
    let (_folder, path) = make(MIB + 1, Pattern::Dense, &options);
    let facts = open::<Vhdx>(&[&path]).unwrap().facts();
    assert_eq!((facts.virtual_size, facts.variant_name.as_str()), (MIB + 4096, "vhdx fixed"));
    for (key, value) in [
        ("subformat", "fixed"),
        ("creator", concat!("Wherry ", env!("CARGO_PKG_VERSION"))),
        ("uuid", UUID),
        ("data-uuid", OTHER),
        ("block-size", "2097152"),
        ("sector-size", "4096"),
        ("physical-sector-size", "4096"),
    ] {
        assert_eq!(find(&facts.facts, key), Some(value), "{key}");
    }
    assert!(facts.concerns.is_empty() && facts.parent.is_none());
    let bytes = read(&path);
    assert_eq!(Vhdx::probe(&bytes[..65536], &[]).as_deref(), Some("vhdx"));
    assert_eq!(Vhdx::probe(&bytes[1..65536], &bytes), None);
    assert_eq!(Vhdx::probe(&[], &[]), None);
}

#[test]
fn a_parent_that_the_image_does_not_have_is_refused() {
    let (_folder, path) = make(MIB, Pattern::Dense, &[]);
    let refused = open::<Vhdx>(&[&path, &path]).err().unwrap();
    assert!(refused.kind == ErrorKind::InvalidInput && refused.message.contains("leave it out"));
}

/// The header with the larger number counts, and if one of the two is damaged, the other.
#[test]
fn either_header_is_enough() {
    let (_folder, path) = make(5 * MIB, Pattern::Alternating, &[("uuid", UUID)]);
    let (image, [old, new]) = (read(&path), [64 << 10, 128 << 10]);
    let expected = decode::<Vhdx>(&[&path], 9);
    let uuid = |image: &[u8]| {
        write(&path, image);
        open::<Vhdx>(&[&path]).map(|reader| find(&reader.facts().facts, "data-uuid").unwrap().to_owned())
    };
    let mut both = image.clone();
    edit(&mut both, (old, 4096), &[(32, &[0x77; 16])]);
    assert_eq!(uuid(&both).unwrap(), UUID);
    both[new + 9] ^= 1;
    assert_eq!(uuid(&both).unwrap(), "77777777-7777-7777-7777-777777777777");
    assert!(decode::<Vhdx>(&[&path], 9) == expected);
    both[old] ^= 1;
    assert_eq!(uuid(&both).unwrap_err().kind, ErrorKind::Corrupt);
    let mut same = image.clone();
    edit(&mut same, (old, 4096), &[(8, &[2]), (32, &[0x77; 16])]);
    assert!(uuid(&same).unwrap_err().message.contains("sequence number"));
    same.copy_within(old..old + 4096, new);
    assert!(uuid(&same).is_ok(), "as Disk2vhd writes them");
}

#[test]
fn a_damaged_region_table_is_replaced_by_its_copy() {
    let (_folder, path) = make(5 * MIB, Pattern::Alternating, &[]);
    let expected = decode::<Vhdx>(&[&path], 9);
    let mut image = read(&path);
    image[TABLES[0] + 20] ^= 1;
    write(&path, &image);
    let concerns = open::<Vhdx>(&[&path]).unwrap().facts().concerns;
    assert_eq!((concerns[0].id.as_str(), concerns[0].severity), ("vhdx.region-table", Severity::Warning));
    assert!(decode::<Vhdx>(&[&path], 9) == expected);
    image[TABLES[1] + 20] ^= 1;
    write(&path, &image);
    assert_eq!(open::<Vhdx>(&[&path]).err().unwrap().kind, ErrorKind::Corrupt);
}

/// What this version does not know may be there, unless the image needs it.
#[test]
fn unknown_regions_and_items_are_refused_if_they_are_needed() {
    let (_folder, path) = make(5 * MIB, Pattern::Alternating, &[]);
    let image = read(&path);
    let end = (image.len() as u64).to_le_bytes();
    for needed in [0, 1u8] {
        let mut regions = image.clone();
        regions.resize(image.len() + MIB as usize, 0);
        for at in TABLES {
            edit(
                &mut regions,
                (at, 64 << 10),
                &[(8, &[3]), (80, &[9; 16]), (96, &end), (106, &[0x10]), (108, &[needed])],
            );
        }
        let mut items = image.clone();
        let entry = 2 * MIB as usize + 32 + 5 * 32;
        items[2 * MIB as usize + 10] = 6;
        items[entry..entry + 16].fill(9);
        items[entry + 24] = needed << 2;
        for image in [regions, items] {
            write(&path, &image);
            match open::<Vhdx>(&[&path]) {
                Ok(_) => assert_eq!(needed, 0),
                Err(error) => {
                    assert!(needed == 1 && error.kind == ErrorKind::Unsupported, "{error:?}");
                    assert!(error.message.contains("09090909-0909-0909-0909-090909090909"), "{error:?}");
                }
            }
        }
    }
}

/// Undefined and unmapped blocks are zero here and for QEMU.
#[test]
fn states_of_blocks() {
    let (folder, path) = make(8 * MIB, Pattern::Dense, &[("block-size", "1M")]);
    let raw = folder.path().join("a.raw");
    let mut image = read(&path);
    let whole = SparseDisk::new(8 * MIB, Pattern::Dense, 1).read(0, 8 * MIB);
    for state in [0, 1, 2, 3, 5] {
        image[BAT] = state;
        write(&path, &image);
        let decoded = decode::<Vhdx>(&[&path], 3);
        assert!(decoded[..FIRST] == [0; FIRST] && decoded[FIRST..] == whole[FIRST..], "{state}");
        run("qemu-img", &["convert", "-f", "vhdx", "-O", "raw", text(&path), text(&raw)]);
        assert!(decoded == read(&raw), "{state}");
    }
    for state in [4, 7] {
        image[BAT] = state;
        write(&path, &image);
        let error = open::<Vhdx>(&[&path]).unwrap().extents(0, 9).unwrap_err();
        assert!(error.kind == ErrorKind::Corrupt && error.message.contains("block 0"), "{error:?}");
    }
}
