//! Drives the parser on any bytes: as a device, and as superblocks of each version on two devices.

use crate::made;
use volume_md::Md;
use wherry_sdk::testing::volume;
use wherry_sdk::volume::Layout;

/// Scans these bytes in every way; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    checked_scan(&[bytes]);
    let half = bytes.len() / 2;
    let blocks = [&bytes[..half], &bytes[half..]];
    for version in ["0.90", "1.0", "1.1", "1.2"] {
        let devices = blocks.map(|block| made::device(version, block));
        checked_scan(&[&devices[0], &devices[1]]);
    }
}

/// The layout, which is within bounds.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let layout = volume::scan::<Md>(devices);
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("md.") && one.message.len() < 2000));
    layout
}
