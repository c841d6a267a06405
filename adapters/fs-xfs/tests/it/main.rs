//! File systems made by mkfs.xfs and filled by it or by Linux, read by the adapter.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod exercise;
mod hostile;
mod hostile_log;
mod images;
mod large;
mod linux;
mod reading;
mod replay;
mod sequence;
mod shared;
mod special;
mod used;
