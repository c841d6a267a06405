//! The texts that a Linux guest is described by.
#![no_main]

#[path = "../../../adapters/os-linux/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
