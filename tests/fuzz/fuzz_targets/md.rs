//! Superblocks of Linux MD arrays.
#![no_main]

#[path = "../../../adapters/volume-md/tests/it/exercise.rs"]
mod exercise;
#[path = "../../../adapters/volume-md/tests/it/made.rs"]
#[allow(dead_code, reason = "what its other tests use")]
mod made;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
