//! SquashFS images, read.
#![no_main]

#[path = "../../../adapters/fs-squashfs/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
