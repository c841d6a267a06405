//! NTFS' log and the hibernation file.
#![no_main]

#[path = "../../../adapters/fs-ntfs/tests/it/states_exercise.rs"]
mod states_exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| states_exercise::exercise(bytes));
