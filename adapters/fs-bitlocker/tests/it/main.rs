//! Volumes that BitLocker encrypted are named and refused.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod exercise;
mod hostile;
mod naming;
