//! Volumes that LUKS encrypted, named.
#![no_main]

#[path = "../../../adapters/fs-luks/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
