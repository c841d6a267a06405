//! Volumes that BitLocker encrypted, named.
#![no_main]

#[path = "../../../adapters/fs-bitlocker/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
