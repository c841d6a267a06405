//! LZNT1, XPRESS, LZX and the chunk tables of the Windows Overlay Filter.
#![no_main]

#[path = "../../../adapters/fs-ntfs/tests/it/packed_exercise.rs"]
mod packed_exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packed_exercise::exercise(bytes));
