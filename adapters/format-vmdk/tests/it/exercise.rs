//! Every public call of the reader on any bytes, with what must hold of the answers.

use format_vmdk::Vmdk;
use wherry_sdk::format::{Extent, Place};
use wherry_sdk::testing::{MemoryBlob, image};
use wherry_sdk::{Blob, DiskFormat, FormatReader};

type Reader = <Vmdk as DiskFormat>::Reader;

/// Bytes of the parent that is offered.
const PARENT: u64 = 100_000;

/// The bytes as an image of one file, and as the extent that a descriptor names as hosted, COWD, seSparse and flat.
pub fn exercise(bytes: &[u8]) {
    let image = MemoryBlob::read_only(bytes);
    let parent = MemoryBlob::read_only(vec![0; PARENT as usize]);
    let end = bytes.len().saturating_sub(64 << 10);
    Vmdk::probe(&bytes[..bytes.len().min(64 << 10)], &bytes[end..]);
    open(&[&image]);
    open(&[&image, &parent]);
    for (kind, sectors) in [("SPARSE", 10_240), ("SPARSE", 2048), ("SESPARSE", 2048), ("FLAT", 8)] {
        let line = format!("RW {sectors} {kind} \"a\" 0\nparentCID=00000001\nRW 8 ZERO\n");
        let descriptor = MemoryBlob::read_only(format!("# Disk DescriptorFile\n{line}"));
        open(&[&descriptor, &image, &parent]);
    }
}

fn open(parts: &[&MemoryBlob]) {
    let sizes: Vec<u64> = parts.iter().map(|part| part.size()).collect();
    let parts = parts.iter().map(|part| Box::new((*part).clone()) as Box<dyn Blob>).collect();
    let Ok(mut reader) = Reader::open(parts) else { return };
    walk(&mut reader, &sizes);
}

fn walk(reader: &mut Reader, sizes: &[u64]) {
    let facts = reader.facts();
    assert!(facts.unit.is_power_of_two() && facts.unit >= 512);
    assert!(facts.files.iter().all(|name| !name.contains(['/', '\\', '\0']) && !name.contains("..")));
    image::walk(reader, |extent| check(extent, u64::from(facts.unit), sizes, facts.virtual_size));
}

fn check(extent: &Extent, unit: u64, sizes: &[u64], size: u64) {
    assert!(extent.length > 0);
    let within = |part: u32, offset: u64, length| {
        offset.checked_add(length).is_some_and(|end| end <= sizes[part as usize])
    };
    match extent.at {
        Place::Zero => {}
        Place::Stored(offset) => assert!(within(0, offset, extent.length), "{extent:?}"),
        Place::StoredIn((part, offset)) => {
            assert!(part > 0 && within(part, offset, extent.length), "{extent:?}")
        }
        Place::Compressed((_, offset, length)) => {
            assert!(within(0, offset, length) && length > 0 && length <= 2 * unit, "{extent:?}");
            let whole = unit.min(size - extent.logical);
            assert!(extent.logical.is_multiple_of(unit) && extent.length == whole, "{extent:?}");
        }
    }
}
