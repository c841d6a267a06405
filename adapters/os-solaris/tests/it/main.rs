//! Whole guests of many releases, adapted to many machines.
#![allow(clippy::unwrap_used, reason = "tests")]

mod archive;
mod cpio;
mod exercise;
mod golden;
mod guests;
mod hostile;
mod hsfs;
mod hsfs_exercise;
mod identify;
mod odd;
mod probe;
