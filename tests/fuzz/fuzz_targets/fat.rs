//! FAT volumes, read and edited.
#![no_main]

#[path = "../../../adapters/fs-fat/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
