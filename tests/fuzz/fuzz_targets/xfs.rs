//! XFS volumes, read.
#![no_main]

#[path = "../../../adapters/fs-xfs/tests/it/exercise.rs"]
mod exercise;
mod sectors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(&sectors::unpack(bytes, SIZEM << 20)));
