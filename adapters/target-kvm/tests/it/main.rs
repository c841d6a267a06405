//! The adapter against an output directory on disk, `virt-xml-validate` and QEMU itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod bench;
mod choice;
mod claim;
mod definitions;
mod guests;
