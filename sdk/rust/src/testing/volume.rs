//! What a volume adapter's tests need.

use super::MemoryBlob;
use crate::volume::{Layout, ZEROES};
use crate::{Blob, VolumeMap};
use std::collections::BTreeSet;

/// The layout of these devices, which is within bounds: unique names, gapless segments inside their devices, and a concern
/// where something has none.
///
/// # Panics
/// If it is not.
pub fn scan<V: VolumeMap>(devices: &[&[u8]]) -> Layout {
    let blobs: Vec<Box<dyn Blob>> =
        devices.iter().map(|bytes| Box::new(MemoryBlob::read_only(*bytes)) as Box<dyn Blob>).collect();
    scan_blobs::<V>(&blobs)
}

/// The same of devices that are anything.
///
/// # Panics
/// As [`scan`].
pub fn scan_blobs<V: VolumeMap>(devices: &[Box<dyn Blob>]) -> Layout {
    let layout = V::scan(devices).expect("what is damaged becomes a concern");
    let ids: BTreeSet<&str> = layout.parts.iter().map(|part| part.id.as_str()).collect();
    assert_eq!(ids.len(), layout.parts.len(), "every part has an id of its own");
    assert!(layout.parts.iter().map(|part| part.segments.len()).sum::<usize>() <= 1 << 20);
    for part in &layout.parts {
        let mut end = 0;
        for segment in &part.segments {
            assert_eq!(segment.logical, end, "{}: no gaps", part.id);
            assert!(segment.length > 0);
            end = segment.logical.checked_add(segment.length).expect("no overflow");
            if segment.device == ZEROES {
                assert_eq!(segment.offset, 0, "{}: zeroes lie nowhere", part.id);
                continue;
            }
            let size = devices[segment.device as usize].size();
            let last = segment.offset.checked_add(segment.length).expect("no overflow");
            assert!(last <= size, "{}: within the device", part.id);
        }
        let refused = part.segments.is_empty();
        assert!(!refused || !layout.concerns.is_empty(), "{}: refused for a reason", part.id);
    }
    layout
}
