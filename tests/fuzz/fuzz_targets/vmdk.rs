//! VMDK images, extents and descriptors.
#![no_main]

#[path = "../../../adapters/format-vmdk/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
