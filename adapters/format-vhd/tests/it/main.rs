//! VHD images written by us and read by QEMU, written by QEMU and read by us, and damaged ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod edit;
mod exercise;
mod hostile;
mod qemu;
