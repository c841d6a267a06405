//! Volumes made by mkntfs and ntfs-3g, read and changed by the adapter, then looked at by them again.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod check;
mod described;
mod edits;
mod exercise;
mod hostile;
mod idle;
mod images;
mod model;
mod packed;
mod packed_exercise;
mod packed_hostile;
mod raw;
mod reading;
mod recorded;
mod replay;
mod replay_hostile;
mod states;
mod states_exercise;
mod states_hostile;
mod tools;
mod tree;
mod used;
mod wim;
