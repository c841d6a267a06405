//! What tells the state of a volume, on bytes that may be anything.

use fs_ntfs::{hibernation, log};
use wherry_sdk::bytes::field;

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
}
