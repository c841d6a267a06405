//! Volumes that LUKS encrypted, described for the host to open.
#![no_main]

#[path = "../../../adapters/volume-luks/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
