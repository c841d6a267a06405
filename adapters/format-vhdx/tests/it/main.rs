//! VHDX images written by us and read by QEMU, written by QEMU and read by us, crashed and damaged ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod edit;
mod exercise;
mod hostile;
mod libvhdi;
mod log;
mod made;
mod qemu;
