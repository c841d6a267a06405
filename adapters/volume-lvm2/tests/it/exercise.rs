//! Drives the parser on any bytes: as they are, with their checksums made right, and as a metadata text.

use crate::made;
use std::collections::BTreeSet;
use volume_lvm2::Lvm2;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::volume::Layout;
use wherry_sdk::{Blob, VolumeMap};

/// Scans these bytes in every way; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    checked_scan(&[bytes]);
    let mut repaired = bytes.to_vec();
    made::repair(&mut repaired);
    checked_scan(&[&repaired]);
    let (first, second) = repaired.split_at(repaired.len() / 2);
    checked_scan(&[first, second]);
    checked_scan(&[&made::physical("A", &bytes[..bytes.len().min(1 << 16)])]);
}

/// The layout, which is within bounds: unique names, gapless segments inside their devices.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let blobs: Vec<Box<dyn Blob>> =
        devices.iter().map(|bytes| Box::new(MemoryBlob::read_only(*bytes)) as Box<dyn Blob>).collect();
    let layout = Lvm2::scan(&blobs).expect("what is damaged becomes a concern");
    let ids: BTreeSet<&str> = layout.parts.iter().map(|part| part.id.as_str()).collect();
    assert_eq!(ids.len(), layout.parts.len(), "every part has an id of its own");
    assert!(layout.parts.iter().map(|part| part.segments.len()).sum::<usize>() <= 1 << 20);
    for part in &layout.parts {
        let mut end = 0;
        for segment in &part.segments {
            assert_eq!(segment.logical, end, "{}: no gaps", part.id);
            assert!(segment.length > 0);
            end = segment.logical.checked_add(segment.length).expect("no overflow");
            let size = devices[segment.device as usize].len() as u64;
            assert!(
                segment.offset.checked_add(segment.length).expect("no overflow") <= size,
                "{}: within the device",
                part.id
            );
        }
        assert_eq!(part.kind, "logical-volume");
        let refused = part.segments.is_empty();
        assert!(!refused || !layout.concerns.is_empty(), "{}: refused for a reason", part.id);
    }
    assert!(
        layout.concerns.iter().all(|concern| concern.id.starts_with("lvm.") && concern.message.len() < 1000)
    );
    layout
}
