//! What reader and writer promise their host.

use format_vdi::Vdi;
use std::path::PathBuf;
use tempfile::{TempDir, tempdir};
use wherry_sdk::format::{Codec, Place, Unit};
use wherry_sdk::image::Uuid;
use wherry_sdk::testing::image::{Pattern, SparseDisk, decode, extents, open, run, text, writer};
use wherry_sdk::{DiskFormat, ErrorKind, FormatReader, FormatWriter, Severity, find};

const MIB: u64 = 1 << 20;
const PARENT: &str = "00112233-4455-6677-8899-aabbccddeeff";

fn unit(index: u64) -> Unit {
    Unit { index, stored: MIB as u32, codec: Codec::None }
}

#[test]
fn options_and_sizes_are_checked() {
    for (key, value) in [("uuid", "x"), ("block-size", "2M"), ("sector-size", "4096")] {
        let refused = writer::<Vdi>(1, &[(key, value)]).err().unwrap();
        assert!(refused.kind == ErrorKind::InvalidInput && refused.message.contains(key), "{refused:?}");
    }
    assert!(writer::<Vdi>(536_870_911 * MIB, &[]).is_ok());
    for size in [536_870_911 * MIB + 1, u64::MAX] {
        assert!(writer::<Vdi>(size, &[]).err().unwrap().message.contains("536870911 MiB"));
    }
}

#[test]
fn places_are_whole_mib_in_order_and_the_same_again() {
    let mut once = writer::<Vdi>(100 * MIB, &[]).unwrap();
    assert_eq!(once.shape().unit, 1 << 20);
    assert_eq!(once.place(&[unit(3), unit(5)]).unwrap(), [MIB, 2 * MIB]);
    assert_eq!(once.place(&[unit(99)]).unwrap(), [3 * MIB]);
    for (wrong, words) in [
        (unit(100), "beyond"),
        (unit(99), "once, in the disk's order"),
        (Unit { codec: Codec::Zstd, ..unit(99) }, "Zstd"),
        (Unit { stored: 0, ..unit(99) }, "0 bytes"),
    ] {
        let refused = once.place(&[wrong]).unwrap_err();
        assert!(refused.kind == ErrorKind::InvalidInput && refused.message.contains(words), "{refused:?}");
    }
    let mut again = writer::<Vdi>(100 * MIB, &[]).unwrap();
    again.place(&[unit(3), unit(5), unit(99)]).unwrap();
    assert_eq!(once.finish(0).unwrap(), again.finish(0).unwrap());
}

#[test]
fn facts_say_what_was_made() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vdi");
    SparseDisk::new(1000, Pattern::Dense, 1).write_image::<Vdi>(&path, &[("uuid", PARENT)]);
    let facts = open::<Vdi>(&[&path]).unwrap().facts();
    assert_eq!((facts.virtual_size, facts.unit, facts.variant_name.as_str()), (1024, 1 << 20, "vdi 1.1"));
    for (key, value) in [("subformat", "dynamic"), ("uuid", PARENT), ("blocks-allocated", "1")] {
        assert_eq!(find(&facts.facts, key), Some(value));
    }
    assert!(facts.concerns.is_empty() && facts.parent.is_none());
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(Vdi::probe(&bytes, &[]).as_deref(), Some("vdi 1.1"));
    assert_eq!(Vdi::probe(&[0; 512], &[]), None);
}

/// A differencing image: blocks 0 stored, 1 zero, 2 free, 3 free.
fn difference() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vdi");
    run("qemu-img", &["create", "-q", "-f", "vdi", text(&path), "4M"]);
    run("qemu-io", &["-f", "vdi", "-c", "write -P 9 0 1M", text(&path)]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0x4c] = 4;
    bytes[0x1a8..0x1b8].copy_from_slice(&Uuid::parse(PARENT).unwrap().guid());
    bytes[516..520].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn a_difference_is_refused_without_its_parent_and_read_through_it() {
    let (folder, path) = difference();
    let mut alone = open::<Vdi>(&[&path]).unwrap();
    let facts = alone.facts();
    assert_eq!(facts.parent.as_deref(), Some(PARENT));
    assert_eq!(
        (facts.concerns[0].id.as_str(), facts.concerns[0].severity),
        ("vdi.parent", Severity::Blocking)
    );
    assert!(alone.extents(0, 9).unwrap_err().message.contains(PARENT));
    let parent = folder.path().join("parent.raw");
    std::fs::write(&parent, vec![7; 3 * MIB as usize + 512]).unwrap();
    let mut expected = vec![0; 4 * MIB as usize];
    expected[..MIB as usize].fill(9);
    expected[2 * MIB as usize..3 * MIB as usize + 512].fill(7);
    assert!(decode::<Vdi>(&[&path, &parent], 1) == expected);
}

/// VirtualBox puts the extra bytes in front of each block.
#[test]
fn extra_bytes_in_front_of_blocks_are_passed_over() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vdi");
    SparseDisk::new(2 * MIB, Pattern::Dense, 1).write_image::<Vdi>(&path, &[]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0x17c..0x180].copy_from_slice(&512u32.to_le_bytes());
    bytes.resize(bytes.len() + 1024, 0);
    std::fs::write(&path, bytes).unwrap();
    let places: Vec<Place> =
        extents(&mut open::<Vdi>(&[&path]).unwrap(), 9).iter().map(|extent| extent.at).collect();
    assert_eq!(places, [Place::Stored(MIB + 512), Place::Stored(2 * MIB + 1024)]);
}

#[test]
fn a_parent_that_the_image_does_not_have_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vdi");
    SparseDisk::new(MIB, Pattern::Dense, 1).write_image::<Vdi>(&path, &[]);
    assert_eq!(open::<Vdi>(&[&path, &path]).err().unwrap().kind, ErrorKind::InvalidInput);
}
