//! Drives the parser on any bytes: as they are, with their checksums made right, and as a metadata text.

use crate::made;
use volume_lvm2::Lvm2;
use wherry_sdk::testing::volume;
use wherry_sdk::volume::Layout;

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

/// The layout, which is within bounds.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let layout = volume::scan::<Lvm2>(devices);
    assert!(layout.parts.iter().all(|part| part.kind == "logical-volume" || part.kind == "copy"));
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("lvm.") && one.message.len() < 1000));
    layout
}
