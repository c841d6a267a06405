//! Drives the parser on any bytes, as they are and with a checksum made right.

use sha2::{Digest, Sha256};
use volume_luks::Luks;
use wherry_sdk::testing::volume;
use wherry_sdk::volume::Layout;

/// Scans these bytes; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    checked_scan(&[bytes]);
    let mut repaired = bytes.to_vec();
    seal(&mut repaired);
    checked_scan(&[&repaired]);
}

/// The layout, which is within bounds.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let layout = volume::scan::<Luks>(devices);
    assert!(layout.parts.iter().all(|part| part.kind == "encrypted" && part.segments.len() == 1));
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("luks.") && one.message.len() < 1000));
    layout
}

/// Makes the checksum of the first copy of a LUKS2 header right.
pub fn seal(bytes: &mut [u8]) {
    let length = usize::try_from(wherry_sdk::bytes::big(bytes, 8, 8)).unwrap_or(usize::MAX);
    let Some(copy) = bytes.get_mut(..length) else { return };
    if copy.len() < 4096 {
        return;
    }
    copy[448..512].fill(0);
    let sum = Sha256::digest(&*copy);
    copy[448..480].copy_from_slice(&sum);
}
