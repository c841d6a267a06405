//! File systems made by mkfs.btrfs and filled by Linux, read and changed by the adapter.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod edits;
mod exercise;
mod hostile;
mod images;
mod log;
mod reading;
mod several;
