//! NTFS volumes, read and changed.
#![no_main]

#[path = "../../../adapters/fs-ntfs/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
