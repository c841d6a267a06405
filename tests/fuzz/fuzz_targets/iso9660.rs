//! ISO 9660 disks, read.
#![no_main]

#[path = "../../../adapters/fs-iso9660/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
