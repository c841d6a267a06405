//! Pools that OpenZFS and zfs-fuse made and filled, read by the adapter.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod exercise;
mod hostile;
mod labels;
mod pools;
mod reading;
mod redundancy;
mod used;
