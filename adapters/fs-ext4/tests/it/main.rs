//! Images made by mke2fs, debugfs, e2fsck and the kernel, read and changed by the adapter, then checked by them again.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod edits;
mod exercise;
mod features;
mod hostile;
mod images;
mod journal;
mod reading;
mod tools;
mod tree;
mod used;
