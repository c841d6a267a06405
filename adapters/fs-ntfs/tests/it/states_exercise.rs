//! What tells the state of a volume, on bytes that may be anything.

use fs_ntfs::{bitlocker, hibernation, log};
use wherry_sdk::bytes::field;
use wherry_sdk::testing::MemoryBlob;

/// Nothing panics, and what is in doubt is said with its remedy.
pub fn exercise(bytes: &[u8]) {
    for size in [bytes.len() as u64, u64::MAX] {
        let read = |offset: u64, length: u64| {
            Ok(field(bytes, offset as usize, length.min(bytes.len() as u64) as usize).to_vec())
        };
        let state = log::judge(size, read).expect("reading does not fail here");
        assert!(state.doubt().is_none_or(|doubt| doubt.contains("Windows")));
    }
    let state = hibernation::State::read(bytes);
    assert_eq!(state.doubt().is_none(), state == hibernation::State::Awake);
    let device = MemoryBlob::read_only(bytes);
    let found = bitlocker::probe(&device).expect("reading does not fail here");
    assert!(found.as_ref().is_none_or(|found| found.kind == "bitlocker" && found.facts.len() < 1100));
    let refusal = bitlocker::refusal(&device).expect("reading does not fail here");
    assert_eq!(refusal.is_some(), found.is_some());
}
