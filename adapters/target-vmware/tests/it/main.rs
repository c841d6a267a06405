//! The adapter against an output directory on disk, libvirt's reader of VMX files, and govmomi's simulator of a vCenter.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod bench;
mod choice;
mod claim;
mod exercise;
mod golden;
mod hostile;
mod live;
mod reader;
mod replay;
mod vcsim;
mod wire;
