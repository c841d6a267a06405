//! VHD images, with their checksums made right.
#![no_main]

#[path = "../../../adapters/format-vhd/tests/it/exercise.rs"]
mod exercise;
#[path = "../../../adapters/format-vhd/tests/it/edit.rs"]
#[allow(dead_code, reason = "what its other tests use")]
mod edit;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut mended = bytes.to_vec();
    edit::mend(&mut mended);
    exercise::exercise(&mended);
});
