//! Whole guests of many releases, adapted to many machines.
#![allow(clippy::unwrap_used, reason = "tests")]

mod archive;
mod cpio;
mod exercise;
mod filestat;
mod golden;
mod guests;
mod hostile;
mod hsfs;
mod hsfs_exercise;
mod identify;
#[path = "../../../fs-ufs/tests/it/images.rs"]
#[allow(dead_code, reason = "some of it is for fs-ufs alone")]
mod images;
mod odd;
mod probe;
#[path = "../../../fs-ufs/tests/it/raw.rs"]
#[allow(dead_code, reason = "some of it is for fs-ufs alone")]
mod raw;
mod tables;
mod ufs;
