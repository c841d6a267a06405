//! Drives the parser on any bytes: as a disk, and as a database on two disks.

use crate::made;
use volume_ldm::Ldm;
use wherry_sdk::testing::volume;
use wherry_sdk::volume::Layout;

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

/// The layout, which is within bounds.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let layout = volume::scan::<Ldm>(devices);
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("ldm.") && one.message.len() < 2000));
    layout
}
