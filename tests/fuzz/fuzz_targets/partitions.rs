//! Partition tables.
#![no_main]

#[path = "../../../adapters/volume-partitions/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
