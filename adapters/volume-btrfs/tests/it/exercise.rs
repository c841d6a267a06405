//! Drives the parser on any bytes: as superblocks of two devices.

use volume_btrfs::Btrfs;
use wherry_sdk::bytes::{field, part, put, put_u64};
use wherry_sdk::checksum::crc32c;
use wherry_sdk::testing::volume;
use wherry_sdk::volume::Layout;

const SUPERBLOCK: usize = 64 << 10;
const LENGTH: usize = 4096;

/// A device with this superblock, its sum, magic and place put right.
pub fn device(superblock: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 2 * SUPERBLOCK];
    let mut block = part(superblock, 0, LENGTH).to_vec();
    block.resize(LENGTH, 0);
    put(&mut block, 64, b"_BHRfS_M");
    put_u64(&mut block, 48, SUPERBLOCK as u64);
    let sum = !crc32c(!0, field(&block, 32, LENGTH - 32));
    put(&mut block, 0, &sum.to_le_bytes());
    put(&mut bytes, SUPERBLOCK, &block);
    bytes
}

/// Scans these bytes in every way; panics where an answer breaks the contract.
pub fn exercise(bytes: &[u8]) {
    checked_scan(&[bytes]);
    let (one, other) = bytes.split_at(bytes.len() / 2);
    checked_scan(&[&device(one), &device(other)]);
}

/// The layout, which is within bounds.
pub fn checked_scan(devices: &[&[u8]]) -> Layout {
    let layout = volume::scan::<Btrfs>(devices);
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("btrfs.") && one.message.len() < 2000));
    layout
}
