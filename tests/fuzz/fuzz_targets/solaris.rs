//! A Solaris whose tables, menus and archives are all the same bytes.
#![no_main]

#[path = "../../../adapters/os-solaris/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
