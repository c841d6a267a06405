//! VHDX images, made of a few bytes, with their checksums made right.
#![no_main]

#[path = "../../../adapters/format-vhdx/tests/it/exercise.rs"]
mod exercise;
#[path = "../../../adapters/format-vhdx/tests/it/made.rs"]
#[allow(dead_code, reason = "what its other tests use")]
mod made;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    exercise::exercise(&made::image(bytes));
});
