//! Disks made by genisoimage and xorriso, read by the adapter.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod exercise;
mod hostile;
mod lab;
mod linux;
mod reading;
mod sierra;
