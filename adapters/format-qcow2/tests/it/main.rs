//! qcow2 images written by us and read by QEMU, written by QEMU and read by us, and damaged ones.
//! `qemu-img` and `qemu-io` come with Debian's `qemu-utils`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bitmaps;
mod contract;
mod exercise;
mod host;
mod hostile;
mod parents;
mod qemu;
mod read;
mod refusals;
mod write;
