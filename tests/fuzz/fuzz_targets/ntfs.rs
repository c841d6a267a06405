//! NTFS volumes, read and changed. mkntfs makes none of less than 1 MiB.
#![no_main]

#[path = "../../../adapters/fs-ntfs/tests/it/exercise.rs"]
mod exercise;
#[path = "../sectors.rs"]
mod sectors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(&sectors::unpack(bytes, 1100 << 10)));
