//! INF files of driver packages, chosen from and imported.
#![no_main]

#[path = "../../../adapters/os-windows/tests/it/inf_exercise.rs"]
mod inf_exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inf_exercise::exercise(bytes));
