//! A Windows whose hives, menus and cabinets are all the same bytes.
#![no_main]

#[path = "../../../adapters/os-windows/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
