//! Volumes that cryptsetup makes are named as it names them, and refused.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod exercise;
mod hostile;
mod lab;
mod naming;
