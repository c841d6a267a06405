//! Volumes made by mkfs.vfat and mtools, read and changed by the adapter, checked by fsck.fat and mtools.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod edits;
mod exercise;
mod format;
mod hostile;
mod lab;
mod model;
mod reading;
