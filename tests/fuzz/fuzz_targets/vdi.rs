//! VDI images.
#![no_main]

#[path = "../../../adapters/format-vdi/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    exercise::exercise(bytes);
});
