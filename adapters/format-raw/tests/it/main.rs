//! The map of a raw image, read and written.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use format_raw::Raw;
use wherry_sdk::format::{Codec, Place, Unit};
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Blob, DiskFormat, ErrorKind, FormatReader, FormatWriter, fact};

type Reader = <Raw as DiskFormat>::Reader;
type Writer = <Raw as DiskFormat>::Writer;

fn image(size: usize) -> Box<dyn Blob> {
    Box::new(MemoryBlob::read_only(vec![7; size]))
}

fn unit(index: u64) -> Unit {
    Unit { index, stored: 64 << 10, codec: Codec::None }
}

#[test]
fn one_extent_from_wherever_it_is_asked() {
    let mut reader = Reader::open(vec![image(1000)]).unwrap();
    assert_eq!((reader.facts().virtual_size, reader.facts().parent), (1000, None));
    for start in [0, 1, 999] {
        let extents = reader.extents(start, 1).unwrap();
        assert_eq!((extents.len(), extents[0].logical, extents[0].length), (1, start, 1000 - start));
        assert_eq!(extents[0].at, Place::Stored(start));
    }
    for end in [1000, 1001, u64::MAX] {
        assert!(reader.extents(end, 1).unwrap().is_empty());
    }
    assert!(Reader::open(vec![image(0)]).unwrap().extents(0, 1).unwrap().is_empty());
}

#[test]
fn no_parents_and_no_probing() {
    for parts in [vec![], vec![image(1), image(1)]] {
        assert_eq!(Reader::open(parts).err().unwrap().kind, ErrorKind::InvalidInput);
    }
    assert_eq!(Raw::probe(&[0xeb; 512], &[]), None);
}

#[test]
fn units_lie_at_their_own_offsets_inside_the_disk() {
    let mut writer = Writer::create(200_000, &[]).unwrap();
    assert_eq!(writer.shape().unit, 64 << 10);
    assert_eq!(writer.place(&[unit(3), unit(0)]).unwrap(), [3 << 16, 0]);
    for beyond in [4, u64::MAX] {
        assert_eq!(writer.place(&[unit(beyond)]).unwrap_err().kind, ErrorKind::InvalidInput);
    }
    let ending = writer.finish(0).unwrap();
    assert!(ending.patches.is_empty() && !ending.more && ending.length == 200_000);
    let refused = Writer::create(1, &[fact("cluster-size", 512)]).err().unwrap();
    assert!(refused.message.contains("`cluster-size`"), "{}", refused.message);
}
