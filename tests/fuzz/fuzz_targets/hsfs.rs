//! An ISO image in which a file is replaced. The bytes follow 32 KiB of nothing, as in every image.
#![no_main]

#[path = "../../../adapters/os-solaris/tests/it/hsfs_exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(&[&[0; 0x8000], bytes].concat()));
