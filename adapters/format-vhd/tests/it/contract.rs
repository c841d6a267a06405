//! What reader and writer promise their host.

use format_vhd::Vhd;
use tempfile::tempdir;
use wherry_sdk::format::{Codec, Unit};
use wherry_sdk::testing::image::{Pattern, SparseDisk, decode, open, writer};
use wherry_sdk::{DiskFormat, ErrorKind, FormatReader, FormatWriter, Severity, find};

const MIB: u64 = 1 << 20;
const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

fn unit(index: u64) -> Unit {
    Unit { index, stored: 2 << 20, codec: Codec::None }
}

#[test]
fn options_and_sizes_are_checked() {
    for (key, value) in
        [("uuid", "x"), ("subformat", "thin"), ("align", "3"), ("time", "1"), ("sector-size", "4096")]
    {
        let refused = writer::<Vhd>(512, &[(key, value)]).err().unwrap();
        assert!(refused.kind == ErrorKind::InvalidInput && refused.message.contains(key), "{refused:?}");
    }
    assert!(writer::<Vhd>(2040 << 30, &[]).is_ok());
    for size in [(2040 << 30) + 1, u64::MAX] {
        assert!(writer::<Vhd>(size, &[]).err().unwrap().message.contains("2040 GiB"));
    }
}

#[test]
fn data_begins_at_whole_pages_and_the_same_again() {
    let mut once = writer::<Vhd>(100 * MIB, &[]).unwrap();
    let places = once.place(&[unit(3), unit(5), unit(49)]).unwrap();
    assert!(places.iter().all(|place| place.is_multiple_of(4096)), "{places:?}");
    let refused = once.place(&[unit(50)]).unwrap_err();
    assert!(refused.kind == ErrorKind::InvalidInput && refused.message.contains("beyond"), "{refused:?}");
    let mut again = writer::<Vhd>(100 * MIB, &[]).unwrap();
    for (number, place) in [3, 5, 49].into_iter().zip(places) {
        assert_eq!(again.place(&[unit(number)]).unwrap(), [place]);
    }
    assert_eq!(once.finish(0).unwrap(), again.finish(0).unwrap());
}

#[test]
fn facts_say_what_was_made() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vhd");
    let options = [("uuid", UUID), ("align", "1M"), ("subformat", "fixed"), ("time", "1790000000")];
    SparseDisk::new(1000, Pattern::Dense, 1).write_image::<Vhd>(&path, &options);
    let facts = open::<Vhd>(&[&path]).unwrap().facts();
    assert_eq!((facts.virtual_size, facts.variant_name.as_str()), (MIB, "vhd fixed"));
    for (key, value) in
        [("subformat", "fixed"), ("uuid", UUID), ("whole-mib", "true"), ("time", "1790000000")]
    {
        assert_eq!(find(&facts.facts, key), Some(value));
    }
    assert!(facts.concerns.is_empty() && facts.parent.is_none());
    // What Azure wants of a file: whole MiB and the footer behind them.
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, MIB + 512);
    assert!(bytes[MIB as usize..].starts_with(b"conectix"));
    assert!(Vhd::probe(&[0; 512], &bytes[bytes.len() - 512..]).is_some());
    assert_eq!(Vhd::probe(&[0; 512], &[0; 512]), None);
}

/// The checksum of a footer or header with its field at `at`.
fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = !bytes.iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn a_difference_is_refused_without_its_parent_and_read_through_it() {
    let folder = tempdir().unwrap();
    let (path, parent) = (folder.path().join("a.vhd"), folder.path().join("parent.raw"));
    let disk = SparseDisk::new(6 * MIB, Pattern::Dense, 1);
    disk.write_image::<Vhd>(&path, &[]);
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = disk.read(0, 6 * MIB);
    let end = bytes.len() - 512;
    for at in [0, end] {
        bytes[at + 63] = 4;
        seal(&mut bytes[at..at + 512], 64);
    }
    // Block 1 is the parent's, and the first 8 sectors of block 2.
    bytes[512 + 1024 + 4..512 + 1024 + 8].fill(0xff);
    let entry = u32::from_be_bytes(bytes[1544..1548].try_into().unwrap()) as usize * 512;
    bytes[entry] = 0;
    seal(&mut bytes[512..1536], 36);
    std::fs::write(&path, bytes).unwrap();
    let mut alone = open::<Vhd>(&[&path]).unwrap();
    let concern = alone.facts().concerns.remove(0);
    assert_eq!((concern.id.as_str(), concern.severity), ("vhd.parent", Severity::Blocking));
    assert!(alone.extents(0, 9).is_err());
    std::fs::write(&parent, vec![7; 6 * MIB as usize]).unwrap();
    let mut expected = whole;
    expected[2 * MIB as usize..4 * MIB as usize].fill(7);
    expected[4 * MIB as usize..4 * MIB as usize + 8 * 512].fill(7);
    assert!(decode::<Vhd>(&[&path, &parent], 1) == expected);
}

#[test]
fn a_damaged_footer_is_replaced_by_its_copy_and_said() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vhd");
    let disk = SparseDisk::new(5 * MIB, Pattern::LastSector, 1);
    disk.write_image::<Vhd>(&path, &[]);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 200;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let facts = open::<Vhd>(&[&path]).unwrap().facts();
    assert_eq!(facts.concerns[0].id, "vhd.footer");
    disk.check_image::<Vhd>(&path);
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let refused = open::<Vhd>(&[&path]).err().unwrap();
    assert!(refused.kind == ErrorKind::Corrupt && refused.message.contains("conectix"), "{refused:?}");
}
