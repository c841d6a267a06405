//! INF files of driver packages, chosen from and imported.
#![no_main]

#[path = "../../../adapters/os-windows/tests/it/inf_exercise.rs"]
mod inf_exercise;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../../adapters/os-windows/tests/it/program.rs"]
mod program;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inf_exercise::exercise(bytes));
