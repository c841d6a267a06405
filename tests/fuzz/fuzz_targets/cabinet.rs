//! Cabinets and packed files of Windows' own.
#![no_main]

#[path = "../../../adapters/os-windows/tests/it/packed_exercise.rs"]
mod packed_exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packed_exercise::exercise(bytes));
