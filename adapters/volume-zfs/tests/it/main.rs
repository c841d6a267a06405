//! Pools of several devices that OpenZFS and zfs-fuse made, joined; damaged labels.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod exercise;
mod hostile;
mod pools;
mod refusals;
mod relabel;
