//! qcow2 images.
#![no_main]

#[path = "../../../adapters/format-qcow2/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
