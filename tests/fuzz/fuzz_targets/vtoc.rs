//! Solaris disk labels.
#![no_main]

#[path = "../../../adapters/volume-vtoc/tests/it/exercise.rs"]
mod exercise;
#[path = "../../../adapters/volume-vtoc/tests/it/made.rs"]
#[allow(dead_code, reason = "what its other tests use")]
mod made;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
