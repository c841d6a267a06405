//! ext2, ext3 and ext4, read and edited.
#![no_main]

#[path = "../../../adapters/fs-ext4/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
