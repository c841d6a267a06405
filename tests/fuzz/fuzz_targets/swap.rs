//! Swap areas, named.
#![no_main]

#[path = "../../../adapters/fs-swap/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
