//! Boot loaders that the operator lends.
#![no_main]

#[path = "../../../adapters/os-linux/tests/it/lent_exercise.rs"]
mod lent_exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lent_exercise::exercise(bytes));
