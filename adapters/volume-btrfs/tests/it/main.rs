//! File systems that mkfs.btrfs made over several devices, and damaged ones.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod exercise;
mod hostile;
mod joined;
mod made;
