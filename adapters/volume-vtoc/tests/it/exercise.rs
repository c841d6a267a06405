//! Drives the parser on any bytes: as a device, and as a label whose sum is right.

use crate::made;
use volume_vtoc::Vtoc;
use wherry_sdk::testing::volume;
use wherry_sdk::volume::Layout;

/// Scans these bytes in every way; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    checked_scan(&[bytes]);
    let mut label = bytes[..bytes.len().min(512)].to_vec();
    label.resize(512, 0);
    made::seal(&mut label);
    let sparc = [label.as_slice(), &vec![0; 1 << 18]].concat();
    let x86 = [&[0; 512], label.as_slice(), &vec![0; 1 << 18]].concat();
    // Through a slice that starts where the disk does, too.
    checked_scan(&[&sparc, &sparc[..1 << 16], &x86]);
}

/// The layout, which is within bounds.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let layout = volume::scan::<Vtoc>(devices);
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("vtoc.") && one.message.len() < 2000));
    layout
}
