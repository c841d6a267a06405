//! Drives the adapter on any bytes.

use fs_bitlocker::Driver;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{ErrorKind, FileSystem};

/// Whatever is named is refused with the remedy.
pub fn exercise(bytes: &[u8]) {
    let device = MemoryBlob::read_only(bytes);
    let found = Driver::probe(&device).expect("reading does not fail here");
    assert!(found.as_ref().is_none_or(|found| found.kind == "bitlocker" && found.facts.len() < 1100));
    let refused = Driver::mount(Box::new(device), false).err();
    let kind = if found.is_some() { ErrorKind::Unsupported } else { ErrorKind::Corrupt };
    assert!(refused.is_some_and(|e| e.kind == kind && (found.is_none() || e.message.contains("manage-bde"))));
}
