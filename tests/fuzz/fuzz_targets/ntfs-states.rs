//! NTFS' log, the hibernation file and BitLocker's metadata.
#![no_main]

#[path = "../../../adapters/fs-ntfs/tests/it/states_exercise.rs"]
mod states_exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| states_exercise::exercise(bytes));
