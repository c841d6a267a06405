//! File systems made by makefs, and by a conversion of ours to Solaris' form, read and changed by the adapter.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod edits;
mod exercise;
mod hostile;
mod images;
mod raw;
mod reading;
