//! UFS volumes, read, and changed where they are Solaris'.
#![no_main]

#[path = "../../../adapters/fs-ufs/tests/it/exercise.rs"]
mod exercise;
#[path = "../sectors.rs"]
mod sectors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(&sectors::unpack(bytes, 8 << 20)));
