//! Every public call of the reader on any bytes, with what must hold of the answers.

use format_qcow2::Qcow2;
use wherry_sdk::format::{Extent, Place};
use wherry_sdk::testing::{MemoryBlob, image};
use wherry_sdk::{Blob, DiskFormat, FormatReader};

/// Bytes of the parent that is offered.
const PARENT: u64 = 100_000;
/// Pages of ranges that are asked for: an image may be very large.
const PAGES: u32 = 200;

/// Probes, opens and reads the map of `bytes`, without and with a parent.
pub fn exercise(bytes: &[u8]) {
    let end = bytes.len().saturating_sub(64 << 10);
    let variant = Qcow2::probe(&bytes[..bytes.len().min(64 << 10)], &bytes[end..]);
    let image = MemoryBlob::read_only(bytes);
    let parent = MemoryBlob::read_only(vec![0; PARENT as usize]);
    for parts in [vec![image.clone()], vec![image, parent]] {
        let parts = parts.into_iter().map(|blob| Box::new(blob) as Box<dyn Blob>).collect();
        let Ok(mut reader) = <Qcow2 as DiskFormat>::Reader::open(parts) else { continue };
        assert_eq!(variant, Some(reader.facts().variant_name));
        walk(&mut reader, bytes.len() as u64);
    }
}

fn walk(reader: &mut <Qcow2 as DiskFormat>::Reader, file: u64) {
    let facts = reader.facts();
    assert!(facts.unit.is_power_of_two() && (512..=2 << 20).contains(&facts.unit));
    image::walk(reader, |extent| check(extent, u64::from(facts.unit), file));
    marks(reader, facts.virtual_size);
}

/// What the bitmap of the test images says: ranges in order, inside the disk.
fn marks(reader: &mut <Qcow2 as DiskFormat>::Reader, size: u64) {
    let mut start = 0;
    for page in 0..PAGES {
        let most = [1, 3, u32::MAX][page as usize % 3];
        let Ok(ranges) = reader.changed("since", start, most) else { break };
        assert!(ranges.len() <= most as usize);
        for range in &ranges {
            assert!(range.offset >= start && range.length > 0);
            start = range.offset.checked_add(range.length).unwrap();
        }
        assert!(start <= size);
        if ranges.is_empty() {
            break;
        }
    }
}

fn check(extent: &Extent, unit: u64, file: u64) {
    assert!(extent.length > 0);
    let within = |offset: u64, length, size| offset.checked_add(length).is_some_and(|end| end <= size);
    match extent.at {
        Place::Zero => {}
        Place::Stored(offset) => assert!(within(offset, extent.length, file), "{extent:?}"),
        Place::StoredIn((part, offset)) => {
            assert!(
                part == 1 && offset == extent.logical && within(offset, extent.length, PARENT),
                "{extent:?}"
            );
        }
        Place::Compressed((_, offset, length)) => {
            assert!(within(offset, length, file) && length > 0 && length <= 2 * unit, "{extent:?}");
            assert!(extent.logical.is_multiple_of(unit) && extent.length <= unit, "{extent:?}");
        }
    }
}
