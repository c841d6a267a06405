//! Drives the parser on any bytes: as a disk, and as a database on two disks.

use crate::made;
use std::collections::BTreeSet;
use volume_ldm::Ldm;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::volume::Layout;
use wherry_sdk::{Blob, VolumeMap};

/// Scans these bytes in every way; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    checked_scan(&[bytes]);
    let mut database = bytes[..bytes.len().min(2048 * 512)].to_vec();
    database.resize(2048 * 512, 0);
    for sector in [1, 2, 2045, 2046] {
        made::seal(&mut database[sector * 512..][..512]);
    }
    checked_scan(&[&made::mbr(1, &database), &made::gpt(2, &database)]);
}

/// The layout, which is within bounds: unique names, gapless segments inside their devices.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let blobs: Vec<Box<dyn Blob>> =
        devices.iter().map(|bytes| Box::new(MemoryBlob::read_only(*bytes)) as Box<dyn Blob>).collect();
    let layout = Ldm::scan(&blobs).expect("what is damaged becomes a concern");
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
            let last = segment.offset.checked_add(segment.length).expect("no overflow");
            assert!(last <= size, "{}: within the device", part.id);
        }
        assert!(
            !part.segments.is_empty() || !layout.concerns.is_empty(),
            "{}: refused for a reason",
            part.id
        );
    }
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("ldm.") && one.message.len() < 2000));
    layout
}
