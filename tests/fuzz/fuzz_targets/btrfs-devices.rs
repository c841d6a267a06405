//! Superblocks of btrfs on several devices.
#![no_main]

#[path = "../../../adapters/volume-btrfs/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
