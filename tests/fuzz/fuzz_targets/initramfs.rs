//! Initramfs images, module indexes and modules.
#![no_main]

#[path = "../../../adapters/os-linux/tests/it/initramfs_exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
