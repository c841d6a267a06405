//! What QEMU does not open, large sectors and differences, judged by libvhdi.

use crate::edit::{DATA, FIRST, ITEMS, difference, entry, make, read, write};
use format_vhdx::Vhdx;
use std::path::Path;
use tempfile::tempdir;
use wherry_sdk::testing::Random;
use wherry_sdk::testing::image::{Pattern, SparseDisk, by_libvhdi, decode, extents, open};
use wherry_sdk::{ErrorKind, FormatReader, Severity, find};

const MIB: u64 = 1 << 20;
const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

#[test]
fn sectors_of_4096_bytes() {
    for size in [4096, 5 * MIB + 4096, 40 * MIB] {
        for pattern in [Pattern::Dense, Pattern::Scattered, Pattern::LastSector] {
            for block in ["1M", "4M"] {
                let (_folder, path) = make(size, pattern, &[("sector-size", "4096"), ("block-size", block)]);
                let (bytes, said) = by_libvhdi(&[&path]);
                assert!(said.starts_with("4096 "), "{said}");
                assert!(
                    bytes == SparseDisk::new(size, pattern, 1).read(0, size),
                    "{size} {pattern:?} {block}"
                );
                assert!(decode::<Vhdx>(&[&path], 9) == bytes);
            }
        }
    }
}

/// Random bits of the sector bitmap of a block.
fn bits(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length)
        .map(|_| match random.below(4) {
            0 => 0,
            1 => 0xff,
            _ => random.next_u64() as u8,
        })
        .collect()
}

/// All states of blocks over a parent, which has data where the child has none.
#[test]
fn sector_bitmaps_decide_between_file_and_parent() {
    for (sector, bytes) in [(512, 256), (4096, 32)] {
        let folder = tempdir().unwrap();
        let (child, base) = (folder.path().join("child.vhdx"), folder.path().join("base.vhdx"));
        let size = 10 * MIB - 4096;
        let sectors = sector.to_string();
        let options = [("sector-size", sectors.as_str()), ("block-size", "1M"), ("data-uuid", UUID)];
        SparseDisk::new(size, Pattern::Dense, 2).write_image::<Vhdx>(&base, &options);
        SparseDisk::new(size, Pattern::Dense, 3).write_image::<Vhdx>(&child, &options[..2]);
        let mut image = read(&child);
        let locator = [("parent_linkage", format!("{{{UUID}}}")), ("relative_path", ".\\base.vhdx".into())];
        let locator = locator.each_ref().map(|(key, value)| (*key, value.as_str()));
        let bitmap = difference(&mut image, &locator);
        let mut random = Random::new(sector);
        for block in 0..4 {
            let at = bitmap + block * bytes;
            image[at..at + bytes].copy_from_slice(&bits(&mut random, bytes));
            entry(&mut image, block, DATA + block * FIRST, 7);
        }
        entry(&mut image, 4, 0, 0);
        entry(&mut image, 5, 0, 2);
        // The last block, which is not whole: where another one is.
        entry(&mut image, 9, DATA + 5 * FIRST, 7);
        let at = bitmap + 9 * bytes;
        image[at..at + bytes].copy_from_slice(&bits(&mut random, bytes));
        write(&child, &image);
        let mut alone = open::<Vhdx>(&[&child]).unwrap();
        let facts = alone.facts();
        assert_eq!(facts.variant_name, "vhdx differencing");
        assert_eq!(facts.parent.as_deref(), Some(".\\base.vhdx"));
        assert_eq!(find(&facts.facts, "parent-locator.parent_linkage"), Some(locator[0].1));
        assert_eq!(
            (facts.concerns[0].id.as_str(), facts.concerns[0].severity),
            ("vhdx.parent", Severity::Blocking)
        );
        assert!(alone.extents(0, 9).unwrap_err().message.contains("base.vhdx"));

        let (mut expected, said) = by_libvhdi(&[&child, &base]);
        // It takes zero for the parent's, but such a block "MUST return zeros" (2.5.1.1).
        expected[5 * FIRST..6 * FIRST].fill(0);
        assert!(said.contains(UUID), "{said}");
        // The host hands over the parent as its guest sees it.
        let parent = folder.path().join("parent.raw");
        std::fs::write(&parent, decode::<Vhdx>(&[&base], 9)).unwrap();
        for most in [1, 7, 1000] {
            assert!(decode::<Vhdx>(&[&child, &parent], most) == expected, "{sector} {most}");
        }
        // From any byte on it is the same.
        let whole = extents(&mut open::<Vhdx>(&[&child, &parent]).unwrap(), 1000);
        let mut reader = open::<Vhdx>(&[&child, &parent]).unwrap();
        for _ in 0..200 {
            let start = random.below(size);
            let [extent] = reader.extents(start, 1).unwrap()[..] else { panic!("one extent") };
            let of = whole.iter().find(|of| of.logical <= start && start < of.logical + of.length).unwrap();
            assert_eq!((extent.logical, extent.length), (start, of.logical + of.length - start));
        }
    }
}

#[test]
fn a_partly_present_block_needs_a_parent_and_a_sector_bitmap() {
    let (folder, path) = make(4 * MIB, Pattern::Dense, &[("block-size", "1M")]);
    let parent = folder.path().join("parent.raw");
    std::fs::write(&parent, [9; 512]).unwrap();
    let mut image = read(&path);
    let bitmap = difference(&mut image, &[("parent_linkage", UUID)]);
    entry(&mut image, 1, DATA, 7);
    let refused = |image: &[u8], parts: &[&Path]| {
        write(&path, image);
        open::<Vhdx>(parts).unwrap().extents(0, 9).unwrap_err().message
    };
    write(&path, &image);
    assert_eq!(open::<Vhdx>(&[&path]).unwrap().facts().parent.as_deref(), Some(UUID));
    for (offset, state, words) in [
        (bitmap, 0, "no sector bitmap"),
        (bitmap + FIRST, 6, "was it cut"),
        (0, 6, "lies in the image's tables"),
    ] {
        entry(&mut image, 4096, offset, state);
        assert!(refused(&image, &[&path, &parent]).contains(words), "{words}");
    }
    image[ITEMS + 4] = 0;
    assert!(refused(&image, &[&path]).contains("no parent"));
    // A parent that is no VHDX image.
    image[ITEMS + 4] = 2;
    image[ITEMS + 40] ^= 1;
    write(&path, &image);
    let error = open::<Vhdx>(&[&path]).err().unwrap();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("merge"), "{error:?}");
}
