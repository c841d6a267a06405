//! File systems made by mksquashfs, read by the adapter and by Linux' own driver.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod exercise;
mod hostile;
mod images;
mod reading;
