//! The adapter against sfdisk, fdisk and sgdisk, and against damage.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod adding;
mod disks;
mod exercise;
mod hostile;
mod tables;
mod types;
